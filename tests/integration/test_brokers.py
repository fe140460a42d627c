"""What Zhice relies on in a broker: tried on the embedded one and on Apache Kafka."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier, Thread

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from streams import kafka_broker
from streams.broker import BrokerError, EmbeddedBroker, free_port
from streams.kafka_broker import ApacheKafka, missing_for_apache_kafka
from streams.settings import Settings
from streams.topics import TOPICS, TopicError, ensure_topics
from tests.brokers import Broker

pytestmark = pytest.mark.kafka
OLD_MS = 1_262_304_000_000  # 2010-01-01
LAUNCH = "import sys, time; from streams.broker import EmbeddedBroker as B; b = B().__enter__(); "
PARTITIONS = 3


def settings_of(broker: Broker, prefix: str, partitions: int = PARTITIONS) -> Settings:
    return Settings(broker=broker.address, prefix=prefix, partitions=partitions)


async def read(address: str, topic: str, count: int, isolation_level: str = "read_uncommitted") -> list[ConsumerRecord]:
    """The first `count` records of partition 0, or those that come within ten seconds."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=isolation_level,
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        records: list[ConsumerRecord] = []
        deadline = time.monotonic() + 10
        while len(records) < count and time.monotonic() < deadline:
            records += (await consumer.getmany(partition, timeout_ms=200)).get(partition, [])
        return records
    finally:
        await consumer.stop()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_gone(pid: int) -> bool:
    """Within five seconds: a process that nobody has waited for yet counts as gone."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_topics_are_made_once_and_found_again(broker: Broker, topic_prefix: str) -> None:
    first = ensure_topics(settings_of(broker, topic_prefix))
    assert [(report.name, report.partitions, report.made) for report in first] == [
        (f"{topic_prefix}.{topic.kind}", PARTITIONS, True) for topic in TOPICS
    ]
    again = ensure_topics(settings_of(broker, topic_prefix))
    assert not any(report.made or report.differences for report in again)


def test_another_number_of_partitions_is_refused(broker: Broker, topic_prefix: str) -> None:
    ensure_topics(settings_of(broker, topic_prefix))
    with pytest.raises(TopicError, match=f"events has {PARTITIONS}.*not 5.*--partitions {PARTITIONS}"):
        ensure_topics(settings_of(broker, topic_prefix, partitions=5))


def test_workers_that_start_at_once_may_all_make_the_topics(broker: Broker, topic_prefix: str) -> None:
    workers, made, barrier = 4, [], Barrier(4)

    def work() -> None:
        barrier.wait()
        made.extend(report.name for report in ensure_topics(settings_of(broker, topic_prefix)) if report.made)

    threads = [Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == sorted(f"{topic_prefix}.{topic.kind}" for topic in TOPICS)


def test_a_replay_refuses_topics_that_would_delete_it(broker: Broker, topic_prefix: str) -> None:
    settings = settings_of(broker, topic_prefix)
    ensure_topics(settings)
    with pytest.raises(TopicError, match=r"events: retention\.ms is"):
        ensure_topics(settings, keep_forever=True)


def test_no_broker_is_an_error_that_says_what_to_do() -> None:
    """In a process of its own: kafka-python leaves the socket of a refused connection open, and warns at some time."""
    address = f"127.0.0.1:{free_port()}"
    program = (
        "from streams import settings, topics; topics.CONNECT_TIMEOUT_MS = 500; "
        f"topics.ensure_topics(settings.Settings(broker={address!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"TopicError: no broker answers at {address}" in done.stderr
    assert "set --broker" in done.stderr


def test_records_come_back_as_they_were_sent(broker: Broker, topic_prefix: str) -> None:
    """Batches as the outputs send them: headers, times of years ago, no key, no value, empty bytes."""
    settings = settings_of(broker, topic_prefix)
    ensure_topics(settings, keep_forever=True)
    topic = settings.topic("events")
    sent = [
        (b"key", b"value", OLD_MS, [("ce_id", b"\x00\xff"), ("empty", b"")]),
        (None, b"no key", OLD_MS + 5, []),
        (b"tombstone", None, OLD_MS - 5, [("h", b"1"), ("h", b"2")]),
        (b"", b"", OLD_MS, []),
    ]

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.address)
        await producer.start()
        try:
            batch = producer.create_batch()
            for key, value, timestamp, headers in sent:
                assert batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is not None
            await (await producer.send_batch(batch, topic, partition=0))
        finally:
            await producer.stop()

    asyncio.run(send())
    records = asyncio.run(read(broker.address, topic, len(sent)))
    assert [(r.key, r.value, r.timestamp, list(r.headers)) for r in records] == sent
    assert [r.offset for r in records] == [0, 1, 2, 3]
    assert {r.timestamp_type for r in records} == {0}  # CreateTime: the producer's, not the broker's


def test_apache_kafka_has_the_settings_of_a_topic(apache_kafka: Broker, topic_prefix: str) -> None:
    settings = settings_of(apache_kafka, topic_prefix)
    ensure_topics(settings)
    admin = KafkaAdminClient(bootstrap_servers=apache_kafka.address)
    try:
        resources = [ConfigResource(ConfigResourceType.TOPIC, settings.topic(kind)) for kind in ("state", "events")]
        reported = admin.describe_configs(resources, config_filter="all")["topic"]
    finally:
        admin.close()
    state, events = (reported[settings.topic(kind)] for kind in ("state", "events"))
    assert (state["cleanup.policy"]["value"], state["max.message.bytes"]["value"]) == ("compact", str(8 << 20))
    assert (events["cleanup.policy"]["value"], events["retention.ms"]["value"]) == ("delete", "604800000")


def test_pages_and_the_source_offset_move_in_one_transaction(apache_kafka: Broker, topic_prefix: str) -> None:
    """What a checkpoint is: read_committed sees the pages of a committed one and none of an aborted one."""
    settings = settings_of(apache_kafka, topic_prefix)
    ensure_topics(settings)
    source, state, group = TopicPartition(settings.topic("events"), 0), settings.topic("state"), f"{topic_prefix}-app"

    async def checkpoints() -> int:
        producer = AIOKafkaProducer(bootstrap_servers=apache_kafka.address, transactional_id=f"{topic_prefix}-0")
        await producer.start()
        try:
            async with producer.transaction():
                await producer.send_and_wait(state, b"page 1", b"committed", partition=0)
                await producer.send_offsets_to_transaction({source: OffsetAndMetadata(7, "")}, group)
            await producer.begin_transaction()
            await producer.send_and_wait(state, b"page 1", b"aborted", partition=0)
            await producer.send_offsets_to_transaction({source: OffsetAndMetadata(99, "")}, group)
            await producer.abort_transaction()
            async with producer.transaction():
                await producer.send_and_wait(state, b"page 1", b"after", partition=0)
        finally:
            await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=apache_kafka.address, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            return await consumer.committed(source)
        finally:
            await consumer.stop()

    assert asyncio.run(checkpoints()) == 7
    committed = asyncio.run(read(apache_kafka.address, state, 2, "read_committed"))
    everything = asyncio.run(read(apache_kafka.address, state, 3))
    assert [r.key for r in committed] == [b"committed", b"after"]
    assert [r.key for r in everything] == [b"committed", b"aborted", b"after"]


@pytest.mark.skipif(bool(missing_for_apache_kafka()), reason="a broker that is killed is a process of this machine")
def test_a_broker_that_starts_again_forgets_producers_of_old_records() -> None:
    """Why `streams.sending.send_log` compares offsets: what was in flight is taken twice, idempotence or not."""
    times = {0: time.time_ns() // 1_000_000, 1: OLD_MS}  # of the records in each partition

    async def resend(kafka: ApacheKafka, topic: str) -> dict[int, list[int]]:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.address, enable_idempotence=True)
        await producer.start()

        async def send(partition: int) -> int:
            time_ms = times[partition]
            sent = await producer.send_and_wait(topic, b"event", partition=partition, timestamp_ms=time_ms)
            return int(sent.offset)

        async def send_again(partition: int) -> int:
            """As if the broker's last answer had been lost."""
            producer._txn_manager._sequence_numbers[TopicPartition(topic, partition)] -= 1
            return await send(partition)

        try:
            offsets = {number: [await send(number), await send(number), await send_again(number)] for number in times}
            kafka.kill()
            kafka.restart()
            return {number: [*of_one, await send_again(number)] for number, of_one in offsets.items()}
        finally:
            await producer.stop()

    with ApacheKafka() as kafka:
        settings = settings_of(kafka, "forgetful")
        ensure_topics(settings)
        assert asyncio.run(resend(kafka, settings.topic("events"))) == {0: [0, 1, 1, 1], 1: [0, 1, 1, 2]}


