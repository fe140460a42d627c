"""Outputs to Kafka: co-partitioned with the events, many records a send, each send awaited before a checkpoint."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import xxhash
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, UnknownError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from models import decision_records, transition_records
from models.catalogue import Catalogue
from models.errors import UserError
from models.outputs import BatchOutput
from models.records import TICK_HEADER, Records
from models.texts import Texts
from streams import clients
from streams.cloud_events import CloudEvents
from streams.sending import NO_HEADERS, batches_of
from streams.settings import Settings
from streams.troubles import Troubles

SETTLED = 500  # sends that are looked at in one step of the event loop: a millisecond; a checkpoint has up to 50,000
NO_IDS = (
    "the broker gives producers no ids, without which there is no transaction: for the broker of `zhice broker` start "
    "with --no-transactions, and no more than one worker"
)
OUTPUT_KINDS = ("transitions", "decisions", "triggers", "bad-rows")

Item = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]  # key, value, headers
_encode = msgspec.json.Encoder().encode


class TooLargeError(UserError):
    """A topic takes no batch that is so large, however often it is sent: the worker ends, and says what to do."""

    def __init__(self, topic: str, bytes_: int) -> None:
        super().__init__(
            f"{topic} takes no record batch of {bytes_:,} bytes: raise its max.message.bytes in Kafka to at least that "
            "and start the worker again. Nothing is lost: it goes on from its last checkpoint"
        )


class Sent(NamedTuple):
    """A batch on its way; `bytes` before it is compressed."""

    topic: str
    partition: int
    records: int
    bytes: int
    acknowledged: asyncio.Future[RecordMetadata]


class Outputs:
    """Sends what a batch put out.

    After a restore the same comes again: what is `remember`ed as sent is not sent a second time. `ends` says, by topic
    and partition, from which offset on nothing was acknowledged by `settle`.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, troubles: Troubles) -> None:
        self.settings, self.troubles = settings, troubles
        self._of_transitions = transition_records.pieces_of(catalogue)
        self._of_decisions = decision_records.pieces_of(catalogue)
        self._cloud_events = CloudEvents(catalogue.rules)
        self.ends: dict[tuple[str, int], int] = {}
        self.repeats = 0  # outputs that a replay made again and that were not sent again
        self._sent: dict[int, list[Sent]] = defaultdict(list)
        self._before: dict[tuple[str, int], set[bytes]] = {}

    async def start(self) -> None:
        """Begin with a new producer. Raises KafkaError where no broker answers."""
        self.producer = clients.producer(self.settings)
        self._sent, self._before, self.ends = defaultdict(list), {}, {}
        try:
            await self.producer.start()
        except UnknownError as error:  # of Apache Kafka, too, when it is in trouble: so it is tried again
            raise KafkaError(NO_IDS if self.settings.transactions else str(error)) from error

    async def stop(self) -> None:
        await clients.stop_producer(self.producer)

    async def publish(self, output: BatchOutput) -> None:
        """Send transitions, decisions, triggers and bad rows to the partition of the same number."""
        partition, clock = output.partition, output.clock
        topic = self.settings.topic
        if len(output.transitions):
            moves = transition_records.records_of(output.transitions, output.columns, self._of_transitions, clock)
            await self.send_records(topic("transitions"), partition, moves)
        if len(made := output.decisions):
            decisions = decision_records.records_of(made, self._of_decisions, clock)
            await self.send_records(topic("decisions"), partition, decisions)
            acts = made.triggers()
            triggers = decision_records.records_of(acts, self._of_decisions, clock, triggers=True)
            await self.send_records(topic("triggers"), partition, triggers, self._cloud_events.headers(acts))
        bad_rows = [row.published() for row in output.columns.bad_rows]
        await self.send(topic("bad-rows"), partition, clock, [(row.key, _encode(row), []) for row in bad_rows])

    async def send(self, topic: str, partition: int, timestamp: int, items: Sequence[Item]) -> None:
        """Send records in as few batches as fit, but for those that were sent before; timestamp: ms."""
        if not items:
            return
        if before := self._before.get((topic, partition)):
            items = [item for item in items if not self._is_repeat(before, *item[:2])]
        with self.troubles.named("the broker", "the broker does not take what the worker sends"):
            self._sent[partition] += await send_items(self.producer, topic, partition, timestamp, items)

    async def send_records(self, topic: str, partition: int, records: Records, headers: Texts = NO_HEADERS) -> None:
        """The same for columns; headers: as `streams.sending.batches_of` takes them."""
        if before := self._before.get((topic, partition)):
            items = zip(records.keys.to_list(), records.values.to_list(), strict=True)
            which = np.flatnonzero([not self._is_repeat(before, *item) for item in items])
            records, headers = records.take(which), headers.take(which) if headers.count else headers
        with self.troubles.named("the broker", "the broker does not take what the worker sends"):
            for batch in batches_of(records, headers):
                self._sent[partition].append(await send_batch(self.producer, batch, topic, partition))

    async def send_tick(self, partition: int, timestamp: int) -> None:
        """Send the time, ms, to a partition of the events topic."""
        await self.send(self.settings.topic("events"), partition, timestamp, [(None, None, [TICK_HEADER])])

    def take_sent(self, partition: int) -> list[Sent]:
        """What was sent for a partition since the last call, for `settle`."""
        return self._sent.pop(partition, [])

    async def settle(self, sent: list[Sent]) -> None:
        """Wait until all of it is acknowledged. Raises as `taken`; what failed then counts as not sent."""
        with self.troubles.named("the broker", "the broker does not acknowledge what the worker sent"):
            for number, one in enumerate(sent, 1):
                metadata = await taken(one)
                if metadata.offset >= 0:  # unknown where the broker had it already
                    self.ends[one.topic, one.partition] = metadata.offset + one.records
                if number % SETTLED == 0:
                    await asyncio.sleep(0)  # record batches go on meanwhile

    def remember(self, topic: str, partition: int, end: int, sent: Collection[bytes]) -> None:
        """Outputs of a partition from offset `end` on were sent after its last checkpoint; digests of `digest`."""
        self.ends[topic, partition] = end
        self._before[topic, partition] = set(sent)

    def _is_repeat(self, before: set[bytes], key: bytes | None, value: bytes | None) -> bool:
        found = digest(key, value)
        if found not in before:
            return False
        before.remove(found)
        self.repeats += 1
        return True


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """Two outputs are the same when key and value are: every output names the event or the deadline that caused it."""
    return xxhash.xxh3_128_digest(b"%d:%b%b" % (len(key or b""), key or b"", value or b""))


