"""The writers of the state topic, one for each partition that a worker owns.

`FencedLog` writes a checkpoint as one Kafka transaction by a producer whose transactional id is the application and the
partition. Who opens it fences whoever had it before: an unfinished transaction of theirs is aborted, and any further
one is refused. `PlainLog` is for a broker without transactions, and protects one worker from its own crashes only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

import models.records
from models.errors import UserError
from streams import clients, steps
from streams.outputs import Item, Outputs, deliver, send_batch, taken
from streams.sending import batches_of
from streams.settings import Settings
from streams.steps import Step

ASK_S = 10.0  # whether a log is ours
TRANSACTION_TIMEOUT_MS = 300_000  # of one checkpoint of one partition; brokers allow 15 minutes by default
COMPRESSION = "snappy"  # of pages: a third of the bytes; aiokafka's lz4 is its slowest level, thirty times the time
ENDS_HEADER = "outputs"  # of a closing record, as `Noted.ends`
LAKE_HEADER = "lake"  # of a closing record, as `Noted.lake`
APP_HEADER = "app"  # of a closing record: the application that wrote it

Pages = list[tuple[bytes, bytes]]  # and behind them the closing record

_decode = msgspec.msgpack.Decoder(dict[str, int]).decode


class Noted(NamedTuple):
    """What a closing record says beside its shard.

    `ends`: of each kind of output the offset from which on nothing is covered; `lake`: how far each table has the
    partition (`Lake.positions`).
    """

    ends: dict[str, int]
    lake: dict[str, int]


class Stray(NamedTuple):
    """Events of one batch that belong to another partition."""

    partition: int
    records: models.records.Records


class FencedError(UserError):
    """Another worker has taken a partition over; what this one did since then was not written."""

    exit_code = 4


def fenced(settings: Settings, partition: int) -> FencedError:
    """What is said when a log is no longer its worker's."""
    twin = (
        f", but not while another one runs with --instance-id {settings.instance_id}: the two would end each other "
        "again and again. Give each worker a name of its own"
    )
    return FencedError(
        f"another worker has taken partition {partition} over: this one did not answer for longer than "
        "--session-timeout-s, or it was stopped in a rebalance. Nothing is lost; start it again"
        f"{twin if settings.instance_id else ''}"
    )


class StateLog(Protocol):
    """Writes the checkpoints of one partition."""

    async def open(self) -> None:
        """Fence whoever wrote before."""

    async def write(self, clock: int, records: Pages, offset: int, noted: Noted, strays: Sequence[Stray] = ()) -> None:
        """A checkpoint: the records of `Shard.dump`, the source offset, what is noted beside, events to send on.

        Raises FencedError.
        """

    async def is_ours(self, offset: int) -> bool:
        """Whether nobody has opened this log since we did."""

    async def close(self) -> None: ...


