package comparison;

/** The journey: where a customer stands, and where an event moves it. */
enum Stage {
    browse, apply, verify, submit, approved, drawn;

    static final Stage[] ALL = values();

    Stage after(EventType event) {
        return switch (event) {
            case loan_apply -> this == browse || this == drawn ? apply : this;
            case loan_verify -> this == apply ? verify : this;
            case loan_submit -> this == verify ? submit : this;
            case loan_approve -> this == submit ? approved : this;
            case loan_draw -> this == approved ? drawn : this;
            default -> this;
        };
    }

    boolean isOpen() {
        return this == apply || this == verify || this == submit;
    }
}
