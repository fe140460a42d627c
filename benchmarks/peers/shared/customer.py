"""The job of benchmarks/job.md for peers in Python: one customer's state, and what an event makes of it.

The state is a dict of what JSON has, so that every framework can keep it as it likes best:
{"stage": str, "days": {day: {event type: count}}, "hours": {hour: amount}}.
"""

from __future__ import annotations

from typing import Any

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
DAYS, HOURS = 7, 24
MOVES = {
    "loan_apply": {"browse": "apply", "drawn": "apply"},
    "loan_verify": {"apply": "verify"},
    "loan_submit": {"verify": "submit"},
    "loan_approve": {"submit": "approved"},
    "loan_draw": {"approved": "drawn"},
}
LISTENS = frozenset({"transfer_out", "bill_pay", "card_pay", "qr_pay"})
OPEN = frozenset({"apply", "verify", "submit"})

State = dict[str, Any]


def new_customer() -> State:
    """A customer before the first event."""
    return {"stage": "browse", "days": {}, "hours": {}}


def update(state: State, event: dict[str, Any]) -> dict[str, Any] | None:
    """Take an event into the state; returns a trigger if the rule holds after it."""
    kind, time = event["event"], event["event_time"]
    day, hour = time // DAY_MS, time // HOUR_MS
    _count(state["days"], day, kind)
    if (amount := event["properties"].get("amount")) is not None:
        _add(state["hours"], hour, amount)
    if kind in MOVES:
        state["stage"] = MOVES[kind].get(state["stage"], state["stage"])
    if kind in LISTENS and state["stage"] in OPEN:
        return _trigger(state, event, day, hour)
    return None


def _count(days: dict[str, dict[str, int]], day: int, kind: str) -> None:
    tile = days.get(str(day))
    if tile is None:
        for old in [one for one in days if int(one) <= day - DAYS]:
            del days[old]
        tile = days[str(day)] = {}
    tile[kind] = tile.get(kind, 0) + 1


def _add(hours: dict[str, int], hour: int, amount: int) -> None:
    tile = str(hour)
    if tile not in hours:
        for old in [one for one in hours if int(one) <= hour - HOURS]:
            del hours[old]
    hours[tile] = hours.get(tile, 0) + amount


def _trigger(state: State, event: dict[str, Any], day: int, hour: int) -> dict[str, Any] | None:
    amount = sum(amount for tile, amount in state["hours"].items() if int(tile) > hour - HOURS)
    if amount < 50_000:
        return None
    counts: dict[str, int] = {}
    for tile, by_kind in state["days"].items():
        if int(tile) > day - DAYS:
            for kind, count in by_kind.items():
                counts[kind] = counts.get(kind, 0) + count
    if sum(counts.values()) < 5:
        return None
    return {
        "customer_id": event["customer_id"],
        "event_id": event["event_id"],
        "event_time": event["event_time"],
        "counts": counts,
        "amount": amount,
        "stage": state["stage"],
    }
