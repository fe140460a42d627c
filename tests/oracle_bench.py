"""A bench for the oracle: small catalogues, and a log that is written record by record."""

from __future__ import annotations

import json
from itertools import count
from typing import Any, NamedTuple

from models.catalogue import load
from tests.oracle import Oracle

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_710_000_000_000 // DAY * DAY + 12 * HOUR  # 2024-03-09 12:00 UTC

HEAD = """
[catalogue]
name = "test"
time_zone = "{zone}"
channels = ["app", "web"]

[[event]]
name = "pay"
properties = {{ amount = "number", direction = ["in", "out"], vip = "boolean", order_id = "string" }}

[[event]]
name = "view"
properties = {{ page = ["a", "b", "c"], order_id = "string" }}
"""


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Bench:
    """An oracle with a log that is written record by record; times are relative to noon."""

    def __init__(self, declared: str = "", zone: str = "UTC") -> None:
        self.oracle = Oracle(load({"c.toml": HEAD.format(zone=zone) + declared}), "events", 3)
        self.offsets = count(100)
        self.ids = count()

    def event(
        self, at: int, name: str = "pay", customer: str = "c1", time: int | None = None, **properties: Any
    ) -> int:
        """Apply an event whose record has the timestamp `at`; `time` is the event's own, `id` its id."""
        envelope = {"channel": properties.pop("channel", "app"), "event": name, "customer_id": customer}
        envelope["event_id"] = properties.pop("id", None) or f"e{next(self.ids)}"
        envelope["event_time"] = NOON + (at if time is None else time)
        return self.raw(at, customer, json.dumps({**envelope, "properties": properties}).encode())

    def raw(self, at: int, key: str, value: bytes | None, headers: Any = ()) -> int:
        offset = next(self.offsets)
        self.oracle.apply(Record(offset, NOON + at, key.encode(), value, headers))
        return offset

    def tick(self, at: int) -> int:
        return self.raw(at, "", None, (("zhice", b"tick"),))

    def value(self, feature: str = "f", customer: str = "c1") -> float | None:
        return self.oracle.features(customer)[feature]

    def moves(self) -> list[tuple[str | None, str]]:
        return [(move.from_stage, move.to_stage) for move in self.oracle.transitions]

    def decided(self) -> list[tuple[str, str | None]]:
        return [(decision.rule, decision.gate) for decision in self.oracle.decisions]


def feature(aggregate: str, more: str = "", name: str = "f") -> str:
    value = "" if aggregate == "count" else 'value = "amount"\n'
    return f'[[feature]]\nname = "{name}"\non = ["pay"]\naggregate = "{aggregate}"\n{value}{more}\n'


JOURNEY = """
[[journey]]
name = "j"
stages = ["new", "paid", "gone"]
[[journey.transition]]
from = ["new", "paid"]
on = ["pay"]
when = "amount > 0"
to = "paid"
[[journey.timeout]]
in = "paid"
after = "1h"
to = "gone"
restarted_by = ["view"]
"""

KEYED = """
[[journey]]
name = "o"
entity = "order"
key = "order_id"
stages = ["open", "done"]
[[journey.transition]]
from = ["open"]
on = ["pay"]
to = "done"
"""


def rule(name: str, listens: str, more: str = "") -> str:
    text = f'[[rule]]\nname = "{name}"\nlistens = {{ {listens} }}\naction = "a"\nchannel = "push"\n'
    return text + ("" if "kind" in more else 'kind = "service"\n') + more + "\n"
