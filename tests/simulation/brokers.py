"""Kafka as far as the protocol needs it: logs, transactions that fence, committed offsets; and clients of it.

Every request is an operation that the world carries out at a moment of its choice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from streams.topics import TOPICS

if TYPE_CHECKING:
    from tests.simulation.processes import Process

PREFIX = "z"
BATCH_RECORDS = 3  # so that there are many batches
FOLLOW_AGAIN = 0.1  # chance, each time it is asked, that a standby's wait for records is over


class Stored(NamedTuple):
    """A record as a reader sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


class Acknowledged(NamedTuple):
    offset: int


@dataclass
class Transaction:
    """Of one producer; `records` are the places that it wrote to."""

    state: str = "open"
    offsets: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)


class Log:
    """A partition. A place is None where compaction or a marker left nothing to read."""

    def __init__(self) -> None:
        self.places: list[tuple[Stored, Transaction | None] | None] = []

    def append(self, record: Stored, transaction: Transaction | None) -> None:
        self.places.append((record, transaction))

    def stable_end(self) -> int:
        """Where the first open transaction begins."""
        for offset, place in enumerate(self.places):
            if place and place[1] and place[1].state == "open":
                return offset
        return len(self.places)

    def read(self, start: int, end: int) -> list[Stored]:
        """Committed records of start … end - 1."""
        return [
            place[0]
            for place in self.places[start:end]
            if place and (place[1] is None or place[1].state == "committed")
        ]

    def compact(self) -> None:
        """Forget what a later record of the same key stands for; the newest stays, as on a broker."""
        end, seen = self.stable_end(), set()
        for offset in range(end - 1, -1, -1):
            place = self.places[offset]
            if place is None or (place[1] and place[1].state == "aborted") or place[0].key in seen:
                self.places[offset] = None
            else:
                seen.add(place[0].key)


class SimBroker:
    """Never away; what a network does to requests is the world's to decide."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, int], Log] = {}
        self.offsets: dict[tuple[str, TopicPartition], int] = {}  # by group
        self.epochs: dict[str, int] = {}  # by transactional id
        self.open: dict[str, Transaction] = {}

    def log(self, topic: str, partition: int) -> Log:
        log = self.logs.get((topic, partition))
        if log is None:
            log = self.logs[topic, partition] = Log()
        return log

    def fence(self, id_: str) -> int:
        """A producer with this transactional id begins; returns its epoch."""
        if unfinished := self.open.pop(id_, None):
            self._finish(unfinished, "aborted")
        self.epochs[id_] = self.epochs.get(id_, 0) + 1
        return self.epochs[id_]

    def begin(self, id_: str, epoch: int) -> Transaction:
        """The producer's open transaction. Raises ProducerFenced."""
        self.check(id_, epoch)
        return self.open.setdefault(id_, Transaction())

    def commit(self, id_: str, epoch: int) -> None:
        self.check(id_, epoch)
        if transaction := self.open.pop(id_, None):
            self._finish(transaction, "committed")
            self.offsets |= transaction.offsets

    def check(self, id_: str, epoch: int) -> None:
        if self.epochs[id_] != epoch:
            raise ProducerFenced()

    def append(self, topic: str, partition: int, records: Iterable[Any], transaction: Transaction | None) -> int:
        """Returns the offset of the first."""
        log = self.log(topic, partition)
        first = len(log.places)
        for offset, (key, value, headers, timestamp) in enumerate(records, first):
            log.append(Stored(topic, partition, offset, key, value, tuple(headers), timestamp), transaction)
        return first

    def _finish(self, transaction: Transaction, state: str) -> None:
        transaction.state = state
        for log in self.logs.values():
            if any(place and place[1] is transaction for place in log.places):
                log.places.append(None)  # the marker


