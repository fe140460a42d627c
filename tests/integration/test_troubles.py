"""Faults that pass: a lake or a broker that is away, a worker that is asleep, a stop at any time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from msgspec.structs import replace

from models.layout import Layout
from sinks.writer import Lake
from streams import app
from streams.catalogues import read_catalogue
from streams.kafka_broker import ApacheKafka, missing_for_apache_kafka
from streams.settings import Settings
from streams.state_log import FencedError, FencedLog
from streams.telemetry import unready
from streams.topics import ensure_topics
from streams.watchdog import StuckError
from streams.worker import UnsavedError, Worker
from tests.integration.worked import assert_exact, prepare, records_of, repeats
from tests.workers import STOP_S, archived, ended, options, stacks, start, start_worker, stop, tail, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
LAYOUT = Layout.compile(read_catalogue())
DEADLINE_S = 90


# A broker that has just started: the topic is missing when partitions are assigned, and there when it is asked again.
FORGETFUL = """
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from streams.cli import main

known, update = ClusterMetadata.partitions_for_topic, ClusterMetadata.update_metadata
assign, assigned = StickyPartitionAssignor.assign, False

def assign_once(*arguments):
    global assigned
    assigned = True
    return assign(*arguments)

def update_again(self, metadata):
    if assigned:
        ClusterMetadata.partitions_for_topic = known
    return update(self, metadata)

StickyPartitionAssignor.assign, ClusterMetadata.update_metadata = assign_once, update_again
ClusterMetadata.partitions_for_topic = lambda self, topic: None if topic.endswith(".events") else known(self, topic)
main()
"""

HANGING = """
import asyncio
from streams.cli import main
from streams.worker import Worker

Worker.end = lambda self: asyncio.sleep(3600)
main()
"""


async def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def test_a_lake_that_is_away_is_waited_for(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """The worker says so, takes no more, and goes on by itself; nothing is lost."""
    settings, records = prepare(
        apache_kafka, topic_prefix, tmp_path, events=20_000, fetch_records=200, partitions=2, checkpoint_s=0.1
    )
    lake, away, in_log = Path(settings.lake), tmp_path / "away", records_of(settings)

    async def take_away_and_bring_back(worker: Worker) -> bool:
        worker.on_output = lambda output: time.sleep(0.02)  # so that the log lasts until the lake is missed
        await until(lambda: worker.events > 1000, "events")
        lake.rename(away)
        lake.touch()  # a file where the folder was: root may write everywhere else
        await until(lambda: worker.trouble, "a trouble")
        assert "lake" in str(worker.trouble) and "cannot be written" in str(worker.trouble)
        await asyncio.sleep(1)  # a batch may have been under way
        seen = worker.events
        await asyncio.sleep(2)
        assert worker.events == seen < in_log
        worker.on_output = None
        lake.unlink()
        away.rename(lake)
        await until(lambda: worker.events >= in_log, "all events")
        assert worker.trouble is None
        return False

    asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), take_away_and_bring_back))
    assert_exact(settings, records)
    assert repeats(settings) == 0


@pytest.mark.skipif(bool(missing_for_apache_kafka()), reason="a broker that goes away is a process of this machine")
def test_a_broker_that_is_away_is_waited_for(topic_prefix: str, tmp_path: Path) -> None:
    """For longer than the session timeout: the worker leaves the group and comes back, in the same process."""
    with ApacheKafka() as broker:
        settings, records = prepare(broker, topic_prefix, tmp_path, events=20_000, fetch_records=200, partitions=2)
        in_log = records_of(settings)

        async def stop_and_go(worker: Worker) -> bool:
            await until(lambda: worker.events > 1000, "events")
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                await until(lambda: worker.trouble, "a trouble")
                await asyncio.sleep(settings.session_timeout_s + 2)
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            await until(lambda: sum(shard.next_offset for shard in worker.shards.values()) >= in_log, "all events")
            assert worker.trouble is None
            return False

        asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), stop_and_go))
        assert_exact(settings, records)


@pytest.mark.skipif(bool(missing_for_apache_kafka()), reason="a broker that goes away is a process of this machine")
def test_a_log_is_closed_while_its_transaction_looks_for_a_broker(topic_prefix: str, tmp_path: Path) -> None:
    """A producer looks for its coordinator for ever; a worker that is ended or gives a partition away does not wait."""
    with ApacheKafka() as broker:
        settings, _ = prepare(broker, topic_prefix, tmp_path, events=1000, partitions=2)

        async def write_and_close() -> None:
            log = FencedLog(settings, 0)
            await log.open()
            broker.kill()
            before = asyncio.all_tasks()
            writing = asyncio.create_task(log.write(0, [(b"page", b""), (b"closing", b"")], 0, {}))
            await asyncio.sleep(1)
            await asyncio.wait_for(log.close(), STOP_S)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            left = [task for task in asyncio.all_tasks() - before if "Sender" in str(task)]
            assert not left

        asyncio.run(write_and_close())


def test_after_an_error_of_kafka_the_worker_begins_again(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """From its last checkpoint, in the same process; what it had sent is not sent again."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=20_000, fetch_records=200, partitions=2)
    in_log = records_of(settings)

    async def break_twice(worker: Worker) -> bool:
        for _ in range(2):
            seen = worker.events
            await until(lambda seen=seen: worker.events > seen + 2000, "events")  # type: ignore[misc]
            worker.fail(KafkaError("a test"))
            await until(lambda: worker.trouble, "a trouble")
            assert str(worker.trouble) == "the worker begins again: KafkaError: a test"
            await until(lambda: not worker.trouble, "no trouble")
        await until(lambda: sum(shard.next_offset for shard in worker.shards.values()) >= in_log, "all events")
        return False

    asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), break_twice))
    assert_exact(settings, records)
    assert repeats(settings) == 0


