"""What a restore relies on, and what it refuses; on Apache Kafka, in this process."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from msgspec.structs import replace

from models.decoding import Decoder
from models.records import Record, Records
from models.shard import Shard
from streams import clients
from streams.outputs import Outputs
from streams.recovery import Recovery, RestoreError
from streams.settings import Settings
from streams.standby import Standby
from streams.state_copy import StateCopy
from streams.state_log import FencedError, FencedLog, Noted, PlainLog
from streams.telemetry import Telemetry
from streams.topics import ensure_topics
from streams.troubles import Troubles
from streams.worker import Worker
from tests.integration.worked import LAYOUT, assert_exact, prepare, records_of, repeats, run_worker, until
from tests.workers import archived

pytestmark = pytest.mark.kafka


NOTHING = Noted({}, {})


def settings_of(broker: Any, prefix: str) -> Settings:
    settings = Settings(broker=broker.address, prefix=prefix, app=prefix, partitions=1, tick_ms=0)
    ensure_topics(settings)
    return settings


def new_shard(settings: Settings, next_offset: int) -> Shard:
    shard = Shard(LAYOUT, settings.topic("events"), 0)
    shard.next_offset = next_offset
    return shard


async def send_events(settings: Settings, count: int) -> None:
    producer = clients.producer(settings)
    await producer.start()
    for number in range(count):
        await producer.send_and_wait(settings.topic("events"), b"%d" % number, partition=0)
    await producer.stop()


async def committed(partition: int, offset: int) -> None:
    """Nothing is, here."""


class Archived:
    """A lake that has the events up to an offset."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def next_offset(self, topic: str, partition: int) -> int:
        return self.offset

    def behind(self, topic: str, partition: int, noted: Any) -> list[str]:
        return []


async def restore(settings: Settings, standby: Standby | None = None, archived: int = 0) -> Shard:
    outputs = Outputs(settings, LAYOUT.catalogue, Troubles())
    log = FencedLog(settings, 0) if settings.transactions else PlainLog(settings, 0, outputs, committed)
    try:
        recovery = Recovery(settings, LAYOUT, outputs, standby or Standby(settings), Telemetry(), Archived(archived))
        return await recovery.restore(0, log)
    finally:
        await log.close()


async def checkpoint_at(settings: Settings, offset: int) -> None:
    log = FencedLog(settings, 0)
    await log.open()
    await log.write(1, new_shard(settings, offset).dump(), offset, NOTHING)
    assert await log.is_ours(offset)  # no next transaction begins before everyone can see the offset of this one
    await log.close()


def test_a_second_owner_fences_the_first(apache_kafka: Any, topic_prefix: str) -> None:
    settings = settings_of(apache_kafka, topic_prefix)

    async def run() -> tuple[bool, bool, int]:
        await send_events(settings, 30)
        first, second = FencedLog(settings, 0), FencedLog(settings, 0)
        await first.open()
        await first.write(1, new_shard(settings, 10).dump(), 10, NOTHING)
        before = await first.is_ours(10)
        await second.open()
        await second.write(1, new_shard(settings, 20).dump(), 20, NOTHING)
        with pytest.raises(FencedError, match="taken partition 0 over"):
            await first.write(1, new_shard(settings, 30).dump(), 30, NOTHING)
        after = await first.is_ours(30)
        await first.close()
        await second.close()
        return before, after, (await restore(settings)).next_offset

    assert asyncio.run(run()) == (True, False, 20)
    consumer = KafkaConsumer(bootstrap_servers=settings.broker, group_id=settings.app, enable_auto_commit=False)
    assert consumer.committed(TopicPartition(settings.topic("events"), 0)) == 20
    consumer.close()


def test_an_unfinished_transaction_of_a_dead_worker_is_not_waited_for(apache_kafka: Any, topic_prefix: str) -> None:
    settings = settings_of(apache_kafka, topic_prefix)

    async def run() -> int:
        await send_events(settings, 20)
        await checkpoint_at(settings, 10)
        dead = FencedLog(settings, 0)
        await dead.open()
        assert dead._producer is not None
        await dead._producer.begin_transaction()
        await dead._producer.send_and_wait(settings.topic("state"), b"page", b"checkpoint", partition=0)
        shard = await asyncio.wait_for(restore(settings), 20)  # it would be held for the transaction's timeout, 5 min
        await dead.close()
        return shard.next_offset

    assert asyncio.run(run()) == 10


