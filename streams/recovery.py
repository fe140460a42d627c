"""Restore: a partition as of its last checkpoint, and what was sent since then.

The closing record of the state says where the partition goes on: not the group's committed offset, which a broker
forgets (`offsets.retention.minutes`) and which people reset. What the two disagree about is an error where events would
be lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from models.errors import UserError
from models.layout import Layout
from models.shard import Shard
from streams import clients, steps
from streams.memory import give_back
from streams.outputs import OUTPUT_KINDS, Outputs, digest
from streams.settings import Settings
from streams.standby import Standby
from streams.state_copy import StateCopy
from streams.state_log import StateLog, fenced
from streams.steps import Step
from streams.telemetry import Telemetry

log = logging.getLogger(__name__)

POLL_MS = 200
POLL_RECORDS = 5000
TOPICS, TOPICS_S = "the broker's list of topics", 1.0  # a trouble, and when it is looked for again
AT_ONCE = 4  # partitions that are read at the same time


class RestoreError(UserError):
    """A partition cannot go on from where it was; the message says what to do."""


class Archive(Protocol):
    """The lake, as far as a restore asks it."""

    def next_offset(self, topic: str, partition: int) -> int:
        """How far it has the events of a partition."""

    def behind(self, topic: str, partition: int, noted: Mapping[str, int]) -> list[str]:
        """The tables that are not as far as a checkpoint noted."""


class Recovery:
    """Restores the partitions of a worker."""

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        outputs: Outputs,
        standby: Standby,
        telemetry: Telemetry,
        lake: Archive,
    ) -> None:
        self.settings, self.layout, self.outputs = settings, layout, outputs
        self.standby, self.telemetry, self.lake = standby, telemetry, lake
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._waits_for = ""  # in words

    async def restore(self, partition: int, state_log: StateLog) -> Shard:
        """Fence, read the state, then the tail of the outputs. Raises RestoreError, PageError."""
        try:
            async with self._at_once, asyncio.timeout(self.settings.restore_timeout_s):
                with self.telemetry.restoring():
                    await state_log.open()
                    steps.reached(Step.FENCED)
                    return await self._read(partition, state_log)
        except TimeoutError:
            raise RestoreError(
                f"partition {partition} was not restored within {self.settings.restore_timeout_s:g} s; "
                f"{self._waits_for or 'check the broker, or raise --restore-timeout-s'}"
            ) from None

    async def _read(self, partition: int, state_log: StateLog) -> Shard:
        reader = clients.reader(self.settings, group_id=self.settings.app, isolation_level="read_committed")
        await reader.start()
        try:
            await self._await_topics(reader)
            copy = await self._read_state(reader, partition)
            self._check_apps(copy)
            events = self.settings.topic("events")
            shard = await asyncio.to_thread(_restored, self.layout, events, partition, copy.records())
            steps.reached(Step.STATE_READ)
            source = TopicPartition(events, partition)
            oldest = (await reader.beginning_offsets([source]))[source]
            if copy.closing is None:
                await self._check_new(reader, shard, state_log)
            else:
                await self._check_start(reader, shard, oldest)
            await self._check_lake(reader, source, shard, copy.noted.lake)
            shard.next_offset = max(shard.next_offset, oldest)
            sent = await self._read_tail(reader, partition, copy.noted.ends)
            steps.reached(Step.TAIL_READ)
        finally:
            await reader.stop()
        for line in shard.migration:
            log.info("the catalogue changed, partition %d: %s", partition, line)
        log.info(
            "restored partition %d: %d customers, next offset %d, %d outputs sent since",
            partition, shard.rows.customers.count, shard.next_offset, sent,
        )  # fmt: skip
        return shard

    async def _await_topics(self, reader: AIOKafkaConsumer) -> None:
        """Wait for topics that the broker does not know: a client would wait for them as well, and not say so.

        A broker that was started again may know them a little later; one that has lost them will not.
        """
        troubles = self.outputs.troubles
        wanted = {self.settings.topic(kind) for kind in ("events", "state", *OUTPUT_KINDS)}
        try:
            while missing := sorted(wanted - await reader.topics()):
                self._waits_for = (
                    f"the broker at {self.settings.broker} has no {', '.join(missing)}: it came back without its "
                    "topics, or they were deleted. Bring back what it had. A worker that starts anew makes them anew: "
                    "then --lake must be a new one, too"
                )
                troubles.begin(TOPICS, self._waits_for)
                await asyncio.sleep(TOPICS_S)
        except BaseException:
            troubles.forget(TOPICS)
            raise
        self._waits_for = ""
        troubles.end(TOPICS)

    async def _read_state(self, reader: AIOKafkaConsumer, partition: int) -> StateCopy:
        copy, tp = self.standby.take(partition), TopicPartition(self.settings.topic("state"), partition)
        async for record in self._tail(reader, {tp: copy.position}):
            copy.add(record)
        return copy

    async def _read_tail(self, reader: AIOKafkaConsumer, partition: int, ends: Mapping[str, int]) -> int:
        """Tell the outputs what was sent after the last checkpoint; returns how many records that is."""
        topics = {kind: self.settings.topic(kind) for kind in OUTPUT_KINDS}
        starts = {TopicPartition(topic, partition): ends.get(kind, 0) for kind, topic in topics.items()}
        found: dict[str, list[bytes]] = {topic: [] for topic in topics.values()}
        async for record in self._tail(reader, starts):
            found[record.topic].append(digest(record.key, record.value))
        for tp, start in starts.items():
            self.outputs.remember(tp.topic, partition, start, found[tp.topic])
        return sum(map(len, found.values()))

    async def _tail(
        self, reader: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]
    ) -> AsyncIterator[ConsumerRecord]:
        """Records from the given offsets, or from the oldest that is still there, to the end that each has now."""
        reader.assign(list(starts))
        oldest, ends = await reader.beginning_offsets(list(starts)), await reader.end_offsets(list(starts))
        for tp, start in starts.items():
            reader.seek(tp, max(start, oldest[tp]))
        # the embedded broker reports the base offset of the last batch as the end: go on until nothing comes
        more = not self.settings.transactions
        while await self._is_behind(reader, ends) or more:
            batches = await reader.getmany(*starts, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            for records in batches.values():
                for record in records:
                    yield record
            more = bool(batches) and not self.settings.transactions

    @staticmethod
    async def _is_behind(reader: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        return any([await reader.position(tp) < end for tp, end in ends.items()])

    def _check_apps(self, copy: StateCopy) -> None:
        """That no other application works on these topics: their pages and outputs would be mixed with ours."""
        if others := sorted(copy.apps - {self.settings.app}):
            raise RestoreError(
                f"{self.settings.topic('state')} has checkpoints of the application {', '.join(others)}, and an "
                f"application has its topics for itself: take --app {others[-1]}, or another --prefix"
            )

    async def _check_new(self, reader: AIOKafkaConsumer, shard: Shard, state_log: StateLog) -> None:
        """That a partition without a checkpoint is one that nobody has worked on; it starts at its oldest event.

        A worker that was paused in a restore would find what was committed meanwhile: then the log is not its own.
        """
        tp = TopicPartition(shard.topic, shard.partition)
        if not (committed := await reader.committed(tp)):
            return
        if self.settings.transactions and not await state_log.is_ours(committed):
            raise fenced(self.settings, tp.partition)
        raise RestoreError(
            f"{self.settings.topic('state')} has no checkpoint of partition {tp.partition}, although the group "
            f"{self.settings.app} has worked on it: the topic was deleted. Take another --app to start anew "
            "from the events that the broker has"
        )

    async def _check_lake(
        self, reader: AIOKafkaConsumer, tp: TopicPartition, shard: Shard, noted: Mapping[str, int]
    ) -> None:
        """That the lake has no events that the log has not: it would take what comes for repeats, and leave it out.

        Nor may it have none where the state has customers: it is another folder, and would lack what was before. Nor
        less than the checkpoint `noted`: then it is an older copy, or has lost something.
        """
        archived, end = self.lake.next_offset(*tp), (await reader.end_offsets([tp]))[tp]
        if archived == 0 and (customers := shard.rows.customers.count) and not self.settings.new_lake:
            raise RestoreError(
                f"the lake at {self.settings.lake} has no events of {tp.topic}-{tp.partition}, although the state has "
                f"{customers} customers of it. Take the --lake that has them; --new-lake goes on with this one"
            )
        if not self.settings.new_lake and (behind := self.lake.behind(*tp, noted)):
            raise RestoreError(
                f"the lake at {self.settings.lake} lacks what the checkpoint of {tp.topic}-{tp.partition} had written "
                f"to {', '.join(behind)}: it is an older copy, or files below _delta_log were lost. Bring back the one "
                "that has all; --new-lake goes on with this one, and what it lacks stays missing"
            )
        if archived > end and not self.settings.transactions:  # the embedded broker's end is not exact
            async for record in self._tail(reader, {tp: end}):
                end = record.offset + 1
        if archived > end:
            raise RestoreError(
                f"the lake at {self.settings.lake} has {tp.topic}-{tp.partition} up to offset {archived}, but it ends "
                f"at {end}: the topic was made anew, and the lake would leave out what comes as repeats. Take another "
                "--lake"
            )

    async def _check_start(self, reader: AIOKafkaConsumer, shard: Shard, oldest: int) -> None:
        """That the log, whose first event is at `oldest`, still holds what comes next."""
        tp = TopicPartition(shard.topic, shard.partition)
        end = (await reader.end_offsets([tp]))[tp]
        if oldest > shard.next_offset and not self.settings.skip_expired:
            raise RestoreError(
                f"{oldest - shard.next_offset} events of {tp.topic}-{tp.partition} were deleted by the broker before "
                f"they were worked through: the checkpoint stands at {shard.next_offset}, the oldest event is "
                f"{oldest}. Raise retention.ms of the topic; --skip-expired goes on without them"
            )
        if end < shard.next_offset and self.settings.transactions:  # the embedded broker's end is not exact
            raise RestoreError(
                f"{tp.topic}-{tp.partition} ends at {end}, before the checkpoint at {shard.next_offset}: the topic was "
                f"made anew. Delete {self.settings.topic('state')} and take another --app, or take another --prefix"
            )


def _restored(layout: Layout, topic: str, partition: int, records: Iterable[tuple[bytes, bytes]]) -> Shard:
    """A shard from its pages, which took as much memory again while they were read."""
    shard = Shard.restore(layout, topic, partition, records)
    give_back()
    return shard