def test_a_worker_that_was_asleep_is_fenced(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """SIGSTOP for longer than the session, SIGCONT when another worker has done all: it writes nothing, and says so."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=20_000, fetch_records=200, partitions=2)
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    with ended(start_worker(settings, logs[0])) as first:
        wait_for(lambda: archived(settings.lake) > 0, "some", DEADLINE_S, logs[0])
        first.send_signal(signal.SIGSTOP)
        assert archived(settings.lake) < records, "the log was too short"
        with ended(start_worker(settings, logs[1])) as second:
            wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, logs[1])
            first.send_signal(signal.SIGCONT)
            assert first.wait(DEADLINE_S) == FencedError.exit_code, tail(logs[0])
            stop(second, logs[1])
    assert "another worker has taken partition" in logs[0].read_text()
    assert_exact(settings, records)


def test_a_worker_that_is_fenced_when_it_is_asked_to_stop_says_both(
    apache_kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    """It ends as one that could not write its last checkpoint, not as one that is to be started again."""
    settings, _ = prepare(
        apache_kafka, topic_prefix, tmp_path, events=2000, partitions=2, checkpoint_s=300, checkpoint_max_s=600
    )

    async def be_fenced_and_stop(worker: Worker) -> bool:
        await until(lambda: worker.next_offset(0) > 0, "events of the partition")
        other = FencedLog(settings, 0)
        await other.open()
        await other.close()
        return False

    with pytest.raises(UnsavedError, match=r"last checkpoint: another worker has taken partition 0 over.*is lost"):
        asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), be_fenced_and_stop))


def test_a_broker_without_producer_ids_is_told_how_to_be_used(
    embedded_broker: Any, topic_prefix: str, tmp_path: Path
) -> None:
    """What a newcomer forgets."""
    settings = Settings(
        broker=embedded_broker.address, prefix=topic_prefix, app=topic_prefix, lake=str(tmp_path / "lake")
    )

    async def see(worker: Worker) -> bool:
        await until(lambda: worker.trouble, "a trouble")
        return False

    with pytest.raises(UnsavedError, match="start with --no-transactions"):
        asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), see))


def test_lag_without_progress_ends_a_worker(broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    settings, _ = prepare(broker, topic_prefix, tmp_path, events=5000, fetch_records=200, watchdog_s=2.0)

    async def hang(worker: Worker) -> bool:
        await until(lambda: worker.events > 0, "events")
        async with worker._stepping:
            await asyncio.Event().wait()
        return False

    with pytest.raises(StuckError, match=r"no progress for 2 s in partition \d, [\d,]+ records behind"):
        asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), hang))


def test_a_producer_that_does_not_end_its_transaction_ends_no_worker(
    apache_kafka: Any, topic_prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker names it, and goes on when the transaction is over."""
    settings = Settings(
        broker=apache_kafka.address, prefix=topic_prefix, app=topic_prefix, lake=str(tmp_path / "lake"), partitions=1,
        watchdog_s=2.0,
    )  # fmt: skip
    ensure_topics(settings)
    event = {"event_id": "1", "event": "app_start", "customer_id": "c", "event_time": time.time_ns() // 1_000_000}

    async def wait(worker: Worker) -> bool:
        await until(lambda: worker.events > 0, "a tick")
        producer = KafkaProducer(bootstrap_servers=settings.broker, transactional_id=topic_prefix)
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(settings.topic("events"), key=b"c", value=json.dumps(event).encode()).get(DEADLINE_S)
        before = worker.events
        await until(lambda: "in partition 0 wait for a producer" in caplog.text, "a warning")
        await asyncio.sleep(settings.watchdog_s)
        producer.commit_transaction()
        producer.close()
        await until(lambda: worker.events > before and worker.shards[0].rows.customers.count == 1, "the event")
        return True

    asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), wait))


