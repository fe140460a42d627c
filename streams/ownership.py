"""Which partitions a worker owns, through rebalances: each has a shard and the log that its checkpoints go to.

Kafka takes all partitions away at the beginning of a rebalance, and gives most of them back at its end. A shard is kept
aside meanwhile. It is used again if the log says that nobody else had the partition in between, and restored anew
otherwise; what is assigned to another worker is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiokafka.errors import KafkaError

from models.shard import Shard
from streams.recovery import Recovery
from streams.state_log import StateLog


class Owned(NamedTuple):
    shard: Shard
    log: StateLog


class Ownership:
    """`owned` are the partitions that are ready to take batches."""

    def __init__(
        self,
        recovery: Recovery,
        new_log: Callable[[int], StateLog],
        release: Callable[[int, int], Awaitable[None]],
        fail: Callable[[BaseException], None],
    ) -> None:
        """`release` lets batches of a partition come, from an offset on; `fail` is told what went wrong."""
        self.recovery, self.new_log, self.release, self.fail = recovery, new_log, release, fail
        self.owned: dict[int, Owned] = {}
        self.assigned: set[int] = set()
        self.assignments = 0  # how often there was one
        self._kept: dict[int, Owned] = {}
        self._preparing: dict[int, asyncio.Task[None]] = {}
        self._retired = True
        self._assigning = asyncio.Lock()

    @property
    def held(self) -> set[int]:
        """What is assigned, and what may come back in a rebalance."""
        return self.assigned | set(self._kept)

    def begin(self) -> None:
        """From now on assignments count."""
        self._retired = False

    async def assign(self, partitions: set[int]) -> None:
        """Begin to prepare the partitions of a new assignment; returns before they are ready."""
        async with self._assigning:
            if self._retired:
                return
            await self.stop_preparing()
            kept = self.revoke()
            gone = [kept.pop(number).log for number in set(kept) - partitions]
            await asyncio.gather(*(log.close() for log in gone))
            self.assigned = set(partitions)
            self.assignments += 1
            self._preparing = {number: asyncio.create_task(self._prepare(number)) for number in sorted(partitions)}

    def revoke(self) -> dict[int, Owned]:
        """No more batches are taken; returns the shards that are kept for the case that their partitions come back."""
        self._kept |= self.owned
        self.owned, self.assigned = {}, set()
        return self._kept

    async def retire(self) -> None:
        """Prepare nothing until `begin`: a rebalance that comes now may not touch what the last checkpoint is of."""
        async with self._assigning:  # one that has begun is let through: it may have closed logs already
            self._retired = True
            await self.stop_preparing()

    async def close(self) -> None:
        """Drop everything, until `begin`."""
        await self.retire()
        kept = self.revoke()
        await asyncio.gather(*(one.log.close() for one in kept.values()))
        kept.clear()

    async def stop_preparing(self) -> None:
        """Leave unfinished restores."""
        tasks, self._preparing = list(self._preparing.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, number: int) -> None:
        try:
            self.owned[number] = owned = await self._restored(number)
            await self.release(number, owned.shard.next_offset)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # a client's own task was: nobody else would hear of it
                self.fail(KafkaError(f"the restore of partition {number} was ended inside a client of Kafka"))
            raise
        except Exception as error:
            self.fail(error)

    async def _restored(self, number: int) -> Owned:
        kept = self._kept.pop(number, None)
        log = kept.log if kept else self.new_log(number)
        try:
            if kept and await log.is_ours(kept.shard.next_offset):
                return kept
            await log.close()
            return Owned(await self.recovery.restore(number, log), log)
        except BaseException:
            await log.close()
            raise
