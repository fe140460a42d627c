"""The catalogue: what is right loads, and names and types are as they should be."""

# ruff: noqa: E501  (in the tables, a case is a line)

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.catalogue import (
    Catalogue,
    CatalogueErrors,
    concerned_events,
    entities,
    entity_of_rule,
    entity_of_tag,
    event_names,
    feature_type,
    gate_names,
    journey_of_rule,
    key_of,
    load,
    names_of_rule,
    predicate_names,
    tag_order,
)
from models.expressions import BOOLEAN, NUMBER, string_of
from models.windows import DAY_MS, HOUR_MS, MINUTE_MS
from tests.catalogue_texts import BASE

ROOT = Path(__file__).parents[2]
SMALL = (ROOT / "tests" / "catalogues" / "small.toml").read_text(encoding="utf-8")


@pytest.fixture
def small() -> Catalogue:
    return load({"small.toml": SMALL})


# --- what is right ---------------------------------------------------------------------------------------------------


def test_the_base_of_the_tests_below_is_right() -> None:
    assert load({"a.toml": BASE}).name == "bank"


def test_content_in_file_order(small: Catalogue) -> None:
    assert (small.name, small.time_zone, small.channels) == ("small", "Asia/Shanghai", ("app", "branch"))
    assert [event.name for event in small.events] == ["login", "transfer", "loan_apply", "loan_step"]
    assert small.events[1].properties == {"amount": "number", "direction": ("in", "out")}
    assert [rule.name for rule in small.rules] == ["large_transfer", "loan_abandoned", "dormant_call", "loan_nudge"]
    assert {feature.aggregate for feature in small.features} == {
        "count", "sum", "min", "max", "first", "last", "distinct"
    }  # fmt: skip
    assert (small.features[0].class_, small.features[0].subclass) == ("渠道", "活跃")
    assert small.journeys[0].transition[0].from_ == ("new", "dormant")
    assert small.journeys[1].timeout[1].in_ == "verify"
    assert (small.rules[0].kind, small.rules[2].kind) == ("marketing", "service")


def test_durations_in_ms(small: Catalogue) -> None:
    features = {feature.name: feature for feature in small.features}
    assert features["first_amount"].window_ms is features["first_amount"].tile_ms is None
    assert (features["transfer_least_1h"].window_ms, features["transfer_least_1h"].tile_ms) == (HOUR_MS, 5 * MINUTE_MS)
    assert (features["steps_24h"].window_ms, features["steps_24h"].tile_ms) == (DAY_MS, 30 * MINUTE_MS)
    assert features["transfer_most_90d"].tile_ms == 30 * DAY_MS
    assert small.journeys[0].timeout[0].after_ms == 30 * DAY_MS
    large, abandoned, call, nudge = small.rules
    assert (large.cooldown_ms, call.cooldown_ms) == (DAY_MS, None)
    assert (large.expires_ms, abandoned.expires_ms) == (HOUR_MS, 72 * HOUR_MS)
    assert (call.listens.after_ms, nudge.listens.after_ms) == (None, 10 * MINUTE_MS)
    assert abandoned.goal is not None
    assert abandoned.goal.within_ms == 3 * DAY_MS


def test_files_are_read_together_in_the_order_of_their_names() -> None:
    head, _, tail = BASE.partition("[[feature]]")
    together = load({"b.toml": "[[feature]]" + tail, "a.toml": head})
    assert together == load({"a.toml": BASE})
    assert together.version == load({"a.toml": BASE}).version


def test_versions_change_with_the_content(small: Catalogue) -> None:
    other = load({"small.toml": SMALL.replace('cooldown = "24h"', 'cooldown = "23h"')})
    assert re.fullmatch("[0-9a-f]{12}", small.version)
    assert other.version != small.version
    assert re.fullmatch("[0-9a-f]{8}", small.rules[0].version)
    assert other.rules[0].version != small.rules[0].version
    assert other.rules[1].version == small.rules[1].version
    assert load({"other_name.toml": SMALL}).version == small.version


def test_the_examples_of_the_docs_are_right() -> None:
    text = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    example, policies = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    catalogue = load(
        {"example.toml": example, "policies.toml": policies.replace(', "sms"', "").replace('"sms"', '"push"')}
    )
    assert (len(catalogue.events), len(catalogue.rules), len(catalogue.gates)) == (2, 1, 1)
    assert (len(catalogue.quiet_hours), len(catalogue.contact_limits), len(catalogue.holdouts)) == (1, 1, 1)
    wrong = example.replace("direction = 'out'", "amout > 1")
    line = re.search(r"^    (features.toml: .*)$", text, re.MULTILINE)
    assert line is not None
    with pytest.raises(CatalogueErrors, match=f"^{re.escape(line[1])}$"):
        load({"features.toml": wrong})


