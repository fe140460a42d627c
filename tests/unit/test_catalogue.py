"""The catalogue: what is right loads, and each thing that is wrong has its line."""

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

ROOT = Path(__file__).parents[2]
SMALL = (ROOT / "tests" / "catalogues" / "small.toml").read_text(encoding="utf-8")

BASE = """
[catalogue]
name = "bank"
channels = ["app", "branch"]
[[event]]
name = "pay"
properties = { amount = "number", side = ["in", "out"], ok = "boolean", loan_id = "string", memo = "string" }
[[event]]
name = "login"
properties = { device = "string" }
[[event]]
name = "visit"
properties = { visit_id = "string", desk = "number" }
[[feature]]
name = "paid"
on = ["pay"]
aggregate = "sum"
value = "amount"
[[feature]]
name = "loan_pays"
entity = "loan"
on = ["pay"]
aggregate = "count"
[[feature]]
name = "visits"
entity = "visit"
on = ["visit"]
aggregate = "count"
[[tag]]
name = "loan_is_paid"
expression = "loan_pays > 3"
[[journey]]
name = "life"
stages = ["new", "active"]
[[journey.transition]]
from = ["new"]
on = ["login"]
to = "active"
[[journey]]
name = "loan_flow"
entity = "loan"
key = "loan_id"
stages = ["open", "paid_off"]
[[journey.timeout]]
in = "open"
after = "30d"
to = "paid_off"
[[journey]]
name = "visit_flow"
entity = "visit"
key = "visit_id"
stages = ["there"]
[[rule]]
name = "thank"
listens = { event = ["pay"] }
action = "say_thanks"
channel = "push"
"""


def errors_of(*texts: str) -> list[str]:
    """The lines of all errors of these files, which are named a.toml, b.toml, ..."""
    files = {f"{chr(ord('a') + number)}.toml": text for number, text in enumerate(texts)}
    with pytest.raises(CatalogueErrors) as caught:
        load(files)
    assert str(caught.value).splitlines() == [str(error) for error in caught.value.errors]
    return str(caught.value).splitlines()


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


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


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "no file has a table [catalogue]; one must, with its name"),
        ('[catalogue]\nname = "x"', "a.toml: [catalogue] x: declares no [[event]]"),
        ("[catalogue]\nname = ", "a.toml: is no TOML: Invalid value (at end of document)"),
        ("[catalogue]\nname : 3", "a.toml: is no TOML: Expected '=' after a key in a key/value pair (at line 2, column 6)"),
        (BASE + "[[features]]\n", "a.toml: unknown table 'features'; did you mean 'feature'?"),
        (BASE + "[catalog]\n", "a.toml: unknown table 'catalog'; did you mean 'catalogue'?"),
        ("[event]\n[catalogue]\nname='x'", "a.toml: [[event]]: must be written [[event]], with two brackets"),
        (changed('name = "bank"', 'name = "Bank"'), "a.toml: [catalogue] Bank: name: 'Bank' is no name; a name is a small letter, then up to 62 of a-z, 0-9 and _"),
        (changed('name = "bank"', 'nam = "bank"'), "a.toml: [catalogue]: nam: unknown field; did you mean 'name'?"),
        (changed('name = "bank"', 'name = "bank"\ntime_zone = "Asia/Peking"'), "a.toml: [catalogue] bank: time_zone: unknown time zone 'Asia/Peking'"),
        (changed('"app", "branch"', '"app", "app"'), "a.toml: [catalogue] bank: channels: 'app' stands there twice"),
        (changed('"app", "branch"', '"app", 3'), "a.toml: [catalogue] bank: channels #2: expected string, got number"),
    ],
)  # fmt: skip
def test_wrong_files(text: str, line: str) -> None:
    assert line in errors_of(text)


def test_two_headers() -> None:
    line = "b.toml: [catalogue]: stands in a.toml already; there must be only one"
    assert errors_of(BASE, '[catalogue]\nname = "other"') == [line]


