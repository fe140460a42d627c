"""What each kind of bad row says, and that it costs only itself."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from models.bad_rows import MAX_PUBLISHED_BYTES, BadRow, Reason
from models.columns import BAD, Field
from models.events import MAX_AHEAD_MS, MAX_EVENT_BYTES, MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS
from models.records import Record, Records
from tests.pay_events import COLUMN, DECODER, ENVELOPE, NOW, bad_row, event, pay, record

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


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (b'{"a": "\\ud83d"}', "a string has half of a surrogate pair"),
        (b'"\\ud83d"', "a string has half of a surrogate pair"),
        (b"  \r\n\t", "nothing but white space"),
        (b'{"a": "\\ud83d', "Input data was truncated"),
        (b'{"a": 1', "Input data was truncated"),
    ],
)
def test_only_what_is_cut_is_called_truncated(value: bytes, detail: str) -> None:
    assert bad_row(record(value)).detail == detail


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


@pytest.mark.parametrize("size", [0, 1, MAX_PUBLISHED_BYTES])
def test_what_a_broker_takes_is_published_as_it_is(size: int) -> None:
    row = bad_row(record(b"\xff" * size, key=b"k" * size))
    assert row.published() is row
    assert b"_bytes" not in msgspec.json.encode(row)


def test_of_what_is_too_large_the_beginning_is_published_and_its_size() -> None:
    """As base64 3.2 MB were more than the topic takes: the worker never came past the record."""
    value, key = b"\xff" * 3_200_000, b"k" * (MAX_PUBLISHED_BYTES + 1)
    row = bad_row(record(value, key=key))
    assert (row.key, row.value) == (key, value)  # the lake has every byte
    published = row.published()
    assert (published.key, published.key_bytes) == (key[:-1], len(key))
    assert (published.value, published.value_bytes) == (value[:MAX_PUBLISHED_BYTES], 3_200_000)
    assert msgspec.json.decode(msgspec.json.encode(published), type=BadRow) == published
    assert bad_row(record(value)).published().key_bytes is msgspec.UNSET


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
