"""Any file that DuckDB reads becomes records: every text, time and number of it comes out as it went in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from streams.record_files import read_records
from streams.sources import SourceError, write_records

AT = 1_740_819_600_000  # 2025-03-01 09:00 UTC


def records_of(folder: Path, sql: str, name: str = "source.parquet") -> list[tuple[int, str, dict[str, Any]]]:
    """(timestamp, key, event) of what a query makes of a file that has one row."""
    target = folder / "records.parquet"
    count = write_records(made_source(folder, name), sql, target)
    found = []
    for records in read_records(target):
        for _, timestamp, key, value, _ in map(records.record, range(records.count)):
            found.append((timestamp, (key or b"").decode(), strict(value)))
    assert len(found) == count
    return found


def made_source(folder: Path, name: str = "source.parquet") -> str:
    """The path of a file that has one row."""
    source = str(folder / name)
    duckdb.execute(f"COPY (SELECT 1 AS one) TO '{source.replace(chr(39), chr(39) * 2)}'")
    return source


def strict(value: bytes | None) -> Any:
    """JSON without what only Python reads."""
    msgspec.json.decode(value or b"")
    return json.loads(value or b"")


@pytest.mark.parametrize("text", ["用户1", "a\\x41b", "back\\slash", 'say "hi"', "two\nlines", "tab\t", "😀", "ü'--"])
def test_texts_come_out_as_they_went_in(text: str, tmp_path: Path) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    sql = f"SELECT {quoted} AS customer_id, 'view' AS event, {AT} AS event_time, {quoted} AS note FROM source"
    [(timestamp, key, event)] = records_of(tmp_path, sql)
    assert (timestamp, key) == (AT, text)
    assert (event["customer_id"], event["properties"]) == (text, {"note": text})


@pytest.mark.parametrize(
    "time",
    [f"{AT}", "TIMESTAMP '2025-03-01 09:00'", "'2025-03-01 09:00:00'", "TIMESTAMPTZ '2025-03-01 10:00+01:00'",
     "'2025-03-01 17:00:00+08:00'::TIMESTAMPTZ_NS", "TIMESTAMP_NS '2025-03-01 09:00:00'",
     "TIMESTAMP_MS '2025-03-01 09:00'", "TIMESTAMP_S '2025-03-01 09:00'",
     "'2025-03-01T09:00:00'", "'2025-03-01T09:00:00.000Z'", "'2025-03-01T17:00:00+08:00'", "'2025-03-01T17:00:00+0800'",
     "'2025-03-01 17:00:00 Asia/Shanghai'", "'2025-03-01T04:30:00-04:30'", """'"2025-03-01T17:00:00+08:00"'::JSON""",
     f"{AT}::HUGEINT", f"{AT}::UBIGINT", f"{AT}::DOUBLE", f"{AT}::DECIMAL(13, 0)", f"{AT}::DECIMAL(20, 3)"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["event_time", "received_at"])
def test_times_are_milliseconds_in_utc(field: str, time: str, tmp_path: Path) -> None:
    other = {"event_time": "received_at", "received_at": "event_time"}[field]
    [(timestamp, _, event)] = records_of(
        tmp_path, f"SELECT 'c' AS customer_id, 'view' AS event, {time} AS {field}, {AT} AS {other} FROM source"
    )
    assert timestamp == event["event_time"] == event["received_at"] == AT


def test_a_day_is_its_beginning_in_utc(tmp_path: Path) -> None:
    [(timestamp, _, _)] = records_of(
        tmp_path, "SELECT 'c' AS customer_id, 'view' AS event, DATE '2025-03-01' AS event_time FROM source"
    )
    assert timestamp == AT - 9 * 3_600_000


@pytest.mark.parametrize("time", ["'NaN'::DOUBLE", "'infinity'::TIMESTAMP", "'infinity'", "NULL", "NULL::DECIMAL(9)"])
def test_a_time_that_is_none_is_null(time: str, tmp_path: Path) -> None:
    sql = f"SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, {time} AS received_at FROM source"
    [(_, _, event)] = records_of(tmp_path, sql)
    assert (event["event_time"], event["received_at"]) == (AT, None)


@pytest.mark.parametrize(
    ("time", "said"),
    [("1740819600.5::DOUBLE", "event_time 1740819600.5 is no whole number of ms: make a time of it in the query"),
     ("1740819600.123", "event_time 1740819600.123 is no whole number of ms"),
     ("1740819600000::FLOAT", "event_time is FLOAT, which is no time: make a time of it in the query"),
     ("TIME '09:00'", "event_time is TIME, which is no time"), ("TRUE", "event_time is BOOLEAN"),
     ("'1740819600000'", '"1740819600000".*: make a time of it in the query'),
     ("'1.3.2025'", "1.3.2025.*: make a time of it in the query, as in: strptime")],
)  # fmt: skip
def test_what_is_no_time_says_what_to_do(time: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        records_of(tmp_path, f"SELECT 'c' AS customer_id, 'view' AS event, {time} AS event_time FROM source")
    assert "COPY" not in str(caught.value)


def test_other_columns_are_properties_of_their_types(tmp_path: Path) -> None:
    sql = f"""SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, 'e7' AS event_id, 1.5 AS "Order No",
              TRUE AS "a.b", NULL AS nothing, 12345678901::BIGINT AS large, {{'os': 'ios'}} AS context FROM source"""
    [(_, _, event)] = records_of(tmp_path, sql)
    assert event["properties"] == {"Order No": 1.5, "a.b": True, "nothing": None, "large": 12_345_678_901}
    assert (event["event_id"], event["context"]) == ("e7", {"os": "ios"})


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    names = ["number", "timestamp", "key", "value", "row", "wanted", "source", "n", "nn", "rowid", "n" * 40]
    columns = ", ".join(f'{number} AS "{name}"' for number, name in enumerate(names, 100))
    sql = f"""SELECT 'c' AS customer_id, 'view' AS event, {AT} + turn AS event_time, {columns}
              FROM source, range(3) AS turns(turn)"""
    found = records_of(tmp_path, sql)
    assert [(timestamp, key, event["event_id"]) for timestamp, key, event in found] == [
        (AT + turn, "c", f"row-{turn + 1}") for turn in range(3)
    ]
    assert all(event["properties"] == dict(zip(names, range(100, 111), strict=True)) for _, _, event in found)


PROPERTIES = '{"amount": 5, "kind": "a", "deep": {"b": [1, null]}}'


@pytest.mark.parametrize("field", ["properties", "context"])
@pytest.mark.parametrize(
    "object_",
    [f"'{PROPERTIES}'", f"'{PROPERTIES}'::JSON", "{'amount': 5, 'kind': 'a', 'deep': {'b': [1, NULL]}}",
     """MAP {'amount': '5'::JSON, 'kind': '"a"'::JSON, 'deep': '{"b": [1, null]}'::JSON}"""],
    ids=["text", "json", "struct", "map"],
)  # fmt: skip
def test_an_object_of_the_event_is_taken_as_it_is(field: str, object_: str, tmp_path: Path) -> None:
    sql = f"SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, {object_} AS {field} FROM source"
    [(_, _, event)] = records_of(tmp_path, sql)
    assert event[field] == json.loads(PROPERTIES)
    assert event.keys() == {"event_id", "customer_id", "event", "event_time", field}


@pytest.mark.parametrize(
    ("object_", "found"),
    [(f"'{PROPERTIES}'", {"amount": 7, "kind": "a", "deep": {"b": [1, None]}, "More": 8}),
     ("{'amount': 5, 'n': NULL}", {"amount": 7, "n": None, "More": 8}), ("NULL", {"amount": 7, "More": 8}),
     ("NULL::VARCHAR", {"amount": 7, "More": 8}), ("'null'::JSON", {"amount": 7, "More": 8}),
     ("'{}'", {"amount": 7, "More": 8}), ("'[1]'", [1]),
     ("'no JSON'", "no JSON"), ("''", ""), ("5", 5), ("[{'a': 1}]", [{"a": 1}])],
)  # fmt: skip
def test_other_columns_are_added_to_the_properties_and_win(object_: str, found: Any, tmp_path: Path) -> None:
    """What is no object stays as it is: the worker makes a bad row of it."""
    sql = f"""SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, 7 AS amount, {object_} AS Properties,
              8 AS "More", NULL AS kind FROM source"""
    [(_, _, event)] = records_of(tmp_path, sql)
    assert event["properties"] == found


def test_names_of_the_envelope_match_in_capitals_too(tmp_path: Path) -> None:
    sql = f"""SELECT 'c' AS "Customer_ID", 'view' AS "EVENT", {AT} AS "Event_Time", 'e7' AS "Event_ID",
              'app' AS Channel, 5 AS "Amount", 6 AS "CustomerID" FROM source"""
    [(timestamp, key, event)] = records_of(tmp_path, sql)
    assert (timestamp, key) == (AT, "c")
    assert event == {
        "event_id": "e7", "event": "view", "customer_id": "c", "event_time": AT, "channel": "app",
        "properties": {"Amount": 5, "CustomerID": 6},
    }  # fmt: skip


def test_events_as_json_come_through_as_they_are(tmp_path: Path) -> None:
    """Whatever the file's compression: `SELECT *` of lines of events is those events."""
    made = [
        {"event_id": kind, "event": "pay", "customer_id": "c", "event_time": AT,
         "properties": {"amount": 5.5, "kind": kind}, "context": {"os": "ios"}}
        for kind in ("a", "b")
    ]  # fmt: skip
    source, target = tmp_path / "log.ndjson.gz", tmp_path / "records.parquet"
    source.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in made).encode()))
    assert write_records(str(source), "SELECT * FROM source", target) == 2
    assert [json.loads(batch.values.value(row) or b"") for batch in read_records(target) for row in range(2)] == made


