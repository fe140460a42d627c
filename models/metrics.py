"""Counts per clock minute, event type, channel and event minute; a group is closed when the clock leaves its minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.jit import kernel
from models.plan import Batch, Status

MINUTE_MS: Final = 60_000
# columns of open rows, int64[n, 6]
COLUMNS: Final = 6
CLOCK_MINUTE, EVENT_TYPE, CHANNEL, EVENT_MINUTE, CUSTOMER, AMOUNT = range(COLUMNS)
OTHER_CHANNEL: Final = -1  # one that the catalogue does not declare
NO_CHANNEL: Final = -2
_ROW_BITS: Final = 40  # of a customer's row
_MOST_CODES: Final = 2**62
_APPLIED: Final = int(Status.APPLIED)


@dataclass(slots=True)
class MetricRows:
    """Closed groups, one an entry. Minutes in ms; channel: a number, OTHER or NO; `offset` closed the group."""

    clock_minute: NDArray[np.int64]
    event_type: NDArray[np.int64]
    channel: NDArray[np.int64]
    event_minute: NDArray[np.int64]
    events: NDArray[np.int64]
    customers: NDArray[np.int64]
    amount: NDArray[np.float64]
    offset: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offset)

    @classmethod
    def joined(cls, parts: Sequence[MetricRows]) -> MetricRows:
        """Those of several batches, at least one, in their order."""
        parts = [part for part in parts if len(part)] or parts[:1]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def no_metrics() -> MetricRows:
    empty = np.empty(0, np.int64)
    return MetricRows(empty, empty, empty, empty, empty, empty, np.empty(0), empty)


class Metrics:
    """The open minute of one shard: `rows`, int64[n, 6], of applied events, amounts as bits of float64.

    Their clock minutes ascend. saved: how many of them a checkpoint has; rows of an open minute are only added to.
    """

    def __init__(self, rows: NDArray[np.int64] | None = None) -> None:
        self.rows = np.empty((0, COLUMNS), np.int64) if rows is None else rows
        self.saved = 0
        self._room = self.rows  # begins with `rows`

    def add(self, batch: Batch, status: NDArray[np.int8], clock: int, amount: int, touched: NDArray[np.bool_]) -> None:
        """Add the events of a batch that were applied, and mark their customers' rows as touched.

        clock: ms, before the batch; amount: the column of what is added up, -1 for none.
        """
        self._grow(len(self.rows) + len(status))
        end = _note(batch, status, clock, amount, touched, self._room, len(self.rows))
        self.rows = self._room[:end]

    def _grow(self, count: int) -> None:
        """Have room for so many."""
        if count > len(self._room):
            room = np.empty((count * 3 // 2, COLUMNS), np.int64)
            room[: len(self.rows)] = self.rows
            self._room = room

    def close(self, timestamp: NDArray[np.int64], clock: int, offset: NDArray[np.int64]) -> MetricRows:
        """Close what the clock has left with a batch's records; timestamp, ms, offset: int64[n]; clock: before them."""
        if not len(self.rows) or not len(timestamp):
            return no_metrics()
        last = max(clock, int(timestamp.max())) // MINUTE_MS * MINUTE_MS
        if self.rows[0, CLOCK_MINUTE] >= last:
            return no_metrics()
        closed = int(np.searchsorted(self.rows[:, CLOCK_MINUTE], last))
        rows, left = self.rows[:closed], self.rows[closed:].copy()
        self.rows, self._room, self.saved = left, left, 0
        groups = _groups(rows)
        minute = np.maximum(np.maximum.accumulate(timestamp), clock) // MINUTE_MS * MINUTE_MS
        groups.offset = offset[np.searchsorted(minute, groups.clock_minute, side="right")]
        return groups

    def close_all(self, offset: int) -> MetricRows:
        """Close every group, at the end."""
        if not len(self.rows):
            return no_metrics()
        groups = _groups(self.rows)
        groups.offset = np.full(len(groups.events), offset, np.int64)
        self.rows, self.saved = self.rows[:0], 0
        return groups


@kernel
def _note(batch, status, clock, amount, touched, rows, at):
    """Write the events that were applied to rows from `at` on; returns the position behind the last."""
    floats = rows.view(np.float64)
    for record in range(len(status)):
        clock = max(clock, batch.timestamp[record])
        if status[record] != _APPLIED:
            continue
        customer, channel = batch.rows[record, 0], batch.properties[record, 0]
        touched[customer] = True
        rows[at, CLOCK_MINUTE] = clock // MINUTE_MS * MINUTE_MS
        rows[at, EVENT_TYPE] = batch.event_type[record]
        rows[at, CHANNEL] = np.int64(channel) if channel == channel else NO_CHANNEL
        rows[at, EVENT_MINUTE] = batch.event_time[record] // MINUTE_MS * MINUTE_MS
        rows[at, CUSTOMER] = customer
        value = batch.properties[record, amount] if amount >= 0 else np.nan
        floats[at, AMOUNT] = value if value == value else 0.0
        at += 1
    return at


def _groups(rows: NDArray[np.int64]) -> MetricRows:
    """Group rows by their first four columns, in ascending order; the order of arrival holds within a group."""
    group, first = _numbered(rows)
    pairs = _distinct(group << _ROW_BITS | rows[:, CUSTOMER])  # as one number: sorting pairs is ten times slower
    amounts = rows[:, AMOUNT].copy().view(np.float64)
    count = len(first)
    return MetricRows(
        clock_minute=rows[first, CLOCK_MINUTE],
        event_type=rows[first, EVENT_TYPE],
        channel=rows[first, CHANNEL],
        event_minute=rows[first, EVENT_MINUTE],
        events=np.bincount(group, minlength=count).astype(np.int64),
        customers=np.bincount(pairs >> _ROW_BITS, minlength=count).astype(np.int64),
        amount=np.bincount(group, weights=amounts, minlength=count).astype(np.float64),
        offset=np.zeros(count, np.int64),
    )


def _numbered(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each row's group, and the first row of each group."""
    code, codes = np.zeros(len(rows), np.int64), 1
    for column in (CLOCK_MINUTE, EVENT_TYPE, CHANNEL, EVENT_MINUTE):
        number, values = _ranked(rows[:, column].copy())
        if codes * values > _MOST_CODES:
            code, codes = _ranked(code)
        code, codes = code * values + number, codes * values
    group, count = _ranked(code)
    first = np.empty(count, np.int64)
    first[group[::-1]] = np.arange(len(rows))[::-1]
    return group, first


def _ranked(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """The rank of each among the distinct values, and how many these are."""
    distinct = _distinct(values)
    return np.searchsorted(distinct, values), len(distinct)


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """In ascending order; `np.unique` hashes them, which takes thirty times as long for numbers like these."""
    ordered = np.sort(values)
    distinct: NDArray[np.int64] = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return distinct