class FencedLog:
    """One transaction a checkpoint."""

    def __init__(self, settings: Settings, partition: int) -> None:
        self.settings, self.partition = settings, partition
        self.topic = settings.topic("state")
        self.source = TopicPartition(settings.topic("events"), partition)
        self._producer: AIOKafkaProducer | None = None
        self._begun = False  # a transaction that was not committed: what is still on its way would get into the next

    async def open(self) -> None:
        self._begun = False
        self._producer = clients.producer(
            self.settings,
            transactional_id=f"{self.settings.app}-{self.partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            compression_type=COMPRESSION,
        )
        await self._producer.start()

    async def write(self, clock: int, records: Pages, offset: int, noted: Noted, strays: Sequence[Stray] = ()) -> None:
        async def fill(producer: AIOKafkaProducer) -> None:
            *pages, closing = records
            await deliver(producer, self.topic, self.partition, clock, (_item(*page) for page in pages))
            steps.reached(Step.PAGES_SENT)
            closing_item = _closing_item(closing, noted, self.settings.app)
            await deliver(producer, self.topic, self.partition, clock, [closing_item])
            steps.reached(Step.CLOSING_SENT)
            await send_on(producer, self.source.topic, strays, transactional=True)
            await self._add_offset(producer, offset)
            steps.reached(Step.OFFSET_SENT)

        await self._transact(fill)

    async def is_ours(self, offset: int) -> bool:
        try:
            async with asyncio.timeout(ASK_S):
                await self._transact(lambda producer: self._add_offset(producer, offset))
        except (FencedError, KafkaError, TimeoutError):  # in doubt it is not
            return False
        return True

    async def _add_offset(self, producer: AIOKafkaProducer, offset: int) -> None:
        await producer.send_offsets_to_transaction({self.source: OffsetAndMetadata(offset, "")}, self.settings.app)

    async def _transact(self, fill: Callable[[AIOKafkaProducer], Awaitable[None]]) -> None:
        producer = self._producer
        if producer is None:  # a rebalance took the partition away while a checkpoint was on its way
            raise fenced(self.settings, self.partition)
        if self._begun:  # given up in a rebalance, with pages and without their closing record
            raise KafkaError(f"a transaction of partition {self.partition} was left unfinished")
        self._begun = True
        try:
            await producer.begin_transaction()
            await fill(producer)
            await producer.commit_transaction()
            self._begun = False
        except ProducerFenced:
            raise fenced(self.settings, self.partition) from None
        except AssertionError as error:  # aiokafka's answer when its sender has failed before
            raise KafkaError(f"the transaction of partition {self.partition} failed: {error}") from error

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await clients.stop_producer(producer)


class PlainLog:
    """Records without a transaction; the closing record is alone in its batch, and then the offset is committed."""

    def __init__(
        self, settings: Settings, partition: int, outputs: Outputs, commit: Callable[[int, int], Awaitable[None]]
    ) -> None:
        self.topic, self.app, self.partition = settings.topic("state"), settings.app, partition
        self.source = settings.topic("events")
        self._outputs, self._commit = outputs, commit

    async def open(self) -> None:
        """Nobody can be fenced."""

    async def write(self, clock: int, records: Pages, offset: int, noted: Noted, strays: Sequence[Stray] = ()) -> None:
        *pages, closing = records
        producer = self._outputs.producer
        await deliver(producer, self.topic, self.partition, clock, (_item(*page) for page in pages))
        steps.reached(Step.PAGES_SENT)
        await send_on(producer, self.source, strays, transactional=False)
        await deliver(producer, self.topic, self.partition, clock, [_closing_item(closing, noted, self.app)])
        steps.reached(Step.CLOSING_SENT)
        await self._commit(self.partition, offset)

    async def is_ours(self, offset: int) -> bool:
        """It cannot be known."""
        return False

    async def close(self) -> None:
        """The producer is that of the outputs."""


async def send_on(producer: AIOKafkaProducer, topic: str, strays: Sequence[Stray], *, transactional: bool) -> None:
    """Send strays to their partitions, in order, and wait until the broker has acknowledged them. Raises as `taken`."""
    for partition, records in strays:
        batches = batches_of(records, transactional=transactional)
        sent = [await send_batch(producer, batch, topic, partition) for batch in batches]
        await asyncio.gather(*map(taken, sent))


def read_noted(headers: Iterable[tuple[str, bytes]]) -> Noted:
    """What a closing record says; nothing where one of an older version does not."""
    found = dict(headers)
    return Noted(*(_decode(found[name]) if name in found else {} for name in (ENDS_HEADER, LAKE_HEADER)))


def read_app(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """The application of a closing record; None for one of a version that did not say it."""
    found = dict(headers).get(APP_HEADER)
    return None if found is None else found.decode()


def _item(key: bytes, value: bytes) -> Item:
    return key, value, []


def _closing_item(closing: tuple[bytes, bytes], noted: Noted, app: str) -> Item:
    ends, lake = map(msgspec.msgpack.encode, noted)
    return (*closing, [(ENDS_HEADER, ends), (LAKE_HEADER, lake), (APP_HEADER, app.encode())])