def test_too_many_entries() -> None:
    many = "".join(f'[[event]]\nname = "e{number}"\n' for number in range(1025))
    assert errors_of('[catalogue]\nname = "x"\n' + many) == ["a.toml: [catalogue] x: 1025 [[event]], more than 1024"]


EVENT = '[[event]]\nname = "e"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[event]]\nname = ""', "[[event]] #1: name: must not be empty"),
        ("[[event]]\n", "[[event]] #1: name: is missing"),
        ('[[event]]\nname = "pay"', "[[event]] pay: name: 'pay' is declared already, in a.toml"),
        (EVENT + 'properties.n = "numbr"', "[[event]] e: properties.n: 'numbr' is none of number, boolean, string and a list of values"),
        (EVENT + "properties.n = 3", "[[event]] e: properties.n: expected string or list, got number"),
        (EVENT + 'properties.n = ["a", 3]', "[[event]] e: properties.n #2: expected string, got number"),
        (EVENT + "properties.n = []", "[[event]] e: properties.n: must not be empty"),
        (EVENT + 'properties.n = ["a", "a"]', "[[event]] e: properties.n: 'a' stands there twice"),
        (EVENT + f'properties.n = ["{256 * "a"}"]', "[[event]] e: properties.n: a value is longer than 255 characters"),
        (EVENT + f"properties.n = {[str(n) for n in range(1025)]}", "[[event]] e: properties.n: 1025 values, more than 1024"),
        (EVENT + 'properties.Amount = "number"', "[[event]] e: properties.Amount: 'Amount' is no name; a name is a small letter, then up to 62 of a-z, 0-9 and _"),
        (EVENT + 'properties.stage = "number"', "[[event]] e: properties.stage: 'stage' is reserved"),
        (EVENT + 'properties.case = "number"', "[[event]] e: properties.case: 'case' is a word of SQL, so that no expression can read it"),
        (EVENT + 'properties.amount = "boolean"', "[[event]] e: properties.amount: is a boolean here, but a number in event 'pay'"),
        (EVENT + 'properties.ok = ["yes"]', "[[event]] e: properties.ok: is a string here, but a boolean in event 'pay'"),
        (EVENT + 'properties.paid = "number"', "[[feature]] paid: name: 'paid' is a property of 'e' already"),
        (EVENT + 'properties.life_stage = "number"', "[[journey]] life: name: 'life_stage' is a property of 'e' already"),
    ],
)  # fmt: skip
def test_wrong_events(text: str, line: str) -> None:
    assert [error.partition(": ")[2] for error in errors_of(BASE, text)] == [line]


def feature(text: str, name: str = "f") -> str:
    return f'[[feature]]\nname = "{name}"\n{text}'