def test_what_json_has_not_is_null(tmp_path: Path) -> None:
    sql = f"""SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, 'NaN'::DOUBLE AS a, '-inf'::FLOAT AS b,
              0.5::FLOAT AS c FROM source"""
    [(_, _, event)] = records_of(tmp_path, sql)
    assert event["properties"] == {"a": None, "b": None, "c": 0.5}


@pytest.mark.parametrize("of_others", ["'NaN'", "'Infinity \"-Infinity'", "'NaN'::DOUBLE"])
def test_numbers_keep_their_digits_beside_what_json_has_not(of_others: str, tmp_path: Path) -> None:
    amount = "123456789012345678.12345678901234567890"
    sql = f"""SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, {amount}::DECIMAL(38, 20) AS amount,
              {of_others} AS other FROM source"""
    write_records(made_source(tmp_path), sql, tmp_path / "records.parquet")
    (records,) = read_records(tmp_path / "records.parquet")
    assert f'"amount":{amount},'.encode() in (records.values.value(0) or b"")


@pytest.mark.parametrize(
    ("value", "found"),
    [("['NaN'::DOUBLE, 1.5]", [None, 1.5]), ("{'x': {'y': ['-inf'::FLOAT]}}", {"x": {"y": [None]}}),
     ("MAP {'x': 'inf'::DOUBLE}", {"x": None}), ("""'{"x": [NaN, -Infinity]}'::JSON""", {"x": [None, None]}),
     ("'[NaN, Infinity]'", "[NaN, Infinity]"),
     ("{'NaN': 'nan\u4e00', 'n': ['NaN'::DOUBLE]}", {"NaN": "nan一", "n": [None]}),
     ("{'n': 12345678901234567890123::HUGEINT, 'x': 'NaN'::DOUBLE}", {"n": 12345678901234567890123, "x": None})],
)  # fmt: skip
@pytest.mark.parametrize("of_envelope", [False, True])
def test_what_json_has_not_is_null_within_others_too(
    value: str, found: object, of_envelope: bool, tmp_path: Path
) -> None:
    more = f", {{'a': {value}}} AS properties, {{'a': {value}}} AS context" if of_envelope else f", {value} AS a"
    sql = f"SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, 'NaN'::DOUBLE AS b {more} FROM source"
    [(_, _, event)] = records_of(tmp_path, sql)
    assert event["properties"] == ({"a": found} if of_envelope else {"a": found, "b": None})
    assert event.get("context") == ({"a": found} if of_envelope else None)