def test_events_that_the_broker_has_deleted_are_an_error(apache_kafka: Any, topic_prefix: str) -> None:
    settings = settings_of(apache_kafka, topic_prefix)
    asyncio.run(send_events(settings, 100))
    asyncio.run(checkpoint_at(settings, 10))
    assert asyncio.run(restore(settings)).next_offset == 10
    admin = KafkaAdminClient(bootstrap_servers=settings.broker)
    admin.delete_records({TopicPartition(settings.topic("events"), 0): 50})
    admin.close()
    with pytest.raises(RestoreError, match=r"40 events of .* were deleted .*--skip-expired"):
        asyncio.run(restore(settings))
    skipping = Settings(
        **{name: getattr(settings, name) for name in settings.__struct_fields__} | {"skip_expired": True}
    )
    assert asyncio.run(restore(skipping)).next_offset == 50


def test_a_log_that_ends_before_the_checkpoint_is_an_error(apache_kafka: Any, topic_prefix: str) -> None:
    settings = settings_of(apache_kafka, topic_prefix)
    asyncio.run(send_events(settings, 5))
    asyncio.run(checkpoint_at(settings, 10))
    with pytest.raises(RestoreError, match="ends at 5, before the checkpoint at 10: the topic was made anew"):
        asyncio.run(restore(settings))


def test_state_of_another_application_is_an_error(apache_kafka: Any, topic_prefix: str) -> None:
    """Else the pages of both would be mixed, and each would put out what the other did."""
    settings = settings_of(apache_kafka, topic_prefix)
    asyncio.run(send_events(settings, 20))
    asyncio.run(checkpoint_at(settings, 10))
    other = Settings(**{name: getattr(settings, name) for name in settings.__struct_fields__} | {"app": "shadow"})
    with pytest.raises(RestoreError, match=f"has checkpoints of the application {topic_prefix}.*another --prefix"):
        asyncio.run(restore(other))


def test_state_that_was_deleted_is_an_error(apache_kafka: Any, topic_prefix: str) -> None:
    settings = settings_of(apache_kafka, topic_prefix)
    asyncio.run(send_events(settings, 5))
    commit(settings, [3])
    with pytest.raises(RestoreError, match=r"has no checkpoint of partition 0.*--app"):
        asyncio.run(restore(settings))


def test_a_worker_that_was_paused_in_a_restore_is_fenced(apache_kafka: Any, topic_prefix: str) -> None:
    """It read no state, then another worker took the partition and saved it: the topic was not deleted."""
    settings = replace(settings_of(apache_kafka, topic_prefix), instance_id="w1")

    class Paused(Recovery):
        async def _read_state(self, reader: Any, partition: int) -> StateCopy:
            copy = await super()._read_state(reader, partition)
            await checkpoint_at(settings, 3)
            return copy

    async def run() -> None:
        await send_events(settings, 5)
        log, outputs = FencedLog(settings, 0), Outputs(settings, LAYOUT.catalogue, Troubles())
        try:
            await Paused(settings, LAYOUT, outputs, Standby(settings), Telemetry(), Archived(0)).restore(0, log)
        finally:
            await log.close()

    with pytest.raises(FencedError, match="start it again, but not while another one runs with --instance-id w1"):
        asyncio.run(run())


def test_a_standby_is_read_on_from_where_it_is(apache_kafka: Any, topic_prefix: str) -> None:
    """It has what was committed while it followed, and a restore reads only what came after that."""
    settings = settings_of(apache_kafka, topic_prefix)

    async def run() -> tuple[int, int, int]:
        await send_events(settings, 30)
        await checkpoint_at(settings, 10)
        standby = Standby(settings)
        following = asyncio.create_task(standby.follow(set))
        await until(lambda: standby.copies and standby.copies[0].closing is not None, "a closing record")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        known = Shard.restore(LAYOUT, settings.topic("events"), 0, standby.copies[0].records()).next_offset
        await checkpoint_at(settings, 20)
        copy = standby.copies[0]
        read: list[int] = []
        copy.add = lambda record, add=copy.add: (read.append(record.offset), add(record))[1]  # type: ignore[method-assign]
        shard = await restore(settings, standby)
        return known, shard.next_offset, len(read)

    assert asyncio.run(run()) == (10, 20, 1)


@pytest.mark.parametrize("broker", ["apache_kafka", "embedded_broker"])
def test_a_lake_that_is_ahead_of_a_new_topic_is_said(broker: str, request: Any, topic_prefix: str) -> None:
    """Its events would be left out of it as repeats."""
    settings = settings_of(request.getfixturevalue(broker), topic_prefix)
    settings = replace(settings, transactions=broker == "apache_kafka")

    async def run() -> None:
        await send_events(settings, 10)
        await restore(settings, archived=10)
        await restore(settings, archived=11)

    with pytest.raises(RestoreError, match=r"has .*-0 up to offset 11, but it ends at 10: the topic was made anew"):
        asyncio.run(run())