PAY = 'on = ["pay"]\naggregate = "count"\n'
LAST = 'on = ["pay"]\naggregate = "last"\n'
SUM = 'on = ["pay"]\naggregate = "sum"\nvalue = "amount"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('on = ["pay"]', "aggregate: is missing"),
        ('on = ["pay"]\naggregate = "avg"', "aggregate: 'avg' is none of count, sum, min, max, last, first, distinct"),
        ('on = ["pay"]\naggregate = "summ"\nvalue = "amount"', "aggregate: 'summ' is none of count, sum, min, max, last, first, distinct; did you mean 'sum'?"),
        ('on = "pay"\naggregate = "count"', "on: expected list, got string"),
        ('on = []\naggregate = "count"', "on: must not be empty"),
        ('on = ["pay", "pay"]\naggregate = "count"', "on: 'pay' stands there twice"),
        ('on = ["pai"]\naggregate = "count"', "on: unknown event 'pai'; did you mean 'pay'?"),
        (PAY + 'wher = "ok"', "wher: unknown field; did you mean 'where'?"),
        (PAY + 'entity = "laon"', "entity: unknown entity 'laon'; did you mean 'loan'?"),
        ('on = ["login"]\naggregate = "count"\nentity = "loan"', "on: event 'login' does not carry 'loan_id', the key of loan"),
        (PAY + 'where = "amout > 1"', "where: unknown name 'amout'; did you mean 'amount'?"),
        (PAY + "where = \"side = 'up'\"", "where: 'up' is no declared value of 'side'; declared: 'in', 'out'"),
        (PAY + "where = \"memo = 'x'\"", "where: 'x' is no declared value of 'memo'; declared: none"),
        (PAY + 'where = "SUM(amount) > 1"', "where: outside the language: SUM in «SUM(amount)»"),
        (PAY + 'where = "qqqqq"', "where: unknown name 'qqqqq'"),
        (PAY + 'where = "device IS NULL"', "where: 'device' cannot be read here: it is a property of 'login'"),
        (PAY + 'where = "paid > 1"', "where: 'paid' cannot be read here: it is a feature of customer"),
        (PAY + 'where = "loan_is_paid"', "where: 'loan_is_paid' cannot be read here: it is a tag of loan"),
        (PAY + "where = \"life_stage = 'new'\"", "where: 'life_stage' cannot be read here: it is of the journey 'life' of customer"),
        (PAY + 'where = "amount + 1"', "where: must be true or false, but is a number"),
        ('on = ["pay"]\naggregate = "sum"', "value: is missing; sum needs one"),
        ('on = ["pay"]\naggregate = "sum"\nvalue = "side"', "value: sum needs a number, but this is a string"),
        ('on = ["pay"]\naggregate = "max"\nvalue = "ok"', "value: max needs a number, but this is a boolean"),
        ('on = ["pay"]\naggregate = "distinct"\nvalue = "amount"', "value: distinct needs a string property with declared values, but this is a number"),
        ('on = ["pay"]\naggregate = "distinct"\nvalue = "memo"', "value: distinct of a string needs a property with declared values, and nothing around it"),
        ('on = ["pay"]\naggregate = "distinct"\nvalue = "(side)"', "value: distinct of a string needs a property with declared values, and nothing around it"),
        (PAY + 'value = "NULL"', "value: count needs a value, but this is always NULL"),
        (LAST + 'value = "CASE WHEN ok THEN side END"', "value: an expression may compare strings, not return them"),
        (LAST + 'value = "memo"', "value: last of a string needs a property with declared values, and nothing around it"),
        (SUM + 'tile = "1h"', "tile: needs a window"),
        (SUM + 'window = "7 days"', "window: '7 days' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        (SUM + 'window = "7d"\ntile = "0d"', "tile: '0d' must be longer than 0"),
        (SUM + 'window = "4m"', "window: '4m' is not between '5m' and '365d'"),
        (SUM + 'window = "366d"', "window: '366d' is not between '5m' and '365d'"),
        (SUM + 'window = "365d"', "window: window '365d' is no multiple of its tile '30d'; tile = '5d' or window = '360d' would fit"),
        (SUM + 'window = "7d"\ntile = "7h"', "window: a tile of '7h' neither divides a day nor is of whole days; tile = '6h' would fit"),
    ],
)  # fmt: skip
def test_wrong_features(text: str, message: str) -> None:
    assert errors_of(BASE, feature(text)) == [f"b.toml: [[feature]] f: {message}"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("F", "'F' is no name; a name is a small letter, then up to 62 of a-z, 0-9 and _"),
        ("f" * 64, f"'{'f' * 64}' is no name; a name is a small letter, then up to 62 of a-z, 0-9 and _"),
        ("time_in_stage_ms", "'time_in_stage_ms' is reserved"),
        ("amount", "'amount' is a property of 'pay' already"),
        ("loan_is_paid", "'loan_is_paid' is a feature already"),
        ("null", "'null' is a word of SQL, so that no expression can read it"),
    ],
)
def test_wrong_names_of_features(name: str, message: str) -> None:
    [error] = errors_of(BASE, feature(PAY, name))
    assert error.endswith(f" name: {message}")


