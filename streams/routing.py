"""From records in time order to the logs of partitions, with ticks: the same for a replay and a backtest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from aiokafka.partitioner import murmur2

from models.events import MIN_EVENT_TIME_MS, is_possible
from models.records import TICK_HEADER, Record, Records
from models.routing import NO_TICK, fill, place
from models.texts import Ints

TICK_MS = 3_600_000  # of a replay: the clock of every partition moves at least once an hour of the log


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of one key, as Java, kafka-python and aiokafka clients choose it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class Router:
    """Gives each record its partition, that of its key (without one 0), and its offset there.

    offsets: int64[partitions], those of the next records.
    """

    def __init__(self, partitions: int, tick_ms: int = TICK_MS) -> None:
        self.partitions, self.tick_ms = partitions, tick_ms
        self.offsets = np.zeros(partitions, np.int64)
        self._next_tick = NO_TICK
        self._latest = 0

    def logs(self, batches: Iterable[Records]) -> Iterator[list[Records]]:
        """The records of each partition, which follow one another; the last ones are a tick each."""
        for records in batches:
            if records.count:
                yield self._route(records._replace(timestamp=self._placed(records.timestamp)))
        if self._next_tick != NO_TICK:
            tick = (self._latest, None, None, (TICK_HEADER,))
            yield [Records.of([Record(offset, *tick)]) for offset in self.offsets.tolist()]
            self.offsets += 1

    def _placed(self, timestamp: Ints) -> Ints:
        """The records' times; one that no record can have becomes that of the record before, or of the first that has
        one: a tick an hour until then would never end.
        """
        possible = is_possible(timestamp)
        if possible.all():
            return timestamp
        before = np.maximum.accumulate(np.where(possible, np.arange(len(timestamp)), -1))
        first = self._latest or (timestamp[possible.argmax()] if possible.any() else MIN_EVENT_TIME_MS)
        return np.where(before < 0, first, timestamp[before])

    def _route(self, records: Records) -> list[Records]:
        numbers, counts = np.empty(records.count, np.int64), np.zeros(self.partitions, np.int64)
        place(records, self._next_tick, self.tick_ms, numbers, counts)
        ends = np.cumsum(counts)
        logs = _unfilled(records, int(ends[-1]))
        self._next_tick = fill(records, self._next_tick, self.tick_ms, numbers, ends - counts, self.offsets, logs)
        self._latest = max(self._latest, int(records.timestamp.max()))
        return [logs.take(slice(end - count, end)) for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]


def _unfilled(records: Records, count: int) -> Records:
    """Room for rows over the same buffer."""
    return Records(records.data, *(np.empty(count, column.dtype) for column in records[1:]))
