"""A bench for the oracle: small catalogues, and a log that is written record by record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from models.catalogue import Catalogue, load
from models.decoding import Decoder
from models.layout import Layout
from models.published import Decision
from models.records import Records
from models.shard import Shard
from tests.oracle import Oracle
from tests.small_logs import decided

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_710_000_000_000 // DAY * DAY + 12 * HOUR  # 2024-03-09 12:00 UTC
EVENING, MORNING = 9 * HOUR, 20 * HOUR  # of NIGHT, from noon

TOPIC, PARTITION = "events", 3
Decide = Callable[..., list[Decision]]

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


def catalogue_of(declared: str, zone: str = "UTC") -> Catalogue:
    """The events of HEAD, and what is declared of them."""
    return load({"c.toml": HEAD.format(zone=zone) + declared})


def oracle_decides(declared: str, log: Log, zone: str = "UTC") -> list[Decision]:
    """What the oracle decides in a log."""
    oracle = Oracle(catalogue_of(declared, zone), TOPIC, PARTITION)
    for record in log.records:
        oracle.apply(record)
    oracle.finish()
    return oracle.decisions


def engine_decides(declared: str, log: Log, zone: str = "UTC") -> list[Decision]:
    """What the engine decides in a log, which is one batch."""
    layout = Layout.compile(catalogue_of(declared, zone))
    columns = Decoder(layout.event_layout).columns(TOPIC, PARTITION, Records.of(log.records))
    return decided(Shard(layout, TOPIC, PARTITION).process(columns), layout.catalogue)


class Log:
    """A log that is written record by record; times are relative to noon."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.offsets = count(100)
        self.ids = count()

    def event(
        self, at: int, name: str = "pay", customer: str = "c1", time: int | None = None, **properties: Any
    ) -> int:
        """Add an event whose record has the timestamp `at`; `time` is the event's own, `id` its id."""
        envelope = {"channel": properties.pop("channel", "app"), "event": name, "customer_id": customer}
        envelope["event_id"] = properties.pop("id", None) or f"e{next(self.ids)}"
        envelope["event_time"] = NOON + (at if time is None else time)
        return self.raw(at, customer, json.dumps({**envelope, "properties": properties}).encode())

    def raw(self, at: int, key: str, value: bytes | None, headers: Any = ()) -> int:
        record = Record(next(self.offsets), NOON + at, key.encode(), value, headers)
        self.records.append(record)
        return record.offset

    def tick(self, at: int) -> int:
        return self.raw(at, "", None, (("zhice", b"tick"),))


class Bench(Log):
    """An oracle that applies each record as it is written."""

    def __init__(self, declared: str = "", zone: str = "UTC") -> None:
        super().__init__()
        self.oracle = Oracle(catalogue_of(declared, zone), TOPIC, PARTITION)

    def raw(self, at: int, key: str, value: bytes | None, headers: Any = ()) -> int:
        offset = super().raw(at, key, value, headers)
        self.oracle.apply(self.records[-1])
        return offset

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


PAY = 'event = ["pay"]'


def marketing(name: str, more: str = "", listens: str = PAY, channel: str = "push") -> str:
    return rule(name, listens, f'kind = "marketing"\n{more}').replace('"push"', f'"{channel}"')


def rule(name: str, listens: str, more: str = "") -> str:
    text = f'[[rule]]\nname = "{name}"\nlistens = {{ {listens} }}\naction = "a"\nchannel = "push"\n'
    return text + ("" if "kind" in more else 'kind = "service"\n') + more + "\n"


def told(decisions: Sequence[Decision]) -> list[tuple[str, str | None]]:
    """Of each the rule, and the gate that failed."""
    return [(decision.rule, decision.gate) for decision in decisions]


def quiet(start: str, end: str, name: str = "q", more: str = "") -> str:
    """Quiet hours as a catalogue declares them."""
    return f'[[quiet_hours]]\nname = "{name}"\nfrom = "{start}"\nuntil = "{end}"\n{more}\n'


NIGHT = quiet("21:00", "08:00", "night")
VIEW = 'event = ["view"]'


def paid(*times: int, ticks: Sequence[int] = ()) -> Log:
    """Payments of c1, then ticks."""
    log = Log()
    for at in times:
        log.event(at, amount=1)
    for at in ticks:
        log.tick(at)
    return log


def decided_at(decisions: Sequence[Decision]) -> list[int]:
    """When each decision was made, from noon."""
    return [decision.decided_at - NOON for decision in decisions]
