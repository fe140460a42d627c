"""A standby: a worker follows the state of partitions that others own, so that a failover need not read it all.

It keeps the newest committed pages as they are in the topic, about as many bytes as the compacted topic has. Which
partitions a failover will bring cannot be known, so it follows every one that it does not own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams import clients
from streams.settings import Settings
from streams.state_copy import StateCopy
from streams.troubles import pauses

log = logging.getLogger(__name__)

POLL_MS = 500
POLL_RECORDS = 2000


class Standby:
    """Copies of the state of partitions; `take` hands one over."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.copies: dict[int, StateCopy] = {}
        self.behind: int | None = None  # records of the state that were not yet read; None before it is known

    def take(self, partition: int) -> StateCopy:
        """What is known of a partition, to be read on from its position; it is followed no more until it goes away."""
        return self.copies.pop(partition, None) or StateCopy()

    async def follow(self, owned: Callable[[], set[int]]) -> None:
        """Follow every partition but those that are `owned`, for ever."""
        for pause in pauses():
            try:
                await self._follow(owned)
            except KafkaError as error:
                log.warning("the standby reads the state again in %g s: %s", pause, error)
                await asyncio.sleep(pause)

    async def _follow(self, owned: Callable[[], set[int]]) -> None:
        reader = clients.reader(self.settings, isolation_level="read_committed", auto_offset_reset="earliest")
        await reader.start()
        try:
            followed: set[int] = set()
            while True:
                wanted = set(range(self.settings.partitions)) - owned()
                if wanted != followed:
                    self._assign(reader, wanted)
                    followed = wanted
                await self._poll(reader, wanted)
        finally:
            await reader.stop()

    def _assign(self, reader: AIOKafkaConsumer, wanted: set[int]) -> None:
        self.copies = {number: self.copies.get(number) or StateCopy() for number in wanted}
        self.behind = None
        reader.assign([self._source(number) for number in wanted])
        for number, copy in self.copies.items():
            reader.seek(self._source(number), copy.position)

    async def _poll(self, reader: AIOKafkaConsumer, wanted: set[int]) -> None:
        if not wanted:
            self.behind = 0
            await asyncio.sleep(POLL_MS / 1000)
            return
        batches = await reader.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        for tp, records in batches.items():
            if (copy := self.copies.get(tp.partition)) is not None:  # taken while we waited
                for record in records:
                    copy.add(record)
        self.behind = await self._lag(reader, wanted)

    async def _lag(self, reader: AIOKafkaConsumer, wanted: set[int]) -> int | None:
        """By the ends that the last fetches saw; None where one has not been fetched yet."""
        lag = 0
        for tp in map(self._source, wanted):
            if (end := reader.highwater(tp)) is None:
                return None
            lag += max(0, end - await reader.position(tp))
        return lag

    def _source(self, partition: int) -> TopicPartition:
        return TopicPartition(self.settings.topic("state"), partition)