def test_wrong_expressions_are_shown_with_their_place() -> None:
    for text in ("amount >", "amount > (SELECT 1)", "ok; ok", "ok FROM events"):
        [error] = errors_of(BASE, feature(PAY + f'where = "{text}"'))
        assert error.startswith("b.toml: [[feature]] f: where: ")


def test_distinct_of_too_many_values() -> None:
    text = f'[[event]]\nname = "e"\nproperties.n = {[str(n) for n in range(49)]}\n'
    lines = errors_of(BASE, text + feature('on = ["e"]\naggregate = "distinct"\nvalue = "n"'))
    assert lines == ["b.toml: [[feature]] f: value: distinct counts at most 48 values, but this has 49"]


@pytest.mark.parametrize(
    ("expressions", "lines"),
    [
        (["t1"], ["t0: expression: unknown name 't1'"]),
        (["amount > 1"], ["t0: expression: 'amount' cannot be read here: it is a property of 'pay'"]),
        (["life_stage"], ["t0: expression: must be a number or a boolean, but is a string"]),
        (["NULL"], ["t0: expression: must be a number or a boolean, but is always NULL"]),
        (["t0 + 1"], ["t0: expression: reads itself: t0 → t0"]),
        (["t1 + 1", "t2 + paid", "ABS(t0)"], ["t0: expression: reads itself: t0 → t1 → t2 → t0"]),
        (["t1", "t0", "t3", "t2", "t0 + t1"], ["t0: expression: reads itself: t0 → t1 → t0", "t2: expression: reads itself: t2 → t3 → t2"]),
        (["loan_pays + visits"], ["t0: expression: mixes features of loan and visit; a tag belongs to one"]),
        (["t1 + visits", "COALESCE(loan_pays, 0)"], ["t0: expression: mixes features of loan and visit; a tag belongs to one"]),
        (["loan_flow_stage = 'open'"], ["t0: expression: 'loan_flow_stage' cannot be read here: it is of the journey 'loan_flow' of loan"]),
        (["ABS(Paid)"], ["t0: expression: unknown name 'Paid'; did you mean 'paid'?"]),
        (["stage = 'open'"], ["t0: expression: 'stage' cannot be read here: it is of a journey, and none is in question"]),
    ],
)  # fmt: skip
def test_wrong_tags(expressions: list[str], lines: list[str]) -> None:
    tags = [f'[[tag]]\nname = "t{number}"\nexpression = "{text}"\n' for number, text in enumerate(expressions)]
    assert errors_of(BASE, "".join(tags)) == [f"b.toml: [[tag]] {line}" for line in lines]


def test_tag_without_expression() -> None:
    assert errors_of(BASE, '[[tag]]\nname = "t"') == ["b.toml: [[tag]] t: expression: is missing"]