@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_sigterm_at_any_time_ends_a_worker_well(after_s: float, apache_kafka: Any, tmp_path: Path) -> None:
    settings = Settings(
        broker=apache_kafka.address, prefix="sigterm", app=f"sigterm-{after_s}", lake=str(tmp_path / "l")
    )
    log = tmp_path / "worker.log"
    command = [str(Path(sys.executable).parent / "zhice"), "worker", *options(settings)]
    with ended(start(command, log)) as worker:  # with its start, which a fork would not have
        wait_for(lambda: hears_sigterm(worker.pid), "a handler of SIGTERM", DEADLINE_S, log)
        time.sleep(after_s)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(STOP_S) == 0, tail(log)
    assert "stopped" in tail(log) and "Traceback" not in tail(log)


def test_ctrl_c_saves_what_was_done(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """SIGINT in the middle of a log ends a worker with 0, at a checkpoint; the next start goes on from there.

    That one says on SIGUSR1 where it stands, and goes on.
    """
    settings, records = prepare(
        apache_kafka, topic_prefix, tmp_path, events=60_000, fetch_records=200, partitions=2, checkpoint_s=300,
        checkpoint_max_s=600,
    )  # fmt: skip
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    with ended(start_worker(settings, logs[0])) as worker:
        wait_for_outputs(settings)
        worker.send_signal(signal.SIGINT)
        assert worker.wait(STOP_S) == 0, tail(logs[0])
    worked = int(re.search(r"stopped after ([\d,]+) records", tail(logs[0]))[1].replace(",", ""))  # type: ignore[index]
    assert "Traceback" not in tail(logs[0]) and 0 < archived(settings.lake) < records
    with ended(start_worker(settings, logs[1])) as worker:
        wait_for(lambda: restored(logs[1]) == 2, "a restore", DEADLINE_S, logs[1])
        starts = map(int, re.findall(r"next offset (\d+), 0 outputs sent since", logs[1].read_text()))
        assert sum(starts) == worked
        stood = stacks(worker, logs[1])
        assert "Thread 0x" in stood and re.search(r"^task .*: serve.py:\d+ until_signal > ", stood, re.MULTILINE), stood
        stop(worker, logs[1])
    assert repeats(settings) == 0


def test_a_stop_that_hangs_is_ended_in_time(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=1_000)
    log = tmp_path / "worker.log"
    with ended(start(["-c", HANGING, "worker", *options(settings)], log)) as worker:
        wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, log)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(STOP_S) == 1
        assert "not stopped 24 s after the signal" in tail(log)


