"""A worker that is asked to stop, at any time: it takes a last checkpoint, or says why it could not."""

from __future__ import annotations

import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from streams.settings import Settings
from streams.state_log import FencedLog
from streams.worker import UnsavedError, Worker
from tests.integration.worked import DEADLINE_S, prepare, repeats, restored, run_worker, until
from tests.workers import STOP_S, archived, ended, options, stacks, start, start_worker, stop, tail, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
HANGING = """
import asyncio
from streams.cli import main
from streams.worker import Worker

Worker.end = lambda self: asyncio.sleep(3600)
main()
"""


@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_sigterm_at_any_time_ends_a_worker_well(
    after_s: float, apache_kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(broker=apache_kafka.address, prefix=topic_prefix, app=topic_prefix, lake=str(tmp_path / "l"))
    log = tmp_path / "worker.log"
    command = [str(Path(sys.executable).parent / "zhice"), "worker", *options(settings)]
    with ended(start(command, log)) as worker:  # with its start, which a fork would not have
        wait_for(lambda: hears_sigterm(worker.pid), "a handler of SIGTERM", DEADLINE_S, log)
        time.sleep(after_s)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(STOP_S) == 0, tail(log)
    assert "stopped" in tail(log) and "Traceback" not in tail(log)


def hears_sigterm(pid: int) -> bool:
    """Before that, Python is still starting."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


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


def wait_for_outputs(settings: Settings) -> None:
    """Until there is a transition."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker)
    partitions = [TopicPartition(settings.topic("transitions"), number) for number in range(settings.partitions)]
    deadline = time.monotonic() + DEADLINE_S
    while not sum(consumer.end_offsets(partitions).values()):
        assert time.monotonic() < deadline, "outputs"
        time.sleep(0.02)
    consumer.close()


def test_a_stop_that_hangs_is_ended_in_time(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=1_000)
    log = tmp_path / "worker.log"
    with ended(start(["-c", HANGING, "worker", *options(settings)], log)) as worker:
        wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, log)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(STOP_S) == 1
        assert "not stopped 24 s after the signal" in tail(log)


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
        run_worker(settings, be_fenced_and_stop)
