package comparison;

/** The event types of the log, by the names that they have in JSON. */
enum EventType {
    transfer_out, transfer_in, bill_pay, card_pay, qr_pay, top_up, cash_withdraw, fund_buy, fund_redeem,
    login, logout, balance_view, statement_view, fund_view, loan_view, loan_apply, loan_verify, loan_submit,
    loan_approve, loan_draw, coupon_view, coupon_claim, message_read, complaint;

    static final EventType[] ALL = values();

    /** Whether the rule is considered after such an event. */
    boolean isListenedTo() {
        return this == transfer_out || this == bill_pay || this == card_pay || this == qr_pay;
    }
}
