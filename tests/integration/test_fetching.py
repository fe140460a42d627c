"""Fetching in batches from a broker: the same records as aiokafka gives one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from models.records import TICK_HEADER, Record, is_tick
from streams import clients, fetching
from streams.fetching import deliver_batches, records_of
from streams.settings import Settings
from streams.topics import ensure_topics

pytestmark = pytest.mark.kafka
START = 1_767_225_600_000
DEADLINE_S = 60
Log = list[Record]


def value(number: int) -> bytes | None:
    return None if number % 7 == 0 else b"value %d " % number * (number % 40)


@asynccontextmanager
async def producing(broker: Any, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(producer: AIOKafkaProducer, tp: TopicPartition, first: int, count: int) -> None:
    """Records of every shape: without key, without value, ticks, other headers."""
    for number in range(first, first + count):
        headers = [[], [TICK_HEADER], [("zhice", b"other")], [("a", b""), TICK_HEADER]][number % 4]
        key = None if number % 5 == 0 and number % 7 else b"key %d" % number  # aiokafka wants one of the two
        await producer.send(*tp[:1], value(number), key, tp.partition, START + number, headers)
    await producer.flush()


@asynccontextmanager
async def consuming(broker: Any, tp: TopicPartition, isolation: str, first: int) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.address, enable_auto_commit=False, isolation_level=isolation,
        max_partition_fetch_bytes=30_000, fetch_max_wait_ms=200,
    )  # fmt: skip
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, first)
        yield consumer
    finally:
        await consumer.stop()


async def one_at_a_time(broker: Any, tp: TopicPartition, isolation: str, first: int, end: int) -> Log:
    log: Log = []
    async with consuming(broker, tp, isolation, first) as consumer:
        while await consumer.position(tp) < end:
            for one in (await consumer.getmany(timeout_ms=500)).get(tp, []):
                headers = (TICK_HEADER,) if is_tick(one) else ()
                log.append(Record(one.offset, one.timestamp, one.key, one.value, headers))
    return log


async def in_batches(broker: Any, tp: TopicPartition, isolation: str, first: int, end: int) -> Log:
    log: Log = []
    async with consuming(broker, tp, isolation, first) as consumer:
        deliver_batches(consumer)
        while await consumer.position(tp) < end:
            if batches := (await consumer.getmany(timeout_ms=500)).get(tp):
                records = records_of(batches)
                log += map(records.record, range(records.count))
    return log


def topic(broker: Any, prefix: str) -> TopicPartition:
    settings = Settings(broker=broker.address, prefix=prefix, partitions=2)
    ensure_topics(settings, keep_forever=True)
    return TopicPartition(settings.topic("events"), 1)


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_what_was_sent_comes_back(codec: str | None, broker: Any, topic_prefix: str) -> None:
    tp = topic(broker, topic_prefix)

    async def check() -> None:
        async with producing(broker, compression_type=codec, linger_ms=5) as producer:
            await send(producer, tp, 0, 3000)
        for first in (0, 1234):
            logs = [await read(broker, tp, "read_uncommitted", first, 3000) for read in (one_at_a_time, in_batches)]
            assert logs[0] == logs[1]
            assert [record.offset for record in logs[1]] == list(range(first, 3000))
            assert [record.value for record in logs[1]] == [value(number) for number in range(first, 3000)]

    asyncio.run(asyncio.wait_for(check(), DEADLINE_S))


@pytest.mark.parametrize("unpacked_bytes", [fetching.UNPACKED_BYTES, 500])
@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_transactions(
    isolation: str, unpacked_bytes: int, apache_kafka: Any, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a response is left in the middle of one, and the rest of it is fetched again."""
    monkeypatch.setattr(fetching, "UNPACKED_BYTES", unpacked_bytes)
    tp = topic(apache_kafka, topic_prefix)

    async def check() -> None:
        async with producing(apache_kafka, transactional_id=topic_prefix, compression_type="lz4") as producer:
            for number, aborted in enumerate([False, True, True, False]):
                await producer.begin_transaction()
                await send(producer, tp, 100 * number, 100)
                await (producer.abort_transaction() if aborted else producer.commit_transaction())
        logs = [await read(apache_kafka, tp, isolation, 50, 404) for read in (one_at_a_time, in_batches)]
        assert logs[0] == logs[1]
        assert len(logs[1]) == (150 if isolation == "read_committed" else 350)

    asyncio.run(asyncio.wait_for(check(), DEADLINE_S))


def test_a_seek_goes_back(broker: Any, topic_prefix: str) -> None:
    tp = topic(broker, topic_prefix)

    async def check() -> None:
        async with producing(broker) as producer:
            await send(producer, tp, 0, 500)
        async with consuming(broker, tp, "read_uncommitted", 300) as consumer:
            deliver_batches(consumer)
            for first in (300, 20):
                consumer.seek(tp, first)
                batches = (await consumer.getmany(timeout_ms=10_000))[tp]
                assert records_of(batches).offset[0] == first

    asyncio.run(asyncio.wait_for(check(), DEADLINE_S))


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_reader_ends_between_two_assignments(steps: int, broker: Any, topic_prefix: str) -> None:
    """So many steps of the event loop after a new one. Stopped at once, a consumer of aiokafka's own fetches on."""
    first = topic(broker, topic_prefix)

    async def stop() -> None:
        reader = clients.reader(Settings(broker=broker.address))
        await reader.start()
        reader.assign([first])
        reader.seek(first, 0)
        await reader.getmany(timeout_ms=1)  # its fetch is on its way
        reader.assign([first._replace(partition=0)])
        for _ in range(steps):
            await asyncio.sleep(0)
        await reader.stop()

    asyncio.run(asyncio.wait_for(stop(), DEADLINE_S))
