"""What the broker says while chaos goes on: committed offsets, and for how long a partition with lag stood still."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.settings import Settings

POLL_S = 0.25
ANSWER_S = 5.0


class Watch:
    """A thread that polls. `stalls` are the longest times, by partition, s."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.partitions = [TopicPartition(settings.topic("events"), n) for n in range(settings.partitions)]
        self.committed = dict.fromkeys(range(settings.partitions), 0)
        self.ends = dict.fromkeys(range(settings.partitions), 0)
        self.stalls = dict.fromkeys(range(settings.partitions), 0.0)
        self.looked_at = 0.0  # monotonic s of the last answer
        self._moved: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._poll()), daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def done(self) -> int:
        """Records that are checkpointed."""
        return sum(self.committed.values())

    @property
    def lag(self) -> int:
        return sum(self.ends.values()) - self.done

    @property
    def longest_stall_s(self) -> float:
        return max(self.stalls.values())

    def forgive(self) -> None:
        """Whatever stood still until now had a reason that the workers cannot help, such as a broker that is away."""
        self._moved.clear()

    async def _poll(self) -> None:
        while not self._over.is_set():
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.settings.broker, group_id=self.settings.app, enable_auto_commit=False
            )
            try:
                await asyncio.wait_for(consumer.start(), ANSWER_S)
                while not self._over.is_set():
                    await asyncio.wait_for(self._look(consumer), ANSWER_S)
                    await asyncio.sleep(POLL_S)
            except (KafkaError, TimeoutError, OSError):
                await asyncio.sleep(POLL_S)
            finally:
                await _close(consumer)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        ends = await consumer.end_offsets(self.partitions)
        now = time.monotonic()
        for tp in self.partitions:
            self._note(tp.partition, await consumer.committed(tp) or 0, ends[tp], now)
        self.looked_at = now

    def _note(self, number: int, committed: int, end: int, now: float) -> None:
        if committed != self.committed[number] or committed >= self.ends[number]:
            self._moved[number] = now
        else:
            self.stalls[number] = max(self.stalls[number], now - self._moved.setdefault(number, now))
        self.committed[number], self.ends[number] = committed, end


async def _close(consumer: Any) -> None:
    try:
        await asyncio.wait_for(consumer.stop(), ANSWER_S)
    except (KafkaError, TimeoutError, OSError):
        return