class SimBatch:
    """aiokafka's BatchBuilder."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def append(self, *, key: Any, value: Any, timestamp: int, headers: Any) -> Any:
        if len(self.records) == BATCH_RECORDS:
            return None
        self.records.append((key, value, headers, timestamp))
        return True

    def record_count(self) -> int:
        return len(self.records)

    def size(self) -> int:
        return 0  # this broker takes batches of any size


class SimProducer:
    """aiokafka's AIOKafkaProducer: one batch of a partition on its way at a time, in order."""

    def __init__(self, process: Process, transactional_id: str | None = None) -> None:
        self.process, self.broker, self.id = process, process.world.broker, transactional_id
        self.epoch = 0
        self._queues: dict[tuple[str, int], deque[tuple[SimBatch, asyncio.Future[Acknowledged]]]] = {}
        self._sender = self.client = self  # what `stop_producer` closes when there is no answer
        self._closed = False
        self._broken: set[tuple[str, int]] = set()

    async def start(self) -> None:
        if self.id is not None:
            id_ = self.id
            self.epoch = await self.process.operation("fence", lambda: self.broker.fence(id_))

    async def stop(self) -> None:
        waiting = [acknowledged for queue in self._queues.values() for _, acknowledged in queue]
        if waiting:
            await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        self._closed = True

    def create_batch(self) -> SimBatch:
        return SimBatch()

    async def send_batch(self, batch: SimBatch, topic: str, *, partition: int) -> asyncio.Future[Acknowledged]:
        acknowledged = self.process.loop.create_future()
        queue = self._queues.setdefault((topic, partition), deque())
        queue.append((batch, acknowledged))
        if len(queue) == 1:
            self._send_next(topic, partition)
        return acknowledged

    def _send_next(self, topic: str, partition: int) -> None:
        queue = self._queues[topic, partition]
        batch = queue[0][0]

        def arrive() -> Acknowledged:
            if (topic, partition) in self._broken or self.process.world.is_lost():
                self._broken.add((topic, partition))
                raise KafkaError("the batch was lost; the broker takes none behind it, for its numbers would not fit")
            transaction = self.broker.begin(self.id, self.epoch) if self.id is not None else None
            return Acknowledged(self.broker.append(topic, partition, batch.records, transaction))

        def answered(answer: asyncio.Future[Any]) -> None:
            _, acknowledged = queue.popleft()
            if not acknowledged.done():
                if error := answer.exception():
                    acknowledged.set_exception(error)
                    acknowledged.exception()  # the protocol may never ask
                else:
                    acknowledged.set_result(answer.result())
            if queue and not self._closed:
                self._send_next(topic, partition)

        self.process.operation(f"send {topic} {len(batch.records)}", arrive, on_wire=True).add_done_callback(answered)

    async def begin_transaction(self) -> None:
        """Local; the broker hears of it with the first record."""

    async def send_offsets_to_transaction(self, offsets: dict[TopicPartition, Any], group: str) -> None:
        assert self.id is not None
        id_ = self.id

        def add() -> None:
            self._lose()
            transaction = self.broker.begin(id_, self.epoch)
            transaction.offsets |= {(group, tp): meta.offset for tp, meta in offsets.items()}

        await self.process.operation("offsets", add, on_wire=True)

    async def commit_transaction(self) -> None:
        assert self.id is not None
        id_ = self.id

        def commit() -> None:
            self._lose()
            self.broker.commit(id_, self.epoch)
            self._lose()  # only the answer

        await self.process.operation("commit", commit, on_wire=True)

    def _lose(self) -> None:
        if self.process.world.is_lost():
            raise KafkaError("the request got no answer")


class SimReader:
    """aiokafka's AIOKafkaConsumer with partitions assigned by hand, read_committed."""

    def __init__(self, process: Process, group_id: str | None = None) -> None:
        self.process, self.broker, self.group = process, process.world.broker, group_id
        self._at: dict[TopicPartition, int] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def topics(self) -> set[str]:
        return {f"{PREFIX}.{topic.kind}" for topic in TOPICS}  # none is ever lost

    def assign(self, tps: list[TopicPartition]) -> None:
        self._at = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._at[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self._at[tp]

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._ask("ends", lambda: {tp: self.broker.log(*tp).stable_end() for tp in tps})

    async def committed(self, tp: TopicPartition) -> int | None:
        return await self._ask("committed", lambda: self.broker.offsets.get((str(self.group), tp)))

    def highwater(self, tp: TopicPartition) -> int | None:
        return self.broker.log(*tp).stable_end()

    async def getmany(self, *tps: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        if tps:
            return await self._ask("read", lambda: self._read(tps))
        return await self.process.operation("follow", lambda: self._read(self._at), self._may_follow)

    def _may_follow(self) -> bool:
        """There is something to read, or it has waited long enough."""
        some = any(at < self.broker.log(*tp).stable_end() for tp, at in self._at.items())
        return some or self.process.world.random.random() < FOLLOW_AGAIN

    def _read(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, list[Any]]:
        found = {}
        for tp in tps:
            log = self.broker.log(*tp)
            end = log.stable_end()
            if records := log.read(self._at[tp], end):
                found[tp] = records
            self._at[tp] = max(self._at[tp], end)
        return found

    async def _ask(self, name: str, answer: Callable[[], Any]) -> Any:
        return await self.process.operation(name, answer)