def test_the_embedded_broker_is_gone_after_its_context() -> None:
    with EmbeddedBroker() as broker:
        assert is_open(broker.port)
        pid, port, folder = broker.pid, broker.port, broker.folder
    assert is_gone(pid)
    assert not is_open(port)
    assert not folder.exists()
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.pid


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with EmbeddedBroker() as broker, pytest.raises(BrokerError, match=f"port {broker.port} is taken"):
        EmbeddedBroker(port=broker.port).__enter__()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_broker_dies_with_the_program_that_started_it(how: signal.Signals, tmp_path: Path) -> None:
    program = LAUNCH + "print(b.pid, flush=True); time.sleep(60)"
    # a program that is killed cannot delete its broker's folder: let it be where pytest does
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    parent.send_signal(how)
    parent.wait()
    assert is_gone(pid)


def test_ctrl_c_in_a_terminal_does_not_reach_the_broker() -> None:
    """Ctrl-C goes to the process group; the broker has its own, so that the program can finish first."""
    with EmbeddedBroker() as broker:
        assert os.getpgid(broker.pid) == broker.pid != os.getpgid(0)


def test_apache_kafka_is_gone_after_its_context() -> None:
    missing = missing_for_apache_kafka()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka by Java needs {missing}")
    with ApacheKafka() as broker:
        pid, port, folder = broker.pid, broker.port, broker.folder
        assert is_open(port)
    assert is_gone(pid)
    assert not is_open(port)
    assert not folder.exists()


