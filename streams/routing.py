"""From records in time order to the logs of partitions, with ticks: the same for a replay and a backtest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiokafka.partitioner import murmur2

from models.records import TICK_HEADER, Record
from streams.record_files import SimBatch

TICK_MS = 3_600_000  # of a replay: the clock of every partition moves at least once an hour of the log
CHUNK_RECORDS = 5000  # of one partition that are handed on at once, at most


def partition_of(key: bytes | None, partitions: int) -> int:
    """The partition that Java, kafka-python and aiokafka clients choose; 0 for no key, where they choose any."""
    return 0 if key is None else int((murmur2(key) & 0x7FFFFFFF) % partitions)


class Router:
    """Gives each record its partition and its offset there."""

    def __init__(self, partitions: int, tick_ms: int = TICK_MS) -> None:
        self.partitions, self.tick_ms = partitions, tick_ms
        self.offsets = [0] * partitions
        self._partition_of: dict[bytes | None, int] = {}
        self._next_tick: int | None = None
        self._latest = 0

    def logs(self, batches: Iterable[SimBatch]) -> Iterator[list[list[Record]]]:
        """Lists of records by partition, which follow one another; the last ones end with a tick each."""
        for timestamps, keys, values in batches:
            yield self._route(timestamps.tolist(), keys, values)
        if self._next_tick is not None:
            logs: list[list[Record]] = [[] for _ in range(self.partitions)]
            self._tick(logs, self._latest)
            yield logs

    def _route(self, timestamps: list[int], keys: list[bytes], values: list[bytes]) -> list[list[Record]]:
        logs: list[list[Record]] = [[] for _ in range(self.partitions)]
        known, offsets = self._partition_of, self.offsets
        for timestamp, key, value in zip(timestamps, keys, values, strict=True):
            if self._next_tick is None or timestamp >= self._next_tick:
                self._tick_until(logs, timestamp)
            number = known.get(key)
            if number is None:
                number = known[key] = partition_of(key, self.partitions)
            logs[number].append(Record(offsets[number], timestamp, key, value))
            offsets[number] += 1
            if timestamp > self._latest:
                self._latest = timestamp
        return logs

    def _tick_until(self, logs: list[list[Record]], timestamp: int) -> None:
        if self._next_tick is not None:
            for at in range(self._next_tick, timestamp + 1, self.tick_ms):
                self._tick(logs, at)
        self._next_tick = timestamp // self.tick_ms * self.tick_ms + self.tick_ms

    def _tick(self, logs: list[list[Record]], timestamp: int) -> None:
        for number, log in enumerate(logs):
            log.append(Record(self.offsets[number], timestamp, None, None, (TICK_HEADER,)))
            self.offsets[number] += 1
