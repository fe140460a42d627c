"""The oracle's reading of records: what is a tick, what is a valid event, and what expressions read of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from models.catalogue import Catalogue
from tests.oracle_expressions import Value

FIRST_EVENT_TIME = 946_684_800_000  # 2000-01-01
LAST_EVENT_TIME = 4_102_444_800_000  # 2100-01-01
AHEAD_MS = 3_600_000


@dataclass(frozen=True)
class Event:
    """A valid event; `properties` has those that its type declares, with the values that expressions see."""

    id: str
    type: str
    customer_id: str
    time: int
    channel: str | None
    time_zone: str
    properties: dict[str, Any]

    def value_of(self, name: str) -> Value:
        """An envelope column or a property; NULL where there is none."""
        local = datetime.fromtimestamp(self.time // 1000, ZoneInfo(self.time_zone))
        envelope: dict[str, Value] = {
            "channel": self.channel,
            "event": self.type,
            "event_time": float(self.time),
            "event_hour": float(local.hour),
            "event_weekday": float(local.isoweekday()),
        }
        return envelope[name] if name in envelope else self.properties.get(name)


def is_tick(record: Any) -> bool:
    """A record that only carries time."""
    return ("zhice", b"tick") in [tuple(header) for header in record.headers] and record.value is None


def time_of(record: Any) -> int:
    """What a record says of the time; one that says what cannot be says nothing, which is the first of all times."""
    possible = FIRST_EVENT_TIME <= record.timestamp <= LAST_EVENT_TIME
    return int(record.timestamp) if possible else FIRST_EVENT_TIME


def decode(record: Any, catalogue: Catalogue) -> Event | None:
    """The event of a record, or None for a bad row."""
    try:
        body = json.loads(record.value)
    except (ValueError, TypeError):
        return None
    if not isinstance(body, dict) or not isinstance(body.get("properties"), dict | None):
        return None
    texts = [body.get(name) for name in ("event_id", "event", "customer_id")]
    time, channel = body.get("event_time"), body.get("channel")
    if not all(isinstance(text, str) and 0 < len(text) <= 255 for text in texts):
        return None
    if type(time) is not int or not FIRST_EVENT_TIME <= time <= min(record.timestamp + AHEAD_MS, LAST_EVENT_TIME):
        return None
    if record.timestamp > LAST_EVENT_TIME or record.key != texts[2].encode() or not isinstance(channel, str | None):
        return None
    if (properties := _properties(body, catalogue)) is None:
        return None
    return Event(*texts, time, channel, catalogue.time_zone, properties)


def _properties(body: dict[str, Any], catalogue: Catalogue) -> dict[str, Any] | None:
    """What the event's type declares; None if one is not of its type. Choice: all else is NULL."""
    [declared] = [event.properties for event in catalogue.events if event.name == body["event"]] or [{}]
    given, values = body.get("properties") or {}, {}
    for name, kind in declared.items():
        wanted = {"number": (int, float), "boolean": (bool,)}.get(kind if isinstance(kind, str) else "", (str,))
        value = given.get(name)
        if value is not None and type(value) not in wanted:
            return None
        values[name] = float(value) if type(value) is int else value
    return values


def to_float(value: Value, declared: Sequence[str] = ()) -> float | None:
    """A value as it stands in a matrix: of a string its number among the declared ones, or -1."""
    if isinstance(value, str):
        return float(declared.index(value)) if value in declared else -1.0
    return None if value is None else float(value)
