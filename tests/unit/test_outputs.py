"""Outputs: what a checkpoint waits for, and what becomes of what is too large for a topic."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import msgspec
import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from models.bad_rows import MAX_DETAIL_CHARS, MAX_PUBLISHED_BYTES, BadRow, Reason
from models.records import Record, Records
from streams.outputs import Outputs, TooLargeError, deliver, digest
from streams.settings import Settings
from streams.state_log import Stray, send_on
from streams.topics import TOPICS
from streams.troubles import Troubles
from tests.small_logs import outputs as batch_outputs
from tests.small_logs import small_catalogue


class Builder:
    def __init__(self) -> None:
        self.records = 0

    def append(self, **record: Any) -> object:
        self.records += 1
        self.last = record
        return object()

    def record_count(self) -> int:
        return self.records

    def size(self) -> int:
        return 5_000_000


class Producer:
    """Acknowledges each batch when it is asked to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ends: dict[tuple[str, int], int] = {}
        self.error = error
        self.sent: list[Any] = []

    async def start(self) -> None: ...

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, builder: Builder, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        self.sent.append(builder)
        first = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = first + builder.record_count()
        acknowledged: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if self.error:
            acknowledged.set_exception(self.error)
        else:
            acknowledged.set_result(RecordMetadata(topic, partition, None, first, 0, 0, 0))
        return acknowledged


def test_what_was_sent_is_taken_by_partition() -> None:
    """Another partition's cut may be older: what was sent behind it must not count as covered by its checkpoint."""

    async def send() -> None:
        with mock.patch("streams.clients.producer", return_value=Producer()):
            outputs = Outputs(Settings(partitions=2), small_catalogue(), Troubles())
            await outputs.start()
        for partition, records in ((0, 1), (1, 2), (0, 3)):
            await outputs.send("t", partition, 0, [(b"k", b"v", [])] * records)
        sent = outputs.take_sent(0)
        await outputs.send("t", 0, 0, [(b"k", b"later", [])])
        assert [(one.partition, one.records) for one in sent] == [(0, 1), (0, 3)]
        await outputs.settle(sent)
        assert outputs.ends == {("t", 0): 4}
        assert [one.records for one in outputs.take_sent(1)] == [2]
        assert [one.records for one in outputs.take_sent(0)] == [1] and not outputs.take_sent(0)

    asyncio.run(send())


TOO_LARGE = "t takes no record batch of 5,000,000 bytes: raise its max.message.bytes"


def test_what_a_topic_never_takes_ends_the_worker_with_a_word() -> None:
    """It was taken for a broker that is away, and tried again without end."""

    async def send() -> None:
        with mock.patch("streams.clients.producer", return_value=Producer(MessageSizeTooLargeError())):
            outputs = Outputs(Settings(partitions=2), small_catalogue(), Troubles())
            await outputs.start()
        await outputs.send("t", 0, 0, [(b"k", b"v", [])])
        with pytest.raises(TooLargeError, match=TOO_LARGE):
            await outputs.settle(outputs.take_sent(0))

    asyncio.run(send())


def test_nor_does_it_of_a_checkpoint() -> None:
    async def send() -> None:
        producer: Any = Producer(MessageSizeTooLargeError())
        with pytest.raises(TooLargeError, match=TOO_LARGE):
            await deliver(producer, "t", 0, 0, [(b"k", b"v", [])])
        stray = Stray(1, Records.of([Record(0, 1, b"k", b"v" * 700)]))
        with pytest.raises(TooLargeError, match=r"t takes no record batch of 7\d\d bytes"):
            await send_on(producer, "t", [stray], transactional=False)

    asyncio.run(send())


def test_the_largest_bad_row_fits_into_its_topic() -> None:
    many = b"\xff" * 20_000_000
    row = BadRow(
        reason=Reason.TOO_LARGE, field="f" * 1_000, detail="名" * MAX_DETAIL_CHARS, topic="t" * 249, partition=1,
        offset=2**63 - 1, timestamp=2**63 - 1, key=many, value=many,
    ).published()  # fmt: skip
    builder = BatchBuilder(1, 0)
    builder.append(timestamp=0, key=row.key, value=msgspec.json.encode(row), headers=[])
    (limit,) = (topic.settings["max.message.bytes"] for topic in TOPICS if topic.kind == "bad-rows")
    assert 3 * MAX_PUBLISHED_BYTES < len(builder._build()) < int(limit)


def test_a_bad_row_that_was_cut_is_known_again() -> None:
    """A replay makes the same of it, and does not send it a second time."""
    large = Record(0, 1, b"k", b"x" * (3 * MAX_PUBLISHED_BYTES))
    [output, _] = batch_outputs(small_catalogue(), [large], batch=1)

    async def send() -> None:
        with mock.patch("streams.clients.producer", return_value=(producer := Producer())):
            outputs = Outputs(Settings(partitions=1), small_catalogue(), Troubles())
            await outputs.start()
        await outputs.publish(output)
        [batch] = producer.sent
        assert len(batch.last["value"]) < 2 * MAX_PUBLISHED_BYTES
        outputs.remember("zhice.bad-rows", 0, 0, [digest(batch.last["key"], batch.last["value"])])
        await outputs.publish(output)
        assert outputs.repeats == 1 and producer.sent == [batch]

    asyncio.run(send())