def test_a_lake_that_has_nothing_of_the_state_is_said(apache_kafka: Any, topic_prefix: str) -> None:
    """It is another folder, and would lack what was before."""
    settings = settings_of(apache_kafka, topic_prefix)
    event = b'{"event_id":"1","event":"app_start","customer_id":"c1","event_time":1767265200000}'
    log_of_one = Records.of([Record(0, 1_767_265_200_000, b"c1", event)])

    async def run() -> None:
        await send_events(settings, 1)
        shard, log = new_shard(settings, 0), FencedLog(settings, 0)
        shard.process(Decoder(LAYOUT.event_layout).columns(settings.topic("events"), 0, log_of_one))
        await log.open()
        await log.write(1, shard.dump(), shard.next_offset, NOTHING)
        await log.close()
        assert (await restore(settings, archived=1)).rows.customers.count == 1
        assert (await restore(replace(settings, new_lake=True))).rows.customers.count == 1
        await restore(settings)

    with pytest.raises(RestoreError, match=r"has no events of .*-0, although the state has 1 customers.*--new-lake"):
        asyncio.run(run())


def send_again(settings: Settings, log: Path) -> None:
    """What is in the topic already, as any producer would send it."""
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    for line in log.read_bytes().splitlines():
        customer = re.search(rb'"customer_id":"(\w+)"', line)  # some lines are broken
        producer.send(settings.topic("events"), key=customer and customer[1], value=line)
    producer.close()


def test_a_lake_that_is_an_older_copy_is_said(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """What came in between is in no other place, and its positions would hide that it is missing."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=2_000, partitions=2)
    lake, copy = Path(settings.lake), tmp_path / "yesterday"

    def to(end: int) -> Any:
        async def job(worker: Worker) -> bool:
            await until(lambda: sum(map(worker.next_offset, range(2))) >= end, "the end of the log")
            return False

        return job

    run_worker(settings, to(records))
    shutil.copytree(lake, copy)
    send_again(settings, tmp_path / "bank.jsonl")
    run_worker(settings, to(2 * records))
    shutil.rmtree(lake / "decisions")
    with pytest.raises(RestoreError, match=r"lacks what .*-\d had written to decisions: it is an older"):
        run_worker(settings, to(2 * records))
    shutil.rmtree(lake)
    copy.rename(lake)
    with pytest.raises(RestoreError, match=r"written to events, .*--new-lake goes on"):
        run_worker(settings, to(2 * records))
    send_again(settings, tmp_path / "bank.jsonl")
    run_worker(replace(settings, new_lake=True), to(3 * records))
    run_worker(settings, to(3 * records))
    assert archived(settings.lake) == 2 * records


def test_a_restore_has_a_deadline(apache_kafka: Any, topic_prefix: str) -> None:
    class Hanging(FencedLog):
        async def open(self) -> None:
            await asyncio.Event().wait()

    settings = replace(settings_of(apache_kafka, topic_prefix), restore_timeout_s=1.0)

    async def run() -> None:
        outputs = Outputs(settings, LAYOUT.catalogue, Troubles())
        recovery = Recovery(settings, LAYOUT, outputs, Standby(settings), Telemetry(), Archived(0))
        await recovery.restore(0, Hanging(settings, 0))

    with pytest.raises(RestoreError, match=r"not restored within 1 s.*--restore-timeout-s"):
        asyncio.run(run())


def commit(settings: Settings, offsets: list[int]) -> None:
    """As people reset the offsets of a group; one for each partition."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker, group_id=settings.app, enable_auto_commit=False)
    partitions = {TopicPartition(settings.topic("events"), n): offset for n, offset in enumerate(offsets)}
    consumer.assign(list(partitions))
    consumer.commit({tp: OffsetAndMetadata(offset, "", -1) for tp, offset in partitions.items()})
    consumer.close()


def work(settings: Settings, records: int) -> int:
    """A worker in this process, until it has worked through at least so many records; returns how many they were."""

    async def enough_records(worker: Worker) -> bool:
        enough = asyncio.Event()
        worker.on_output = lambda _: enough.set() if worker.events >= records else None
        await enough.wait()
        return False

    return run_worker(settings, enough_records).events


def test_the_groups_offsets_decide_nothing(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """A broker forgets them, people reset them; the checkpoint says where to go on, and nothing is read twice."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=20_000, partitions=2, fetch_records=200)
    in_log = records_of(settings)
    worked = work(settings, in_log // 4)
    assert worked < in_log
    commit(settings, [0, 10_000_000])
    assert work(settings, in_log - worked) == in_log - worked
    assert_exact(settings, records)
    assert repeats(settings) == 0