def test_a_java_that_keeps_no_classes_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def fail(_: ApacheKafka, file: Path) -> None:
        asked.append(file)
        raise BrokerError("no such option")

    monkeypatch.setattr(ApacheKafka, "archive_classes", fail)
    assert [kafka_broker._archive_options(tmp_path / "jars") for _ in range(2)] == [[], []]
    assert len(asked) == 1
    assert not asked[0].parent.exists()


def test_a_folder_of_data_is_as_the_tool_of_apache_kafka_formats_it(tmp_path: Path) -> None:
    missing = missing_for_apache_kafka()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka by Java needs {missing}")
    kafka = ApacheKafka(node_id=7)
    kafka.folder = tmp_path
    kafka._command()
    kafka._format_into(tmp_path / "formatted")
    found, right = (
        {str(file.relative_to(place)): file.stat().st_size for file in place.rglob("*") if file.is_file()}
        for place in (tmp_path / "data", tmp_path / "formatted")
    )
    assert found.keys() == right.keys() and found.pop("meta.properties") and right.pop("meta.properties")
    assert found == right and found
    ids, wanted = (
        dict(re.findall(r"^([\w.]+)=(\S+)$", (place / "meta.properties").read_text(), re.MULTILINE))
        for place in (tmp_path / "data", tmp_path / "formatted")
    )
    assert ids.pop("directory.id") != wanted.pop("directory.id")
    assert ids == wanted == {"version": "1", "cluster.id": kafka.cluster_id, "node.id": "7"}


def test_apache_kafka_that_cannot_start_shows_its_log() -> None:
    missing = missing_for_apache_kafka()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka by Java needs {missing}")
    with pytest.raises(BrokerError, match=r"num\.io\.threads"):
        ApacheKafka(port=free_port(), properties={"num.io.threads": "none"}).__enter__()
