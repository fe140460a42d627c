"""Inputs for the decoder: valid events, mutated. Each becomes a good event or exactly one bad row with its bytes.

Which of the two is decided by the slow oracle of tests/property/test_decoding.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from models.bad_rows import MAX_DEPTH
from models.columns import BAD, TICK, Columns
from models.events import MAX_EVENT_BYTES
from models.records import Record, Records
from tests.property.test_decoding import DECODER, is_event
from tests.strategies_json import EARLIEST, HOUR, NOW

BATCH = 1000
PIECES = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80"),
    *(b"null", b"true", b"false", b"NaN", b"Infinity", b"-0", b"1e999", b"1.5", b"-", b"0123", b"9" * 19, b"1" * 300),
    *(rb"\u0000", rb"\ud800", rb"\udc00", rb"\ud83d\ude00", rb"\u00e9", rb"\/", rb"\x"),
    *("智".encode(), b"\xf0\x9f\x98\x80"),
]  # fmt: skip
ODD_TEXTS = ["", "x" * 255, "x" * 256, "智" * 255, "c1", "pay", "\ud800", '"', "\\", "\u0000", "in"]
NUMBERS = [0, -1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 1.0, 1.5, 1e308, -0.0, 5e-324]


def columns_of(records: list[Record]) -> Columns:
    """The one place that calls the decoder."""
    return DECODER.columns("t", 0, Records.of(records))


def event(random: Random) -> dict[str, Any]:
    """A valid one."""
    body: dict[str, Any] = {
        "event_id": f"e{random.randrange(10**9)}",
        "event": random.choice(["pay", "pay", "start", "other"]),
        "customer_id": "c1",
        "event_time": random.randint(EARLIEST, NOW),
    }
    if random.random() < 0.5:
        body["channel"] = random.choice(["app", "fax", None, "智"])
    if random.random() < 0.7:
        body["properties"] = {
            "amount": random.choice([1, 2.5, None, -3e7]),
            "direction": random.choice(["in", "out", "up", None]),
            "first": random.choice([True, False, None]),
            "loan_id": random.choice(["l1", "l2", None]),
        }
    if random.random() < 0.2:
        body["context"] = {"a": [1, {"b": "x"}]}
    if random.random() < 0.3:
        body["received_at"] = random.choice([NOW, None, 0])
    return body


def _odd_value(random: Random) -> Any:
    form = random.randrange(6)
    if form == 0:
        return random.choice(ODD_TEXTS)
    if form == 1:
        return random.choice(NUMBERS)
    if form == 2:
        return random.choice([None, True, False, [], {}, [[]], {"a": None}])
    if form == 3:
        return random.choice([NOW + HOUR, NOW + HOUR + 1, EARLIEST, EARLIEST - 1])
    return {random.choice(ODD_TEXTS): random.choice(NUMBERS)} if form == 4 else [random.choice(NUMBERS)]


def _odd_field(random: Random, body: dict[str, Any]) -> dict[str, Any]:
    """One field is another, gone, or new."""
    inside = body.get("properties") if random.random() < 0.4 else body
    fields = inside if isinstance(inside, dict) else body
    name = random.choice([*fields, "session_id", "more", "received_at", "properties"])
    if random.random() < 0.2:
        fields.pop(name, None)
    else:
        fields[name] = _odd_value(random)
    return body


def _text(random: Random, body: dict[str, Any]) -> bytes:
    ascii_only, separators = random.random() < 0.5, random.choice([(",", ":"), (", ", ": "), (" ,", ":\t")])
    return json.dumps(body, ensure_ascii=ascii_only, separators=separators).encode(errors="surrogatepass")


def _doubled(random: Random, body: dict[str, Any]) -> bytes:
    """A key twice, the second time with another value."""
    name = random.choice(list(body))
    again = json.dumps({name: _odd_value(random)}).encode()
    return _text(random, body)[:-1] + b"," + again[1:]


def _nested(random: Random, body: dict[str, Any]) -> bytes:
    depth = random.choice([1, 5, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH, 2000])
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    name = random.choice([b"more", b"context", b"properties"])
    inner = opening * depth + random.choice([b"1", b'"x"', b"null"]) + closing * (depth - random.randrange(2))
    return _text(random, body)[:-1] + b',"' + name + b'":' + inner + b"}"


def _long(random: Random, body: dict[str, Any]) -> bytes:
    size = random.choice([100, 511, 512, 513, MAX_EVENT_BYTES])
    return _text(random, body | {"more": "y" * (size + random.randint(-200, 200) if size < 1000 else size)})


def _flipped(random: Random, body: dict[str, Any]) -> bytes:
    """Bytes changed, dropped, put in, cut off."""
    value = bytearray(_text(random, body))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(value) + 1)
        form = random.randrange(4)
        if form == 0 and at < len(value):
            value[at] ^= 1 << random.randrange(8)
        elif form == 1:
            value[at : at + random.randint(0, 3)] = random.choice(PIECES)
        elif form == 2:
            del value[at : at + random.randint(1, 5)]
        elif random.random() < 0.2:
            del value[at:]
    return bytes(value)


def _noise(random: Random, body: dict[str, Any]) -> bytes:
    return random.choice([random.randbytes(random.randrange(40)), b"".join(random.choices(PIECES, k=8)), b""])


FORMS: list[Callable[[Random, dict[str, Any]], bytes]] = [
    *[_text] * 3,
    *[lambda random, body: _text(random, _odd_field(random, body))] * 6,
    *[_flipped] * 8,
    *[_doubled] * 2,
    _nested,
    _noise,
]


def record(random: Random, offset: int) -> Record:
    """An input, of some form."""
    form = _long if random.randrange(500) == 0 else random.choice(FORMS)
    value = form(random, event(random)) if random.randrange(200) else None
    key = b"c1" if random.randrange(20) else random.choice([None, b"", b"c2", b"\xff"])
    headers = random.choice([(("zhice", b"tick"),), (("zhice", b"tock"),)]) if random.randrange(50) == 0 else ()
    return Record(offset, NOW, key, value, headers)


def fuzz(seed: int, first: int, last: int) -> int:
    """Inputs number first … last - 1 of a seed; returns how many were good events. Raises AssertionError."""
    good = 0
    for start in range(first, last, BATCH):
        random = Random(f"decoder {seed} {start}")
        records = [record(random, start + row) for row in range(min(BATCH, last - start))]
        good += check(records, columns_of(records))
    return good


def check(records: list[Record], columns: Columns) -> int:
    """One row each, and for each bad one a bad row with its bytes; returns the number of good events."""
    assert len(columns) == len(records)
    kinds = columns.event_type.tolist()
    bad = {row.offset: row for row in columns.bad_rows}
    assert len(bad) == len(columns.bad_rows) == kinds.count(BAD)
    for one, kind in zip(records, kinds, strict=True):
        if kind == BAD:
            row = bad[one.offset]
            assert (row.key, row.value, row.timestamp) == (one.key, one.value, one.timestamp), one
        elif kind == TICK:
            assert not one.value and one.headers == (("zhice", b"tick"),), one
        else:
            assert one.offset not in bad, one
        assert _is_event(one) == (kind > TICK), one
    return sum(kind > TICK for kind in kinds)


def _is_event(one: Record) -> bool:
    value = one.value or b""
    if len(value) > MAX_EVENT_BYTES or _depth(value) > MAX_DEPTH:
        return False
    return is_event(one)


def _depth(value: bytes) -> int:
    """How deep arrays and objects are nested, byte by byte."""
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = at = 0
    inside = False
    while at < len(value):
        byte = value[at : at + 1]
        if inside:
            at += byte == b"\\"
            inside = byte != b'"'
        elif byte == b'"':
            inside = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
        at += 1
    return deepest
