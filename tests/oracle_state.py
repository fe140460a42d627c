"""What the oracle keeps: rows of entities with every event that they took, stages, timers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.oracle_events import Event
from tests.oracle_expressions import Value

DEDUP_IDS = 16
CUSTOMER = "customer"


class Taken(NamedTuple):
    """An event that a feature took, in order of arrival."""

    event_time: int
    value: Value


class Standing(NamedTuple):
    """Where a row stands in a journey."""

    stage: str
    entered_at: int


@dataclass(eq=False)
class Row:
    """What is known of one entity."""

    entity: str
    customer_id: str
    entity_id: str | None
    number: int
    event_ids: deque[str] = field(default_factory=lambda: deque(maxlen=DEDUP_IDS))
    latest: int | None = None  # T, the largest event time
    taken: dict[str, list[Taken]] = field(default_factory=dict)  # by feature
    standing: dict[str, Standing] = field(default_factory=dict)  # by journey
    acted: dict[str, int] = field(default_factory=dict)  # by rule: the clock
    changed: bool = False


@dataclass(eq=False)
class Timer:
    """Something due at `deadline` while `row` stands in `stage`; without a rule it is the stage's timeout."""

    deadline: int
    row: Row
    journey: int
    stage: str
    rule: int | None

    def turn(self) -> tuple[Any, ...]:
        """What is due is done in this order."""
        instance = self.row.entity_id is not None
        rules_first = (self.rule is None, self.rule if self.rule is not None else 0)
        return self.deadline, instance, self.row.number, self.journey, rules_first


@dataclass(eq=False)
class Cause:
    """What happens now: an event, or a timer with its deadline; `now` is the event's time or the deadline."""

    now: int
    event: Event | None = None
    timer: Timer | None = None