def test_a_row_without_a_time_or_a_customer_is_sent_with_the_others(tmp_path: Path) -> None:
    """The worker makes bad rows of them; their order stays."""
    sql = f"""SELECT customer_id, 'view' AS event, event_time FROM source, (
              VALUES ('a', NULL), ('b', {AT}), ('c', NULL), (NULL, {AT} + 5)) AS rows(customer_id, event_time)"""
    found = records_of(tmp_path, sql)
    assert [(timestamp, key) for timestamp, key, _ in found] == [(AT, "a"), (AT, "b"), (AT, "c"), (AT + 5, "")]
    assert [event["event_time"] for _, _, event in found] == [None, AT, None, AT + 5]


def test_a_number_that_is_a_customer_is_a_text(tmp_path: Path) -> None:
    [(_, key, event)] = records_of(tmp_path, f"SELECT 42 AS customer_id, 7 AS event, {AT} AS event_time FROM source")
    assert (key, event["customer_id"], event["event"]) == ("42", "42", "7")


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    sql = f"SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time FROM source"
    assert len(records_of(tmp_path, sql, "it's 一.parquet")) == 1


@pytest.mark.parametrize("name", ["[a].csv", "*.csv", "?.csv", "[!b].csv"])
def test_a_name_is_no_pattern_of_others(name: str, tmp_path: Path) -> None:
    """DuckDB would read `a.csv` in its place, or beside it."""
    (tmp_path / "a.csv").write_text("one\n2\n")
    sql = f"SELECT 'c' AS customer_id, 'view' AS event, {AT} AS event_time, one FROM source"
    [(_, _, event)] = records_of(tmp_path, sql, name)
    assert event["properties"] == {"one": 1}


@pytest.mark.parametrize(
    ("sql", "said"),
    [("SELECT 1 AS event FROM source", "no column customer_id, event_time"), ("SELECT nope FROM source", "nope"),
     ("SELEC 1", "syntax error"),
     ("SELECT 'c' AS customer_id, 'view' AS event, 'noon' AS event_time FROM source", "noon")],
)  # fmt: skip
def test_a_query_that_gives_no_events_is_an_error(sql: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=said):
        records_of(tmp_path, sql)
