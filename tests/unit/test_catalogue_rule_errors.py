"""The catalogue: each thing that is wrong with journeys, rules, gates and policies has its line."""

# ruff: noqa: E501  (in the tables, a case is a line)

from __future__ import annotations

import pytest

from models.catalogue import load
from tests.catalogue_texts import BASE, errors_of, rule

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