STAGES = 'stages = ["x", "y"]\n'
MOVE = '[[journey.transition]]\nfrom = ["x"]\non = ["login"]\nto = "y"\n'
WAIT = '[[journey.timeout]]\nin = "x"\nafter = "1h"\nto = "y"\n'
LOAN = 'entity = "loan"\nkey = "loan_id"\n'


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (MOVE, ["[[journey]] j: stages: is missing"]),
        ("stages = []", ["[[journey]] j: stages: must not be empty"]),
        ('stages = ["x", "x"]', ["[[journey]] j: stages: 'x' stands there twice"]),
        ('stages = [""]', ["[[journey]] j: stages: must not be empty"]),
        (STAGES, ["[[journey]] j: stages: 'y' cannot be reached from 'x'"]),
        ('stages = ["x", "y", "z"]\n' + MOVE.replace('"x"', '"z"'), ["[[journey]] j: stages: 'y' cannot be reached from 'x'", "[[journey]] j: stages: 'z' cannot be reached from 'x'"]),
        (f"stages = {['x'] + [f'y{n}' for n in range(64)]}\n" + "".join(MOVE.replace('"y"', f'"y{n}"') for n in range(64)), ["[[journey]] j: stages: 65 stages, more than 64"]),
        ('entity = "Loan"\nkey = "loan_id"\nstages = ["x"]', ["[[journey]] j: entity: 'Loan' is no name; a name is a small letter, then up to 62 of a-z, 0-9 and _"]),
        ('entity = "card"\nstages = ["x"]', ["[[journey]] j: key: is missing; card needs the property that names it"]),
        ('key = "loan_id"\nstages = ["x"]', ["[[journey]] j: key: journeys of customer have none"]),
        ('entity = "loan"\nkey = "memo"\nstages = ["x"]', ["[[journey]] j: key: is 'memo' here, but 'loan_id' in journey 'loan_flow' of loan"]),
        ('entity = "card"\nkey = "card_id"\nstages = ["x"]', ["[[journey]] j: key: unknown property 'card_id'"]),
        ('entity = "card"\nkey = "amount"\nstages = ["x"]', ["[[journey]] j: key: 'amount' must be a string, but is a number in event 'pay'"]),
        (STAGES + MOVE.replace('"x"', '"xx"') + WAIT, ["[[journey.transition]] j #1: from: unknown stage 'xx'; did you mean 'x'?"]),
        (STAGES + MOVE.replace('["x"]', "[]") + WAIT, ["[[journey.transition]] j #1: from: must not be empty"]),
        (STAGES + MOVE + MOVE.replace('"y"', '"yy"'), ["[[journey.transition]] j #2: to: unknown stage 'yy'; did you mean 'y'?"]),
        (STAGES + MOVE.replace("login", "logon"), ["[[journey.transition]] j #1: on: unknown event 'logon'; did you mean 'login'?"]),
        (STAGES + MOVE.replace('["login"]', "[]"), ["[[journey.transition]] j #1: on: must not be empty"]),
        (STAGES + MOVE + 'when = "device"', ["[[journey.transition]] j #1: when: must be true or false, but is a string"]),
        (STAGES + MOVE + 'when = "amount > 1"', ["[[journey.transition]] j #1: when: 'amount' cannot be read here: it is a property of 'pay'"]),
        (STAGES + MOVE + 'when = "loan_pays > 1"', ["[[journey.transition]] j #1: when: 'loan_pays' cannot be read here: it is a feature of loan"]),
        (STAGES + MOVE + 'if = "paid > 1"', ["[[journey.transition]] j #1: if: unknown field"]),
        (STAGES + MOVE.replace('to = "y"\n', ""), ["[[journey.transition]] j #1: to: is missing"]),
        (LOAN + STAGES + MOVE, ["[[journey.transition]] j #1: on: event 'login' does not carry 'loan_id', the key of loan"]),
        (STAGES + WAIT + WAIT, ["[[journey.timeout]] j #2: in: stage 'x' has a timeout already"]),
        (STAGES + MOVE + WAIT.replace('in = "x"', 'in = "z"'), ["[[journey.timeout]] j #1: in: unknown stage 'z'"]),
        (STAGES + MOVE + WAIT.replace('to = "y"', 'to = "z"'), ["[[journey.timeout]] j #1: to: unknown stage 'z'"]),
        (STAGES + WAIT.replace("1h", "1w"), ["[[journey.timeout]] j #1: after: '1w' is no duration; write an integer and one of s, m, h, d, as in '7d'"]),
        (STAGES + WAIT + 'restarted_by = ["visti"]', ["[[journey.timeout]] j #1: restarted_by: unknown event 'visti'; did you mean 'visit'?"]),
        (LOAN + STAGES + WAIT + 'restarted_by = ["login"]', ["[[journey.timeout]] j #1: restarted_by: event 'login' does not carry 'loan_id', the key of loan"]),
        (STAGES + "[journey.timeout]", ["[[journey.timeout]] j: must be written [[journey.timeout]], with two brackets", "[[journey]] j: stages: 'y' cannot be reached from 'x'"]),
    ],
)  # fmt: skip
def test_wrong_journeys(text: str, lines: list[str]) -> None:
    assert errors_of(BASE, f'[[journey]]\nname = "j"\n{text}') == [f"b.toml: {line}" for line in lines]


