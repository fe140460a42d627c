"""Records of a small layout of events, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import xxhash

from models.bad_rows import BadRow
from models.columns import BAD, Columns
from models.decoding import Decoder
from models.events import event_layout
from models.records import Record, Records
from tests.decoded import events

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