# --- names and types -------------------------------------------------------------------------------------------------

ENVELOPE = {
    "channel": string_of(("app", "branch")),
    "event_time": NUMBER,
    "event_hour": NUMBER,
    "event_weekday": NUMBER,
}
CUSTOMER_FEATURES = {
    "login_count_1d": NUMBER,
    "transfer_out_7d": NUMBER,
    "transfer_least_1h": NUMBER,
    "transfer_most_90d": NUMBER,
    "first_amount": NUMBER,
    "last_direction": string_of(("in", "out")),
    "directions_30d": NUMBER,
}
CUSTOMER_STATE = {
    **CUSTOMER_FEATURES,
    "transfer_tier": NUMBER,
    "is_valuable": BOOLEAN,
    "activity_stage": string_of(("new", "active", "dormant")),
}
LOAN_STAGES = string_of(("apply", "verify", "submit", "abandoned"))
LOAN_STATE = {
    "requested_amount": NUMBER,
    "steps_24h": NUMBER,
    "loan_stage": LOAN_STAGES,
    "loan_time_in_stage_ms": NUMBER,
}


def test_names_of_events(small: Catalogue) -> None:
    assert event_names(small, ["transfer"]) == {
        **ENVELOPE, "amount": NUMBER, "direction": string_of(("in", "out"))
    }  # fmt: skip
    assert event_names(small, ()) == ENVELOPE
    assert event_names(small, ["login"])["device"] == string_of(())


def test_the_values_of_a_property_are_those_of_all_events() -> None:
    text = '[[event]]\nname = "refund"\nproperties = { side = ["none", "in"] }'
    catalogue = load({"a.toml": BASE, "b.toml": text})
    for event in ("pay", "refund"):
        assert event_names(catalogue, [event])["side"] == string_of(("in", "out", "none"))


def test_names_of_predicates(small: Catalogue) -> None:
    customer = {**ENVELOPE, **CUSTOMER_STATE, "activity_time_in_stage_ms": NUMBER}
    assert predicate_names(small, "customer", None, ()) == customer
    of_loan = {**customer, **LOAN_STATE, "stage": LOAN_STAGES, "time_in_stage_ms": NUMBER}
    assert predicate_names(small, "loan_application", "loan", ()) == of_loan
    assert gate_names(small) == CUSTOMER_STATE


def test_names_of_rules(small: Catalogue) -> None:
    large, abandoned, call, _ = small.rules
    assert {"amount", "direction"} <= names_of_rule(small, large).keys()
    assert "stage" not in names_of_rule(small, large)
    assert names_of_rule(small, call)["stage"] == string_of(("new", "active", "dormant"))
    assert [journey_of_rule(small, rule) for rule in small.rules] == [None, "loan", "activity", "loan"]
    assert [entity_of_rule(small, rule) for rule in (large, abandoned)] == ["customer", "loan_application"]


def test_an_event_rule_of_a_keyed_entity_is_of_its_first_journey() -> None:
    rule = '[[rule]]\nname = "r"\nentity = "loan"\nlistens = { event = ["pay"] }\naction = "a"\nchannel = "c"'
    catalogue = load({"a.toml": BASE, "b.toml": f"{rule}\nwhen = \"stage = 'open' AND loan_pays > 1\""})
    assert journey_of_rule(catalogue, catalogue.rules[-1]) == "loan_flow"
    assert entity_of_rule(catalogue, catalogue.rules[-1]) == "loan"


def test_tags_have_an_order_and_an_entity() -> None:
    text = '[[tag]]\nname = "aa"\nexpression = "zz + 1"\n[[tag]]\nname = "zz"\nexpression = "CASE WHEN loan_is_paid THEN 1 END"'
    catalogue = load({"0.toml": text, "a.toml": BASE})
    assert [tag.name for tag in tag_order(catalogue)] == ["loan_is_paid", "zz", "aa"]
    assert entity_of_tag(catalogue, "aa") == "loan"
    assert catalogue.tag_types["aa"] == NUMBER


def test_entities_and_what_concerns_them(small: Catalogue) -> None:
    assert entities(small) == ("customer", "loan_application")
    assert (key_of(small, "customer"), key_of(small, "loan_application")) == (None, "application_id")
    assert concerned_events(small, "customer") == {"login", "transfer", "loan_apply", "loan_step"}
    assert concerned_events(small, "loan_application") == {"loan_apply", "loan_step"}


def test_types_of_features(small: Catalogue) -> None:
    features = {feature.name: feature for feature in small.features}
    assert feature_type(small, features["last_direction"]) == string_of(("in", "out"))
    assert feature_type(small, features["directions_30d"]) == NUMBER
