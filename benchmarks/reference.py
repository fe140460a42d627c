"""The answer to the job (job.md) in plain Python, straight from its definition: it keeps every event that may count.

Nothing of this is shared with a contender.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
MOVES = {
    ("browse", "loan_apply"): "apply",
    ("drawn", "loan_apply"): "apply",
    ("apply", "loan_verify"): "verify",
    ("verify", "loan_submit"): "submit",
    ("submit", "loan_approve"): "approved",
    ("approved", "loan_draw"): "drawn",
}
LISTENS = {"transfer_out", "bill_pay", "card_pay", "qr_pay"}


class Trigger(NamedTuple):
    """What a trigger says. `counts`: (event type, count) of those that are not 0, by name."""

    customer_id: str
    event_id: str
    event_time: int
    counts: tuple[tuple[str, int], ...]
    amount: int
    stage: str


class Happened(NamedTuple):
    """What must be known of an event later."""

    time: int
    kind: str
    amount: int


def triggers_of(events: Iterable[tuple[str, bytes]]) -> dict[str, Trigger]:
    """Every trigger of a log, by event id."""
    history: defaultdict[str, list[Happened]] = defaultdict(list)
    stages: defaultdict[str, str] = defaultdict(lambda: "browse")
    triggers: dict[str, Trigger] = {}
    for customer, value in events:
        event = json.loads(value)
        kind, time = event["event"], event["event_time"]
        history[customer].append(Happened(time, kind, event["properties"].get("amount", 0)))
        stages[customer] = MOVES.get((stages[customer], kind), stages[customer])
        if kind in LISTENS and stages[customer] in ("apply", "verify", "submit"):
            trigger = _trigger(event, history[customer], stages[customer])
            if sum(count for _, count in trigger.counts) >= 5 and trigger.amount >= 50_000:
                triggers[trigger.event_id] = trigger
    return triggers


def _trigger(event: dict[str, Any], history: list[Happened], stage: str) -> Trigger:
    now = event["event_time"]
    counts = Counter(one.kind for one in history if now // DAY_MS - 7 < one.time // DAY_MS <= now // DAY_MS)
    amount = sum(one.amount for one in history if now // HOUR_MS - 24 < one.time // HOUR_MS <= now // HOUR_MS)
    return Trigger(event["customer_id"], event["event_id"], now, tuple(sorted(counts.items())), amount, stage)
