"""Random logs of a catalogue: each record comes from a kind and a seed, so that any can be left out."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.strategies_catalogue import DURATIONS, PROPERTIES, Builder, Table

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
EDGES = [int(text[:-1]) * UNITS[text[-1]] for text in DURATIONS]
EXPIRES = (90 * SECOND, HOUR)  # of some rules
KINDS = ("event", "event", "event", "event", "event", "event", "near", "far", "tick", "bad", "unknown")
IMPOSSIBLE = (-1, 0, 1_767_265_200, 1_767_265_200_000_000, 2**62, 2**63 - 1, -(2**63))  # times of records
BROKEN = (b"", b"{", b"\xff\xfe", b"[1]", b"null", b'{"event": "pay"}', b'"text"')


class Record(NamedTuple):
    """A record with the attributes of aiokafka's ConsumerRecord."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Log:
    """A log in the making."""

    def __init__(self, builder: Builder, start: int, customers: int) -> None:
        self.events, self.customers = builder.tables["event"], customers
        self.zone = ZoneInfo(builder.head["time_zone"])
        self.quiet_hours = builder.tables["quiet_hours"]
        self.clock = start
        self.records: list[Record] = []
        self.bodies: list[Table] = []

    def add(self, random: Random) -> None:
        """Append a record."""
        kind = random.choice(KINDS)
        timestamp = self._timestamp(random)
        if kind == "tick":
            self._append(timestamp, None, None, (("zhice", b"tick"),))
        elif kind == "bad":
            self._bad(random, timestamp)
        else:
            body = self._repeated(random, kind) or self._event(random, timestamp)
            if kind == "unknown":
                body["event"] = "undeclared"
            self.bodies.append(body)
            self._append(timestamp, body["customer_id"].encode(), _json(body))

    def _append(self, timestamp: int, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        self.records.append(Record(len(self.records) + 7, timestamp, key, value, headers))
        self.clock = max(self.clock, timestamp)

    def _timestamp(self, random: Random) -> int:
        if self.quiet_hours and random.random() < 0.08:
            return self._edge_of_quiet_hours(random)
        form = random.random()
        if form < 0.3:
            return self.clock
        if form < 0.65:
            return self.clock + random.randrange(10 * MINUTE)
        if form < 0.75:
            return _snap(random, self.clock + random.randrange(2 * HOUR), self.zone)
        if form < 0.85:
            return self.clock + random.choice(EDGES) + random.choice((-1, 0, 0, 1))
        if form < 0.9:
            return self.clock - random.randrange(2 * HOUR)
        if form < 0.97:
            return self.clock + random.randrange(2 * DAY)
        return self.clock + random.randrange(120 * DAY)

    def _edge_of_quiet_hours(self, random: Random) -> int:
        """The next beginning or end of some quiet hours, or so long before it that a rule expires then, about."""
        edge = random.choice(self.quiet_hours)[random.choice(("from", "until", "until"))]
        hour, minute = map(int, edge.split(":"))
        today = datetime.fromtimestamp(self.clock // 1000, self.zone).replace(hour=hour, minute=minute, second=0)
        days = [today + timedelta(days=day) for day in (-1, 0, 1)]
        next_one = next((day for day in days if day.timestamp() * 1000 > self.clock + 1), days[-1])
        return int(next_one.timestamp()) * 1000 - random.choice((0, 0, 0, *EXPIRES)) + random.choice((-1, 0, 0, 1))

    def _event_time(self, random: Random, timestamp: int) -> int:
        form = random.random()
        if form < 0.45:
            return timestamp
        if form < 0.6 and self.bodies:
            return min(int(self.bodies[-1]["event_time"]), timestamp + HOUR)
        if form < 0.75:
            return timestamp - random.randrange(2 * HOUR)
        if form < 0.85:
            return min(_snap(random, timestamp - random.randrange(3 * DAY), self.zone), timestamp + HOUR)
        if form < 0.92:
            return timestamp - random.randrange(10 * DAY)
        if form < 0.95:
            return timestamp - random.randrange(400 * DAY)
        return timestamp + random.randint(0, HOUR)

    def _repeated(self, random: Random, kind: str) -> Table | None:
        """An earlier event again, most often as it was; "far" ones may be out of the last sixteen ids."""
        back = random.randint(1, 4) if kind == "near" else random.randint(10, 80)
        if kind not in ("near", "far") or back > len(self.bodies):
            return None
        body = dict(self.bodies[-back])
        if random.random() < 0.2:
            body["properties"] = self._properties(random, body["event"])
        return body

    def _event(self, random: Random, timestamp: int) -> Table:
        name = random.choice(self.events)["name"]
        body: Table = {
            "event_id": f"e{len(self.records)}",
            "event": name,
            "customer_id": f"c{random.randrange(self.customers)}",
            "event_time": self._event_time(random, timestamp),
            "properties": self._properties(random, name),
        }
        if random.random() < 0.8:
            body["channel"] = random.choice(("app", "web", "fax", None))
        return body

    def _properties(self, random: Random, name: str) -> Table:
        declared = next((event["properties"] for event in self.events if event["name"] == name), {})
        return {p: self._property(random, p) for p in declared if random.random() < 0.85}

    def _property(self, random: Random, name: str) -> Any:
        if random.random() < 0.08:
            return None
        kind = PROPERTIES[name]
        if kind == "number":
            return random.choice((0, 1, 2, -1, 0.25, 2.5, random.randrange(-40, 4000) / 4))
        if kind == "boolean":
            return random.random() < 0.5
        if kind == "string":
            return random.choice(("k1", "k2", "k3"))
        return random.choice((*kind, *kind, "undeclared"))

    def _bad(self, random: Random, timestamp: int) -> None:
        body = self._event(random, timestamp)
        form = random.randrange(6)
        if form == 4 and body["properties"]:
            body["properties"][random.choice([*body["properties"]])] = random.choice(([1], {"a": 1}))
            self._append(timestamp, body["customer_id"].encode(), _json(body))
        elif form == 0:
            self._append(timestamp, b"c0", random.choice(BROKEN))
        elif form == 1:
            del body[random.choice(("event_id", "event", "customer_id", "event_time"))]
            self._append(timestamp, b"c0", _json(body))
        elif form == 2:
            self._append(timestamp, b"somebody else", _json(body))
        elif form == 5:
            self.records.append(Record(len(self.records) + 7, random.choice(IMPOSSIBLE), b"c0", _json(body)))
        else:
            body["event_time"] = timestamp + HOUR + random.choice((1, DAY))
            self._append(timestamp, body["customer_id"].encode(), _json(body))


def _snap(random: Random, time: int, zone: ZoneInfo) -> int:
    """A time on the edge of a tile, an hour or a local day, or a millisecond before."""
    unit = random.choice((5 * MINUTE, HOUR, HOUR, DAY))
    if unit == DAY:
        local = datetime.fromtimestamp(time // 1000, zone).replace(hour=0, minute=0, second=0)
        return int(local.timestamp()) * 1000 - random.choice((0, 0, 1))
    return time // unit * unit - random.choice((0, 0, 1))


def _json(body: Table) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
