"""Faults that pass, a lake or a broker that is away, are waited for; what makes no progress is ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from kafka import KafkaProducer

from streams.kafka_broker import ApacheKafka, missing_for_apache_kafka
from streams.settings import Settings
from streams.state_log import FencedLog, Noted
from streams.topics import ensure_topics
from streams.watchdog import StuckError
from streams.worker import UnsavedError, Worker
from tests.integration.worked import DEADLINE_S, assert_exact, prepare, records_of, repeats, run_worker, until
from tests.workers import STOP_S

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


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

    run_worker(settings, take_away_and_bring_back)
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

        run_worker(settings, stop_and_go)
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
            writing = asyncio.create_task(log.write(0, [(b"page", b""), (b"closing", b"")], 0, Noted({}, {})))
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

    run_worker(settings, break_twice)
    assert_exact(settings, records)
    assert repeats(settings) == 0


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
        run_worker(settings, see)


def test_lag_without_progress_ends_a_worker(broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    settings, _ = prepare(broker, topic_prefix, tmp_path, events=5000, fetch_records=200, watchdog_s=2.0)

    async def hang(worker: Worker) -> bool:
        await until(lambda: worker.events > 0, "events")
        async with worker._stepping:
            await asyncio.Event().wait()
        return False

    with pytest.raises(StuckError, match=r"no progress for 2 s in partition \d, [\d,]+ records behind"):
        run_worker(settings, hang)


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

    run_worker(settings, wait)
