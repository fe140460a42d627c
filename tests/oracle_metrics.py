"""The oracle's metrics: what was applied, by clock minute, event type, channel and event minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle_events import Event
from tests.oracle_windows import MINUTE_MS

COLUMNS = ("clock_minute", "event_type", "channel", "event_minute", "events", "customers", "amount", "offset")


@dataclass
class Metrics:
    """Groups being counted, and those written; channel is an index, -1 for another, None for none."""

    channels: Sequence[str]
    written: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[tuple[int, str, int | None, int], list[Event]] = field(default_factory=dict)

    def count(self, event: Event, clock: int) -> None:
        """Count an event that was applied."""
        channel = None if event.channel is None else -1
        if event.channel in self.channels:
            channel = list(self.channels).index(event.channel)
        group = (clock // MINUTE_MS * MINUTE_MS, event.type, channel, event.time // MINUTE_MS * MINUTE_MS)
        self.groups.setdefault(group, []).append(event)

    def write(self, offset: int) -> None:
        """Write the groups of the minute that the clock has left with the record at `offset`."""
        for group, events in self.groups.items():
            amount = 0.0
            for event in events:
                value = event.value_of("amount")
                amount += value if isinstance(value, float) else 0.0
            customers = len({event.customer_id for event in events})
            values = (*group, len(events), customers, amount, offset)
            self.written.append(dict(zip(COLUMNS, values, strict=True)))
        self.groups = {}