def rule(text: str, listens: str = '{ event = ["pay"] }') -> str:
    rest = "" if "action" in text else 'action = "a"\n'
    rest += "" if "channel" in text else 'channel = "c"\n'
    return f'[[rule]]\nname = "r"\nlistens = {listens}\n{rest}{text}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rule("", "{ }"), "listens: needs exactly one of event, entered and timeout, but has 0"),
        (rule("", '{ event = ["pay"], entered = "life.new" }'), "listens: needs exactly one of event, entered and timeout, but has 2"),
        (rule("", '{ evnt = ["pay"] }'), "listens.evnt: unknown field; did you mean 'event'?"),
        (rule("", '"pay"'), "listens: must be a table"),
        (rule("", "{ event = [] }"), "listens.event: must not be empty"),
        (rule("", '{ event = ["pey"] }'), "listens.event: unknown event 'pey'; did you mean 'pay'?"),
        (rule("", '{ event = ["pay"], after = "1h" }'), "listens.after: goes with timeout only"),
        (rule("", '{ entered = "life" }'), "listens.entered: 'life' is no stage; write 'journey.stage'"),
        (rule("", '{ entered = "lief.new" }'), "listens.entered: unknown journey 'lief'; did you mean 'life'?"),
        (rule("", '{ entered = "life.gnu" }'), "listens.entered: unknown stage 'gnu'"),
        (rule("", '{ timeout = "life.new" }'), "listens.timeout: stage 'new' has no timeout; add one, or an after here"),
        (rule("", '{ timeout = "loan_flow.open", after = "31d" }'), "listens.after: '31d' is never due: the stage's timeout is after '30d'"),
        (rule("", '{ timeout = "loan_flow.open", after = "soon" }'), "listens.after: 'soon' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        (rule('entity = "loan"', '{ entered = "life.new" }'), "entity: only rules that listen to events have one; here it is the journey's"),
        (rule('entity = "laon"'), "entity: unknown entity 'laon'; did you mean 'loan'?"),
        (rule('entity = "loan"', '{ event = ["login"] }'), "listens.event: event 'login' does not carry 'loan_id', the key of loan"),
        (rule('kind = "sales"'), "kind: 'sales' is none of marketing, service"),
        (rule('channel = ""'), "channel: must not be empty"),
        (rule('action = ""'), "action: must not be empty"),
        (rule('cooldown = "0h"'), "cooldown: '0h' must be longer than 0"),
        (rule('expires = "0h"'), "expires: '0h' must be longer than 0"),
        (rule('goal = { event = "pya", within = "1d" }'), "goal.event: unknown event 'pya'; did you mean 'pay'?"),
        (rule('goal = { event = "pay", within = "0d" }'), "goal.within: '0d' must be longer than 0"),
        (rule('goal = { event = "pay" }'), "goal.within: is missing"),
        (rule('when = "amount"'), "when: must be true or false, but is a number"),
        (rule('when = "desk > 1"'), "when: 'desk' cannot be read here: it is a property of 'visit'"),
        (rule('when = "amount > 1"', '{ timeout = "loan_flow.open" }'), "when: 'amount' cannot be read here: it is a property of 'pay'"),
        (rule('when = "loan_pays > 1"'), "when: 'loan_pays' cannot be read here: it is a feature of loan"),
        (rule('when = "loan_is_paid"'), "when: 'loan_is_paid' cannot be read here: it is a tag of loan"),
        (rule('when = "visits > 1"', '{ entered = "loan_flow.open" }'), "when: 'visits' cannot be read here: it is a feature of visit"),
        (rule("when = \"stage = 'new'\""), "when: 'stage' cannot be read here: it is of a journey, and none is in question"),
    ],
)  # fmt: skip
def test_wrong_rules(text: str, message: str) -> None:
    assert errors_of(BASE, text) == [f"b.toml: [[rule]] r: {message}"]


