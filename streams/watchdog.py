"""The watchdog: a worker that has lag and makes no progress ends, so that its supervisor starts it anew.

Consumers can die without a word, and Faust's own detector only logs. `Watchdog` decides, and is told the time; `watch`
asks the broker for the ends of the log by a client of its own. A thread looks after the event loop itself, which may
hang as well. A worker that waits for its lake or its broker is left alone: it says so, and goes on by itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams import clients

if TYPE_CHECKING:
    from streams.worker import Worker

RECORD_MS = 5000  # for a record that is there
LOOKS = 12  # within the time that is allowed


class StuckError(RuntimeError):
    """The worker makes no progress; it is ended, and its supervisor starts it anew."""

    exit_code = 3


class Watchdog:
    """Decides from what it is shown; times are seconds of any clock that does not go back."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: dict[int, tuple[int, float]] = {}  # by partition: next offset, and since when it is that

    def look(self, now: float, ends: Mapping[int, int], reached: Mapping[int, int]) -> dict[int, int]:
        """Lag by partition, where nothing moved for the limit. ends, reached: the ends of the log, the next offsets."""
        self._since = {
            number: known if (known := self._since.get(number)) and known[0] == offset else (offset, now)
            for number, offset in reached.items()
        }
        return {
            number: ends[number] - offset
            for number, (offset, since) in self._since.items()
            if ends.get(number, 0) > offset and now - since >= self.limit_s
        }

    def forget(self) -> None:
        """Begin to count anew: the worker had a reason to wait."""
        self._since.clear()


async def watch(worker: Worker) -> None:
    """Until the worker is stuck. Raises StuckError."""
    settings = worker.settings
    topic, pause_s = settings.topic("events"), settings.watchdog_s / LOOKS
    watchdog, beat = Watchdog(settings.watchdog_s), Heartbeat(settings.watchdog_s)
    reader = clients.reader(settings)
    await reader.start()
    try:
        while True:
            await asyncio.sleep(pause_s)
            beat.beat()
            reached = {number: shard.next_offset for number, shard in worker.shards.items()}
            ends: dict[int, int] = {}
            with suppress(KafkaError):  # a broker that is away is a trouble that others name
                found = await reader.end_offsets([TopicPartition(topic, number) for number in reached])
                ends = {tp.partition: end for tp, end in found.items()}
            worker.lag = {number: max(0, ends[number] - reached[number]) for number in ends}
            if worker.trouble:
                watchdog.forget()
            else:
                lags = watchdog.look(time.monotonic(), ends, reached)
                for number, lag in lags.items():
                    if await _has_record(reader, TopicPartition(topic, number), reached[number]):
                        raise StuckError(
                            f"no progress for {settings.watchdog_s:g} s in partition {number}, {lag:,} records behind. "
                            "Nothing is lost: the next start goes on from the last checkpoint"
                        )
    finally:
        beat.stop()
        await reader.stop()


async def _has_record(reader: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> bool:
    """Whether there is one from an offset on: the end of a log also counts the markers of transactions."""
    reader.assign([tp])
    reader.seek(tp, offset)
    return bool(await reader.getmany(tp, timeout_ms=RECORD_MS, max_records=1))


class Heartbeat:
    """A thread that ends the process when `beat` is not called for too long: the event loop hangs."""

    def __init__(self, limit_s: float, end: Callable[[int], None] = os._exit) -> None:
        self.limit_s, self._end = limit_s, end
        self._beaten_at = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._listen, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """The loop is alive."""
        self._beaten_at = time.monotonic()

    def stop(self) -> None:
        """Listen no more."""
        self._stopped.set()

    def _listen(self) -> None:
        before = time.monotonic()
        while not self._stopped.wait(self.limit_s / LOOKS):
            now = time.monotonic()
            if now - before > self.limit_s / 2:
                self._beaten_at = now  # the whole process was stopped, not the loop alone
            before = now
            if now - self._beaten_at > self.limit_s:
                print(f"zhice: the event loop hangs for {self.limit_s:g} s", file=sys.stderr, flush=True)
                self._end(StuckError.exit_code)