def wait_for_outputs(settings: Settings) -> None:
    """Until there is a transition."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker)
    partitions = [TopicPartition(settings.topic("transitions"), number) for number in range(settings.partitions)]
    deadline = time.monotonic() + DEADLINE_S
    while not sum(consumer.end_offsets(partitions).values()):
        assert time.monotonic() < deadline, "outputs"
        time.sleep(0.02)
    consumer.close()


def hears_sigterm(pid: int) -> bool:
    """Before that, Python is still starting."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_worker_joins_its_group_once(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """aiokafka joins for each assignor that is offered, and two workers can so make each other join for minutes."""
    settings, _ = prepare(apache_kafka, topic_prefix, tmp_path, events=1_000)
    generations: list[int] = []

    async def note(worker: Worker) -> bool:
        await until(lambda: worker.telemetry.partitions and not unready(worker), "its partitions")
        generations.append(worker._consumer().app.consumer_generation_id)
        return False

    asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), note))
    assert generations == [1]


def test_a_rebalance_leaves_what_stays_as_it_is(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """Who joins restores its share, and the others read nothing anew; when it leaves, they restore what it had."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=10_000)
    logs = [tmp_path / "first.log", tmp_path / "second.log", tmp_path / "third.log"]
    with ended(start_worker(settings, logs[0])) as first:
        wait_for(lambda: restored(logs[0]) == 4, "four partitions", DEADLINE_S, logs[0])
        with ended(start_worker(settings, logs[1])) as second:
            wait_for(lambda: restored(logs[1]) == 2, "two partitions", DEADLINE_S, logs[1])
            wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, logs[1])
            assert restored(logs[0]) == 4
            with ended(start_worker(settings, logs[2])) as third:
                wait_for(lambda: restored(logs[2]) == 1, "one partition", DEADLINE_S, logs[2])
                assert [restored(log) for log in logs] == [4, 2, 1]
                stop(third, logs[2])
            wait_for(lambda: sum(map(restored, logs)) == 8, "one more partition", DEADLINE_S, logs[0])
            stop(second, logs[1])
        wait_for(lambda: sum(map(restored, logs)) == 10, "two more partitions", DEADLINE_S, logs[0])
        stop(first, logs[0])
    assert_exact(settings, records)
    assert repeats(settings) == 0


def test_a_static_member_comes_back_without_a_rebalance(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """A rolling restart: the others are not asked to join again, and it has its partitions as before."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=10_000, session_timeout_s=30.0)
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    members = [replace(settings, instance_id=name) for name in ("one", "two")]
    with ended(start_worker(members[0], logs[0])) as first:
        wait_for(lambda: restored(logs[0]) == 4, "four partitions", DEADLINE_S, logs[0])
        with ended(start_worker(members[1], logs[1])) as second:
            wait_for(lambda: restored(logs[1]) == 2, "two partitions", DEADLINE_S, logs[1])
            before = rebalances(logs[0])
            stop(second, logs[1])
        with ended(start_worker(members[1], logs[1])) as second:
            wait_for(lambda: restored(logs[1]) == 4, "its two partitions again", DEADLINE_S, logs[1])
            wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, logs[1])
            assert (rebalances(logs[0]), restored(logs[0])) == (before, 4) and before > 0
            stop(second, logs[1])
        stop(first, logs[0])
    assert_exact(settings, records)


def rebalances(log: Path) -> int:
    """How often a worker was asked to join again."""
    return log.read_text().count("because it is rebalancing")


def test_a_topic_that_was_missing_in_an_assignment_is_assigned_later(
    apache_kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    """Nobody is assigned anything of it until the next metadata: five minutes by default."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=1_000)
    log = tmp_path / "worker.log"
    with ended(start(["-c", FORGETFUL, "worker", *options(settings)], log)) as worker:
        wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, log)
        assert "No partition metadata for topic" in log.read_text()
        stop(worker, log)
    assert_exact(settings, records)


def restored(log: Path) -> int:
    return log.read_text().count("restored partition") if log.exists() else 0