@pytest.mark.parametrize("after", ["29d", "30d"])
def test_a_timer_no_later_than_the_timeout_is_right(after: str) -> None:
    text = rule("", f'{{ timeout = "loan_flow.open", after = "{after}" }}')
    assert load({"a.toml": BASE, "b.toml": text}).rules[-1].listens.after == after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "when: is missing"),
        ('when = "paid"', "when: must be true or false, but is a number"),
        ('when = "amount > 1"', "when: 'amount' cannot be read here: it is a property of 'pay'"),
        ('when = "loan_pays > 1"', "when: 'loan_pays' cannot be read here: it is a feature of loan"),
        ('when = "paid > 1"\nkinds = []', "kinds: must not be empty"),
        ('when = "paid > 1"\nkinds = ["sales"]', "kinds #1: 'sales' is none of marketing, service"),
        ('when = "paid > 1"\nchannels = ["pusch"]', "channels: unknown channel 'pusch'; did you mean 'push'?"),
    ],
)
def test_wrong_gates(text: str, message: str) -> None:
    assert errors_of(BASE, f'[[gate]]\nname = "g"\n{text}') == [f"b.toml: [[gate]] g: {message}"]


@pytest.mark.parametrize("name", ["expired", "goal", "arbitration", "cooldown"])
def test_gates_that_zhice_has_itself(name: str) -> None:
    lines = errors_of(BASE, f'[[gate]]\nname = "{name}"\nwhen = "paid > 1"')
    assert lines == [f"b.toml: [[gate]] {name}: name: '{name}' is the name of a gate that Zhice has itself"]


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("gate", 'when = "paid > 1"\ngroups = ["care"]', "groups: unknown group 'care'"),
        ("gate", 'when = "paid > 1"\nrules = ["no"]', "rules: unknown rule 'no'"),
        ("quiet_hours", 'from = "21:00"', "until: is missing"),
        ("quiet_hours", 'from = "9"\nuntil = "08:00"', "from: '9' is no time of day; write HH:MM, from 00:00 to 23:59"),
        ("quiet_hours", 'from = "08:00"\nuntil = "08:00"', "until: is the same as from; quiet hours need a beginning and an end"),
        ("contact_limit", 'most = 0\nwithin = "1d"', "most: 0 is not in 1 to 64"),
        ("contact_limit", 'most = 65\nwithin = "1d"', "most: 65 is not in 1 to 64"),
        ("contact_limit", 'most = 1\nwithin = "1y"', "within: '1y' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        ("contact_limit", 'most = 1\nwithin = "1d"\nper = "day"', "per: 'day' is none of customer, channel, group, rule"),
        ("contact_limit", 'most = 1.5\nwithin = "1d"', "most: expected whole number, got number"),
        ("holdout", "share = 1", "share: 1.0 is not in 0 to below 1; 0.1 holds out a tenth of the customers"),
        ("holdout", "share = -0.1", "share: -0.1 is not in 0 to below 1; 0.1 holds out a tenth of the customers"),
    ],
)  # fmt: skip
def test_wrong_policies(table: str, text: str, message: str) -> None:
    assert errors_of(BASE, f'[[{table}]]\nname = "p"\n{text}') == [f"b.toml: [[{table}]] p: {message}"]


