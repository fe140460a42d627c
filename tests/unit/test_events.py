"""Records become columns: what is read of events, and what each kind of bad row says."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import numpy as np
import pytest
import xxhash
from msgspec import Raw

from models.bad_rows import MAX_DEPTH, BadRow, Reason
from models.columns import BAD, TICK, UNKNOWN, Columns, Field
from models.decoding import Decoder
from models.events import (
    MAX_AHEAD_MS,
    MAX_EVENT_BYTES,
    MAX_EVENT_TIME_MS,
    MAX_ID_CHARS,
    MIN_EVENT_TIME_MS,
    Property,
    event_layout,
)
from models.records import Record, Records
from tests.decoded import events, texts

NOW = 1_700_000_000_000  # 2023-11-14T22:13:20Z, a Tuesday; Wednesday 06:13 in Shanghai
ENVELOPE = {"event_id": "e1", "event": "pay", "customer_id": "c1", "event_time": NOW}
TICK_HEADERS = (("zhice", b"tick"),)
EVENTS: dict[str, Any] = {
    "pay": {"amount": "number", "direction": ("in", "out"), "first": "boolean", "note": "string"},
    "apply": {"application_id": "string", "class": ("a", "b"), "direction": ("out", "none")},
    "start": {},
}
LAYOUT = event_layout(
    ["app", "branch"], "Asia/Shanghai", EVENTS, [("loan", "application_id", ["apply"]), ("note", "note", ["pay"])]
)
DECODER = Decoder(LAYOUT)
COLUMN = {column.name: number for number, column in enumerate(LAYOUT.properties)}


def record(value: Any, key: bytes | None = b"c1", offset: int = 0, **other: Any) -> Record:
    """A record of NOW; a value that is no bytes is written as JSON."""
    if not isinstance(value, bytes | None):
        value = json.dumps(value, ensure_ascii=False).encode()
    return Record(offset, other.get("timestamp", NOW), key, value, other.get("headers", ()))


def event(**fields: Any) -> dict[str, Any]:
    """A valid event with these fields; those that are ... are left out."""
    return {name: value for name, value in (ENVELOPE | fields).items() if value is not ...}


def pay(**properties: Any) -> dict[str, Any]:
    return event(properties=properties)


def hashed(text: str) -> int:
    """XXH64 as a signed number."""
    unsigned: int = xxhash.xxh64_intdigest(text.encode())
    return unsigned - (unsigned >> 63 << 64)


def columns(*records: Record) -> Columns:
    return DECODER.columns("zhice.events", 3, Records.of(records))


def bad_row(bad: Record) -> BadRow:
    decoded = columns(bad)
    assert decoded.event_type.tolist() == [BAD]
    assert events(decoded) == [None]
    (row,) = decoded.bad_rows
    return row


def cells(name: str, *values: Any) -> list[float]:
    return columns(*map(record, values)).properties[:, COLUMN[name]].tolist()


class TestLayout:
    def test_columns_are_the_envelope_then_what_expressions_read(self) -> None:
        assert LAYOUT.properties == (
            Property("channel", "string", ("app", "branch")),
            Property("event_time", "number"),
            Property("event_hour", "number"),
            Property("event_weekday", "number"),
            Property("amount", "number"),
            Property("direction", "string", ("in", "out", "none")),
            Property("first", "boolean"),
            Property("note", "string", ()),
            Property("application_id", "string", ()),
            Property("class", "string", ("a", "b")),
        )

    def test_a_property_has_one_kind(self) -> None:
        with pytest.raises(ValueError, match="'x' is number in one event and string in another"):
            event_layout([], "UTC", {"a": {"x": "number"}, "b": {"x": ("y",)}})

    def test_a_key_is_a_string(self) -> None:
        with pytest.raises(ValueError, match="'x' must be a string"):
            event_layout([], "UTC", {"a": {"x": "number"}}, [("loan", "x", ["a"])])


class TestEvents:
    def test_the_envelope_is_kept(self) -> None:
        context, properties = '{"ip" : "10.0.0.1"}', '{"amount": 1, "其他": [1e999]}'
        fields = event(channel="app", session_id="s", device_id="d", received_at=5)
        text = f'{json.dumps(fields)[:-1]}, "context": {context}, "properties": {properties}, "more": 1}}'
        (found,) = events(columns(record(text.encode())))
        assert found is not None
        assert (found.event_id, found.event, found.customer_id, found.event_time) == ("e1", "pay", "c1", NOW)
        assert (found.channel, found.session_id, found.device_id, found.received_at) == ("app", "s", "d", 5)
        assert (bytes(found.context).decode(), bytes(found.properties).decode()) == (context, properties)

    def test_null_is_absent(self) -> None:
        names = ("channel", "session_id", "device_id", "received_at", "context", "properties")
        nulls, absent = events(columns(record(event(**dict.fromkeys(names))), record(event())))
        assert nulls == absent
        assert absent is not None
        assert absent.context == absent.properties == Raw(b"")

    def test_numbers(self) -> None:
        values = [1, -2.5, 10**30, 1e-400, None]
        found = cells("amount", *(pay(amount=value) for value in values), pay(), event(), event(event="start"))
        assert np.array_equal(found, [1, -2.5, 1e30, 0, *[np.nan] * 4], equal_nan=True)

    def test_booleans(self) -> None:
        found = cells("first", *(pay(first=value) for value in (True, False, None)), pay())
        assert np.array_equal(found, [1, 0, np.nan, np.nan], equal_nan=True)

    def test_declared_values_have_the_number_of_the_union_over_events(self) -> None:
        apply = event(event="apply", properties={"direction": "none"})
        directions = [pay(direction=value) for value in ("in", "out", "none", "up", "", None)]
        found = cells("direction", *directions, apply, event())
        assert np.array_equal(found, [0, 1, 2, -1, -1, np.nan, 2, np.nan], equal_nan=True)

    def test_of_a_plain_string_only_its_presence_is_seen(self) -> None:
        found = cells("note", pay(note="x"), pay(note=None), pay(), event(event="start"))
        assert np.array_equal(found, [-1, np.nan, np.nan, np.nan], equal_nan=True)

    def test_channel(self) -> None:
        found = cells("channel", *(event(channel=value) for value in ("branch", "app", "fax", None)), event())
        assert np.array_equal(found, [1, 0, -1, np.nan, np.nan], equal_nan=True)

    def test_time_in_the_zone(self) -> None:
        decoded = columns(record(event()), record(b"{"))
        assert decoded.properties[0, 1:4].tolist() == [NOW, 6, 3]
        assert np.isnan(decoded.properties[1]).all()

    def test_customers(self) -> None:
        rows = [("b", "pay"), ("x", "other"), ("a", "start"), ("b", "pay"), ("客户", "pay")]
        decoded = columns(*(record(event(customer_id=who, event=what), who.encode()) for who, what in rows))
        assert texts(decoded, Field.CUSTOMER_ID) == ["b", "x", "a", "b", "客户"]
        assert decoded.customer_hash.tolist() == [hashed(who) for who, _ in rows]
        assert decoded.event_type.tolist() == [0, UNKNOWN, 2, 0, 0]

    def test_keys_are_those_of_the_event_types_concerned(self) -> None:
        rows = [("apply", "z"), ("pay", "y"), ("apply", "y"), ("apply", None), ("apply", "z")]
        decoded = columns(*(record(event(event=what, properties={"application_id": key})) for what, key in rows))
        assert texts(decoded, Field.KEYS) == ["z", None, "y", None, "z"]
        assert texts(decoded, Field.KEYS + 1) == [None] * 5

    def test_keys_over_event_types(self) -> None:
        decoder = Decoder(
            event_layout([], "UTC", EVENTS | {"end": EVENTS["apply"]}, [("loan", "application_id", ["end", "apply"])])
        )
        rows = [("end", "z"), ("apply", "y"), ("end", "x"), ("apply", "z"), ("start", "w")]
        records = [record(event(event=what, properties={"application_id": key})) for what, key in rows]
        assert texts(decoder.columns("t", 0, Records.of(records)), Field.KEYS) == ["z", "y", "x", "z", None]

    def test_a_key_is_checked_wherever_it_is_declared(self) -> None:
        """Also on an event type that does not concern its entity."""
        declared = EVENTS | {"end": EVENTS["apply"]}
        decoder = Decoder(event_layout([], "UTC", declared, [("loan", "application_id", ["apply"])]))
        rows = [event(event="end", properties={"application_id": key}) for key in ("x", "")]
        decoded = decoder.columns("t", 0, Records.of(map(record, rows)))
        assert texts(decoded, Field.KEYS) == [None, None]
        assert [row.field for row in decoded.bad_rows] == ["properties.application_id"]

    def test_ids_have_the_same_hash_in_every_process(self) -> None:
        escaped = json.dumps(event(event_id="交易")).encode()
        decoded = columns(
            record(event()), record(event(event_id="交易")), record(b""), record(event()), record(escaped)
        )
        first, second = hashed("e1"), hashed("交易")
        assert decoded.id_hash.tolist() == [first, second, 0, first, second]
        assert texts(decoded, Field.EVENT_ID) == ["e1", "交易", None, "e1", "交易"]

    def test_unknown_types_are_checked_in_their_envelope_only(self) -> None:
        decoded = columns(record(event(event="other", properties={"amount": "many"})))
        assert (decoded.event_type.tolist(), decoded.bad_rows) == ([UNKNOWN], [])
        assert decoded.properties[0, 1] == NOW
        assert bad_row(record(event(event="other", properties=[]))).field == "properties"

    def test_ticks(self) -> None:
        ticks = [record(None, None, headers=TICK_HEADERS), record(b"", headers=[["zhice", b"tick"]])]
        decoded = columns(*ticks)
        assert (decoded.event_type.tolist(), decoded.bad_rows) == ([TICK, TICK], [])
        assert decoded.timestamp.tolist() == [NOW, NOW]

    def test_a_value_makes_a_record_an_event_whatever_its_headers(self) -> None:
        assert columns(record(event(), headers=TICK_HEADERS)).event_type.tolist() == [0]

    def test_no_records(self) -> None:
        decoded = columns()
        assert (len(decoded), decoded.properties.shape) == (0, (0, len(LAYOUT.properties)))

    @pytest.mark.parametrize("time", [MAX_EVENT_TIME_MS + 1, NOW * 1000, 2**62, 2**63 - 1])
    def test_a_record_of_a_time_that_cannot_be_is_bad_and_moves_no_clock(self, time: int) -> None:
        decoded = columns(
            record(event()), record(event(), timestamp=time), record(None, headers=TICK_HEADERS, timestamp=time)
        )
        assert decoded.event_type.tolist() == [0, BAD, TICK]
        assert decoded.timestamp.tolist() == [NOW, MIN_EVENT_TIME_MS, MIN_EVENT_TIME_MS]
        [bad] = decoded.bad_rows
        assert (bad.reason, bad.field, bad.timestamp) == (Reason.TIME_OUT_OF_RANGE, None, time)

    @pytest.mark.parametrize("time", [-1, 0, NOW // 1000, -(2**63)])
    def test_a_record_before_all_events_moves_no_clock(self, time: int) -> None:
        decoded = columns(record(event(), timestamp=time))
        assert (decoded.event_type.tolist(), decoded.timestamp.tolist()) == ([BAD], [MIN_EVENT_TIME_MS])

    def test_limits_are_inclusive(self) -> None:
        name = "名" * MAX_ID_CHARS
        size = MAX_EVENT_BYTES - len(json.dumps(event(more="")))
        good = [
            record(event(event_time=MIN_EVENT_TIME_MS)),
            record(event(event_time=NOW + MAX_AHEAD_MS)),
            record(event(event_time=MAX_EVENT_TIME_MS), timestamp=MAX_EVENT_TIME_MS),
            record(event(event_id=name, event=name, customer_id=name), name.encode()),
            record(event(more="x" * size)),
            record(event(context=json.loads('{"x":' * (MAX_DEPTH - 1) + "1" + "}" * (MAX_DEPTH - 1)))),
            record(event(context={"x": "[{" * 999})),
        ]
        assert columns(*good).bad_rows == []


NO_OBJECT: list[Any] = [[], "text", 1, None, True]
BAD_VALUES: list[tuple[str, Any, Reason, str | None]] = [
    ("none", None, Reason.EMPTY_VALUE, None),
    ("no bytes", b"", Reason.EMPTY_VALUE, None),
    ("blank", b" ", Reason.NOT_JSON, None),
    ("text", b"hello", Reason.NOT_JSON, None),
    ("cut", json.dumps(event()).encode()[:-1], Reason.NOT_JSON, None),
    ("trailing garbage", json.dumps(event()).encode() + b"}", Reason.NOT_JSON, None),
    ("byte order mark", b"\xef\xbb\xbf" + json.dumps(event()).encode(), Reason.NOT_JSON, None),
    ("UTF-16", json.dumps(event()).encode("utf-16"), Reason.NOT_UTF8, None),
    ("NaN", json.dumps(pay(amount=float("nan"))).encode(), Reason.NOT_JSON, None),
    ("Infinity", json.dumps(pay(amount=float("inf"))).encode(), Reason.NOT_JSON, None),
    ("lone surrogate", json.dumps(event(customer_id="\ud800")).encode(), Reason.NOT_JSON, None),
    ("control character", b'{"x": "\x01"}', Reason.NOT_JSON, None),
    ("broken after a mistyped field", b'{"event_id": 1, oops}', Reason.NOT_JSON, None),
    ("not UTF-8 in an id", b'{"event_id": "\xff"}', Reason.NOT_UTF8, None),
    (
        "not UTF-8 in properties",
        json.dumps(pay(other="?")).encode().replace(b"?", b"\xc3\x28"),
        Reason.NOT_UTF8,
        None,
    ),
    (
        "not UTF-8 in context",
        json.dumps(event(context={"x": "?"})).encode().replace(b"?", b"\xed\xa0\x80"),
        Reason.NOT_UTF8,
        None,
    ),
    ("not UTF-8 in a name", json.dumps(event(**{"?": 1})).encode().replace(b"?", b"\xff"), Reason.NOT_UTF8, None),
    ("too large", event(more="x" * MAX_EVENT_BYTES), Reason.TOO_LARGE, None),
    ("too large and no JSON", b"[" * (MAX_EVENT_BYTES + 1), Reason.TOO_LARGE, None),
    ("deep", b"[" * MAX_EVENT_BYTES, Reason.TOO_DEEP, None),
    (
        "deep properties",
        b'{"properties":' + b'{"x":' * 5_000 + b"1" + b"}" * 5_001,
        Reason.TOO_DEEP,
        None,
    ),
    *((f"is {value}", json.dumps(value).encode(), Reason.NOT_AN_OBJECT, None) for value in NO_OBJECT),
    *((f"no {name}", event(**{name: ...}), Reason.MISSING_FIELD, name) for name in ENVELOPE),
    *((f"{name} null", event(**{name: None}), Reason.MISTYPED_FIELD, name) for name in ENVELOPE),
    *(
        (f"{name} a list", event(**{name: []}), Reason.MISTYPED_FIELD, name)
        for name in (*ENVELOPE, "channel", "session_id", "device_id", "received_at", "context", "properties")
    ),
    *((f"{name} empty", event(**{name: ""}), Reason.EMPTY_ID, name) for name in list(ENVELOPE)[:3]),
    *((f"{name} long", event(**{name: "名" * 256}), Reason.ID_TOO_LONG, name) for name in list(ENVELOPE)[:3]),
    ("time a text", event(event_time=str(NOW)), Reason.MISTYPED_FIELD, "event_time"),
    ("time a fraction", event(event_time=NOW + 0.5), Reason.MISTYPED_FIELD, "event_time"),
    ("time a boolean", event(event_time=True), Reason.MISTYPED_FIELD, "event_time"),
    ("time beyond 64 bits", event(event_time=2**63), Reason.TIME_OUT_OF_RANGE, "event_time"),
    ("time in microseconds", event(event_time=NOW * 1000), Reason.TIME_OUT_OF_RANGE, "event_time"),
    ("time late", event(event_time=MAX_EVENT_TIME_MS + 1), Reason.TIME_OUT_OF_RANGE, "event_time"),
    (
        "time without end",
        json.dumps(event()).replace(str(NOW), "9" * 5_000).encode(),
        Reason.MISTYPED_FIELD,
        "event_time",
    ),
    ("time infinite", json.dumps(event()).replace(str(NOW), "1e999").encode(), Reason.MISTYPED_FIELD, "event_time"),
    ("time negative", event(event_time=-1), Reason.TIME_OUT_OF_RANGE, "event_time"),
    ("time early", event(event_time=MIN_EVENT_TIME_MS - 1), Reason.TIME_OUT_OF_RANGE, "event_time"),
    ("time in seconds", event(event_time=NOW // 1000), Reason.TIME_OUT_OF_RANGE, "event_time"),
    ("time ahead", event(event_time=NOW + MAX_AHEAD_MS + 1), Reason.TIME_OUT_OF_RANGE, "event_time"),
    ("received beyond 64 bits", event(received_at=-(2**63) - 1), Reason.MISTYPED_FIELD, "received_at"),
    ("number a text", pay(amount="1"), Reason.MISTYPED_FIELD, "properties.amount"),
    ("number a boolean", pay(amount=True), Reason.MISTYPED_FIELD, "properties.amount"),
    (
        "number beyond a float",
        json.dumps(pay(amount=1.5)).replace("1.5", "1e309").encode(),
        Reason.MISTYPED_FIELD,
        "properties.amount",
    ),
    (
        "integer beyond a float",
        json.dumps(pay(amount=1.5)).replace("1.5", "9" * 400).encode(),
        Reason.MISTYPED_FIELD,
        "properties.amount",
    ),
    ("boolean a number", pay(first=1), Reason.MISTYPED_FIELD, "properties.first"),
    ("text a number", pay(note=1), Reason.MISTYPED_FIELD, "properties.note"),
    ("value a number", pay(direction=1), Reason.MISTYPED_FIELD, "properties.direction"),
    (
        "second of two",
        b'{"properties": 1,' + json.dumps(pay(first=1)).encode()[1:],
        Reason.MISTYPED_FIELD,
        "properties.first",
    ),
    ("key empty", pay(note=""), Reason.EMPTY_ID, "properties.note"),
    ("key long", pay(note="x" * 256), Reason.ID_TOO_LONG, "properties.note"),
    (
        "named like a keyword",
        event(event="apply", properties={"class": 1}),
        Reason.MISTYPED_FIELD,
        "properties.class",
    ),
    (
        "no properties declared",
        event(event="start", properties=1),
        Reason.MISTYPED_FIELD,
        "properties",
    ),
    ("another customer", event(customer_id="c2"), Reason.WRONG_KEY, "customer_id"),
]


@pytest.mark.parametrize(
    ("value", "reason", "field"), [case[1:] for case in BAD_VALUES], ids=[c[0] for c in BAD_VALUES]
)
def test_bad_values(value: Any, reason: Reason, field: str | None) -> None:
    bad = record(value, offset=77)
    row = bad_row(bad)
    assert (row.reason, row.field) == (reason, field)
    assert (row.topic, row.partition, row.offset, row.timestamp) == ("zhice.events", 3, 77, NOW)
    assert (row.key, row.value) == (bad.key, bad.value)
    assert row.detail
    assert "\n" not in row.detail


@pytest.mark.parametrize("key", [None, b"", b"c2", b"c1 ", b"\xff"])
def test_the_key_is_the_customer_id(key: bytes | None) -> None:
    row = bad_row(record(event(), key))
    assert (row.reason, row.field, row.key) == (Reason.WRONG_KEY, "customer_id", key)


def test_every_reason_is_tried() -> None:
    assert {case[2] for case in BAD_VALUES} == set(Reason)


def test_a_bad_row_in_json_keeps_every_byte() -> None:
    row = bad_row(record(b'\xff\x00"', key=b"\xfe"))
    text = json.loads(msgspec.json.encode(row))
    assert text["reason"] == "not_utf8"
    assert (base64.b64decode(text["value"]), base64.b64decode(text["key"])) == (b'\xff\x00"', b"\xfe")
    assert msgspec.json.decode(msgspec.json.encode(row), type=BadRow) == row


def log(n: int) -> list[Record]:
    return [
        record(event(event_id=f"e{i}", customer_id=f"c{i % 97}", properties={"amount": i}), f"c{i % 97}".encode(), i)
        for i in range(n)
    ]


@pytest.mark.parametrize("at", [0, 2_500, 4_999])
@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{", b"[]", b"[" * 9_999, b"{}", json.dumps(event()).encode()])
def test_one_bad_row_among_5000_costs_only_itself(at: int, value: bytes | None) -> None:
    records = log(5_000)
    records[at] = records[at]._replace(value=value, key=b"other")
    decoded = DECODER.columns("t", 0, Records.of(records))
    good = np.delete(np.arange(5_000), at)
    assert [row.offset for row in decoded.bad_rows] == [at]
    assert decoded.event_type[at] == BAD
    assert (decoded.event_type[good] == 0).all()
    assert np.array_equal(decoded.properties[good, COLUMN["amount"]], good)
    customers = decoded.texts(Field.CUSTOMER_ID).take(good).to_list()
    assert customers == [f"c{i % 97}".encode() for i in good.tolist()]


def test_200_bad_rows_in_a_row() -> None:
    records = log(1_000)
    broken = range(400, 600)
    for at in broken:
        records[at] = records[at]._replace(value=(records[at].value or b"")[: at % 100])
    decoded = DECODER.columns("t", 0, Records.of(records))
    assert [(row.offset, row.value) for row in decoded.bad_rows] == [(at, records[at].value) for at in broken]
    assert np.flatnonzero(decoded.event_type == BAD).tolist() == list(broken)
    assert np.count_nonzero(decoded.event_type == 0) == 800