async def send_items(
    producer: AIOKafkaProducer, topic: str, partition: int, timestamp: int, items: Iterable[Item]
) -> list[Sent]:
    """Send records in as few batches as fit; timestamp: ms. While no broker takes them it waits."""
    sent, builder = [], producer.create_batch()
    for key, value, headers in items:
        if builder.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
            sent.append(await send_batch(producer, builder, topic, partition))
            builder = producer.create_batch()
            builder.append(key=key, value=value, timestamp=timestamp, headers=headers)
    if builder.record_count():
        sent.append(await send_batch(producer, builder, topic, partition))
    return sent


async def deliver(
    producer: AIOKafkaProducer, topic: str, partition: int, timestamp: int, items: Iterable[Item]
) -> None:
    """`send_items`, and wait until the broker has acknowledged them. Raises as `taken`."""
    sent = await send_items(producer, topic, partition, timestamp, items)
    await asyncio.gather(*map(taken, sent))


async def taken(sent: Sent) -> RecordMetadata:
    """What the broker says of a batch. Raises KafkaError, and TooLargeError for what it will never take."""
    try:
        return await acknowledgement(sent.acknowledged)
    except MessageSizeTooLargeError:
        raise TooLargeError(sent.topic, sent.bytes) from None


async def acknowledgement(future: asyncio.Future[RecordMetadata]) -> RecordMetadata:
    """What a producer says of a batch. Raises KafkaError for one that was stopped meanwhile: it cancels the future.

    To await that would look as if the task that awaits it were cancelled, and end it without a word.
    """
    if not future.done():
        await asyncio.wait([future])
    if future.cancelled():
        raise KafkaError("the producer was stopped before the broker acknowledged what it sent")
    return future.result()


async def send_batch(producer: AIOKafkaProducer, builder: BatchBuilder, topic: str, partition: int) -> Sent:
    """Hand a batch to the producer; while it takes none, for the broker is away, this waits."""
    bytes_ = builder.size()
    while True:
        try:
            acknowledged = await producer.send_batch(builder, topic, partition=partition)
        except KafkaTimeoutError:  # the batch before it still waits for the broker; this one was not queued
            continue
        return Sent(topic, partition, builder.record_count(), bytes_, acknowledged)
