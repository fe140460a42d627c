"""Faust on record batches: one item per partition and fetch instead of one per record.

Faust's own extension points: `ConsumerScheduler`, and a `Transport` with a consumer of ours. That consumer commits
nothing, since a checkpoint does, and fetches nothing from a partition until the worker releases it at an offset.

It holds back by itself: Faust would pause the partitions of a full queue, and then wait a second with nothing to fetch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import faust
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from faust.tables import TableManager
from faust.transport.drivers.aiokafka import Consumer as KafkaConsumer
from faust.transport.drivers.aiokafka import Transport as KafkaTransport
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from models.records import Records
from streams.fetching import RecordsThread

QUEUED_BATCHES: Final = 8  # that wait between fetch and agent; then nothing is fetched
QUEUED_BYTES: Final = 64 << 20  # of them, likewise


class RecordBatch:
    """What one fetch returned for one partition, in the shape of the single record that Faust expects.

    Its value is itself. `start` is the offset from which it was read: between `start` and the first record there are
    none. The consumer sets it.
    """

    timestamp_type = serialized_key_size = serialized_value_size = 0
    key = checksum = None
    headers = ()

    def __init__(self, tp: TopicPartition, records: Records) -> None:
        self.topic, self.partition, self.records = tp.topic, tp.partition, records
        self.offset, self.timestamp = int(records.offset[-1]), int(records.timestamp[-1])
        self.start = -1

    @property
    def value(self) -> RecordBatch:
        return self


class BatchScheduler(DefaultSchedulingStrategy):
    """Every topic of this app is consumed in record batches."""

    def iterate(self, records: Mapping[TopicPartition, list[Records]]) -> Iterator[tuple[TopicPartition, Any]]:
        for tp, parts in records.items():
            for part in parts:
                yield tp, RecordBatch(tp, part)


class NoTables(TableManager):
    """There are none: Faust would wait a second for them before it joins the group."""

    logger = logging.getLogger("faust.tables")  # what it says of itself is Faust's own

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class BatchConsumer(KafkaConsumer):
    """Holds a partition from its assignment until `release`; commits nothing of its own."""

    app: BatchApp

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held: set[TP] = set()
        self._next: dict[TP, int] = {}  # offset from which the next batch of a partition is read
        self._queued: set[RecordBatch] = set()  # of this assignment, and not yet taken
        self._room = asyncio.Event()

    def _new_consumer_thread(self) -> RecordsThread:
        """One that fetches columns."""
        return RecordsThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Called in each rebalance, before anything of the new assignment is fetched."""
        self.begin_assignment(assigned)
        StickyPartitionAssignor.on_generation_assignment(generation_id)  # of two members' claims the newer counts
        await self.app.on_assigned({tp.partition for tp in assigned})
        await super().on_partitions_assigned(assigned, generation_id)

    def begin_assignment(self, assigned: set[TP]) -> None:
        """Hold all of it; what is still on its way to the worker is of an earlier one."""
        self._held = set(assigned)
        self._next.clear()
        self._queued.clear()
        self._room.set()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """All that was fetched from released partitions, once little is queued.

        Faust would leave out what it has paused at this moment, as it does late in a rebalance. The next fetch would go
        on behind that: a gap that nothing shows.
        """
        while self._is_full():
            self._room.clear()
            await self._room.wait()
        records, _ = await self._wait_next_records(timeout)
        held = self._held  # another set in each assignment
        for tp, record in self.scheduler.iterate(records or {}):
            if self.should_stop or self._held is not held:
                break
            if tp in self._next:
                self._queued.add(record)
                yield tp, self._to_message(tp, record)

    def _is_full(self) -> bool:
        waiting_bytes = sum(batch.records.data.nbytes for batch in self._queued)
        return len(self._queued) >= QUEUED_BATCHES or waiting_bytes >= QUEUED_BYTES

    async def release(self, tp: TP, offset: int) -> None:
        """Fetch from a partition, from this offset on; nothing, if it has been taken away or is about to be.

        Then an assignment follows, which prepares it anew. Raises KafkaError where the consumer has crashed meanwhile.
        """
        held = self._held
        try:
            is_ours = await self._thread.seek_assigned(tp, offset, lambda: self._held is held)
        except RuntimeError as error:
            if not self._thread.thread_loop.is_closed():
                raise
            raise KafkaError("the consumer has crashed") from error
        if not is_ours:
            return
        self._read_offset[tp] = offset or None  # Faust drops what is before
        self._next[tp] = offset
        self._held.discard(tp)
        super().resume_partitions({tp})

    def taken(self, batch: RecordBatch) -> None:
        """The worker is done with a batch."""
        self._queued.discard(batch)
        self._room.set()

    async def commit_offset(self, tp: TP, offset: int) -> None:
        """For a broker without transactions."""
        await self._commit({tp: offset})

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Faust resumes all at the end of a rebalance."""
        super().resume_partitions(set(tps) - self._held)

    async def perform_seek(self) -> None:
        """Faust would go to the committed offsets; `release` says where to go on."""

    def _to_message(self, tp: TP, record: RecordBatch) -> Any:
        record.start = self._next.get(tp, record.offset + 1)
        self._next[tp] = record.offset + 1
        return super()._to_message(tp, record)

    def _new_offset(self, tp: TP) -> int | None:
        """Nothing is Faust's to commit."""
        return None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets inside a batch are no gaps."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust would miss its own commits; streams/watchdog.py looks at progress."""


class BatchTransport(KafkaTransport):
    Consumer = BatchConsumer


class BatchApp(faust.App):
    """A Faust app whose agents receive record batches; `on_assigned` is called with the partitions of an assignment."""

    on_assigned: Callable[[set[int]], Awaitable[None]]

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self, loop=self.loop)
