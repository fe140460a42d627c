"""Groups of metrics, against a dictionary that adds one event after the other."""

from __future__ import annotations

import numpy as np
import pytest

from models import metrics
from models.metrics import MINUTE_MS, NO_CHANNEL, OTHER_CHANNEL, MetricRows, Metrics
from models.plan import Batch, Status

OFFSET = 77


def arrays(seed: int, count: int) -> dict[str, np.ndarray]:
    """Events of some minutes; few of a kind, so that groups hold several, and event times up to a decade back."""
    rng = np.random.default_rng(seed)
    clock = np.sort(rng.integers(0, 4 * MINUTE_MS, count)) + 29_000_000 * MINUTE_MS
    return {
        "clock": clock,
        "event_type": rng.integers(0, 3, count),
        "channel": rng.choice([np.nan, OTHER_CHANNEL, 0.0, 1.0], count),
        "event_time": clock - rng.choice([0, 1, 5_000_000], count) * MINUTE_MS,
        "customer": rng.integers(0, 5, count) * 1_000_003,
        "amount": rng.choice([np.nan, 0.1, 1e9], count),
    }


def add(open_: Metrics, events: dict[str, np.ndarray]) -> None:
    """As the events of a batch, with records between them that were not applied."""
    place = np.arange(len(events["clock"])) * 2 + 1
    count = 2 * len(place)
    status = np.full(count, Status.DUPLICATE, np.int8)
    status[place] = Status.APPLIED
    numbers = {name: np.full(count, 7, np.int64) for name in ("timestamp", "event_type", "event_time", "customer")}
    properties = np.full((count, 2), np.nan)
    for name, target in zip(("clock", "event_type", "event_time", "customer"), numbers.values(), strict=True):
        target[place] = events[name]
    properties[place] = np.stack([events["channel"], events["amount"]], axis=1)
    rows = numbers["customer"][:, None]
    batch = Batch(
        numbers["timestamp"], numbers["event_type"].astype(np.int32), numbers["event_time"], place, rows, properties
    )
    touched = np.zeros(5_000_012, np.bool_)
    open_.add(batch, status, 0, 1, touched)
    assert np.flatnonzero(touched).tolist() == sorted(set(events["customer"].tolist()))


def by_hand(events: dict[str, np.ndarray]) -> list[tuple[float, ...]]:
    """(clock minute, event type, channel, event minute, events, customers, amount) of each group, in order."""
    groups: dict[tuple[int, ...], tuple[int, set[int], float]] = {}
    for clock, kind, channel, time, customer, amount in zip(*events.values(), strict=True):
        number = NO_CHANNEL if np.isnan(channel) else int(channel)
        key = (int(clock // MINUTE_MS), int(kind), number, int(time // MINUTE_MS))
        count, customers, total = groups.get(key, (0, set(), 0.0))
        groups[key] = count + 1, customers | {int(customer)}, total + (0.0 if np.isnan(amount) else amount)
    return [
        (key[0] * MINUTE_MS, *key[1:3], key[3] * MINUTE_MS, count, len(customers), total)
        for key, (count, customers, total) in sorted(groups.items())
    ]


def shown(found: MetricRows) -> list[tuple[float, ...]]:
    columns = (found.clock_minute, found.event_type, found.channel, found.event_minute)
    return list(zip(*columns, found.events, found.customers, found.amount, strict=True))


@pytest.mark.parametrize("most_codes", [metrics._MOST_CODES, 10])
@pytest.mark.parametrize("count", [1, 2, 40, 3_000])
def test_groups_are_as_by_hand(count: int, most_codes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`most_codes`: how far the numbers of groups may go before they are ranked anew."""
    monkeypatch.setattr(metrics, "_MOST_CODES", most_codes)
    events, open_ = arrays(count, count), Metrics()
    add(open_, events)
    found = open_.close_all(OFFSET)
    assert shown(found) == by_hand(events)
    assert found.offset.tolist() == [OFFSET] * len(found)
    assert not len(open_.close_all(OFFSET))