def test_policies_share_one_space_of_names() -> None:
    text = '[[holdout]]\nname = "p"\nshare = 0.1\n[[gate]]\nname = "p"\nwhen = "paid > 1"'
    assert errors_of(BASE, text) == ["b.toml: [[holdout]] p: name: 'p' is the name of a gate already"]


def test_a_factor_is_a_number_over_what_is_known_at_any_time() -> None:
    for text, message in (
        ('value = "paid > 1"', "value: must be a number, but is a boolean"),
        ('lever = "amount"', "lever: 'amount' cannot be read here: it is a property of 'pay'"),
        ("propensity = true", "propensity: expected number or string, got boolean"),
    ):
        lines = errors_of(BASE, rule("", '{ event = ["pay"] }').replace("action =", f"{text}\naction =", 1))
        assert [line.partition(": ")[2].partition(": ")[2] for line in lines] == [message]


# --- all at once -----------------------------------------------------------------------------------------------------


def test_all_errors_at_once_and_none_twice() -> None:
    wrong = """
[[event]]
name = "call"
label = 3
properties = { seconds = "number" }
[[feature]]
name = "calls"
on = ["call"]
where = "seconds > 10"
aggregate = "count"
window = "366d"
[[feature]]
on = ["pay"]
aggregate = "avg"
valeu = "amount"
[[feature]]
name = "paid_out"
on = ["pay"]
where = "sid = 'out'"
aggregate = "sum"
[[tag]]
name = "calls_much"
expression = "calls > 3"
[[journey]]
name = "calling"
stages = ["quiet", "loud"]
[[journey.transition]]
from = ["quiet"]
on = ["call"]
too = "loud"
[[rule]]
name = "answer"
listens = { entered = "calling.loud" }
when = "paid_out > 1 AND calls_much"
action = "answer"
channel = ""
"""
    assert errors_of(BASE, wrong) == [
        "b.toml: [[event]] call: label: expected string, got number",
        "b.toml: [[feature]] #2: valeu: unknown field; did you mean 'value'?",
        "b.toml: [[feature]] #2: name: is missing",
        "b.toml: [[feature]] #2: aggregate: 'avg' is none of count, sum, min, max, last, first, distinct",
        "b.toml: [[feature]] calls: window: '366d' is not between '5m' and '365d'",
        "b.toml: [[feature]] paid_out: where: unknown name 'sid'; did you mean 'side'?",
        "b.toml: [[feature]] paid_out: value: is missing; sum needs one",
        "b.toml: [[journey.transition]] calling #1: too: unknown field; did you mean 'to'?",
        "b.toml: [[journey.transition]] calling #1: to: is missing",
        "b.toml: [[rule]] answer: channel: must not be empty",
    ]


def test_what_reads_something_wrong_is_not_wrong_itself() -> None:
    wrong = """
[[event]]
name = "call"
properties = { seconds = "numbr" }
[[feature]]
name = "last_call"
on = ["call"]
aggregate = "last"
value = "seconds"
[[tag]]
name = "has_called"
expression = "last_call > 0"
[[gate]]
name = "called"
when = "has_called"
"""
    lines = errors_of(BASE, wrong)
    assert lines == [
        "b.toml: [[event]] call: properties.seconds: 'numbr' is none of number, boolean, string and a list of values"
    ]


def test_an_error_names_file_table_entry_and_field() -> None:
    with pytest.raises(CatalogueErrors) as caught:
        load({"a.toml": BASE, "b.toml": feature(PAY + 'entity = "laon"')})
    [error] = caught.value.errors
    assert (error.file, error.table, error.entry, error.field) == ("b.toml", "feature", "f", "entity")
    assert error.message == "unknown entity 'laon'; did you mean 'loan'?"


def test_what_stands_in_a_broken_file_is_no_unknown_name() -> None:
    [error] = errors_of(changed('on = ["login"]', 'on = ["logoff"]'), "[[event]]\nname")
    assert error.startswith("b.toml: is no TOML: ")
