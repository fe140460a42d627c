"""The catalogue: each thing that is wrong has its line; events, features, tags, and all errors at once."""

# ruff: noqa: E501  (in the tables, a case is a line)

from __future__ import annotations

import pytest

from models.catalogue import CatalogueErrors, load
from tests.catalogue_texts import BASE, changed, errors_of, feature

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
        (changed('name = "bank"', 'name = "bank"\ntime_zone = "localtime"'), "a.toml: [catalogue] bank: time_zone: unknown time zone 'localtime'"),
        (changed('name = "bank"', 'name = "bank"\ntime_zone = "posix/Asia/Shanghai"'), "a.toml: [catalogue] bank: time_zone: unknown time zone 'posix/Asia/Shanghai'"),
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
        ("interval", "'interval' is a word of SQL, so that no expression can read it"),  # of `interval + 1`
        ("symmetric", "'symmetric' is a word of SQL, so that no expression can read it"),  # of BETWEEN
        ("lambda", "'lambda' is a word of SQL, so that no expression can read it"),  # of a call
        ("values", "'values' is a word of SQL, so that no expression can read it"),  # in parentheses
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
