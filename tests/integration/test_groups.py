"""Workers in a group: who joins, leaves, comes back or was asleep has its partitions, and the others keep theirs."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streams.state_log import FencedError
from streams.telemetry import unready
from streams.worker import Worker
from tests.integration.worked import DEADLINE_S, assert_exact, prepare, repeats, restored, run_worker, until
from tests.workers import archived, ended, options, start, start_worker, stop, tail, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
REBALANCE_S = 20.0  # a worker without the time for its checkpoint would begin again, and restore again

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


def test_a_worker_joins_its_group_once(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """aiokafka joins for each assignor that is offered, and two workers can so make each other join for minutes."""
    settings, _ = prepare(apache_kafka, topic_prefix, tmp_path, events=1_000)
    generations: list[int] = []

    async def note(worker: Worker) -> bool:
        await until(lambda: worker.telemetry.partitions and not unready(worker), "its partitions")
        generations.append(worker._consumer().app.consumer_generation_id)
        return False

    run_worker(settings, note)
    assert generations == [1]


def test_a_rebalance_leaves_what_stays_as_it_is(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """Who joins restores its share, and the others read nothing anew; when it leaves, they restore what it had."""
    settings, records = prepare(apache_kafka, topic_prefix, tmp_path, events=10_000, rebalance_timeout_s=REBALANCE_S)
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
    settings, records = prepare(
        apache_kafka, topic_prefix, tmp_path, events=10_000, session_timeout_s=30.0, rebalance_timeout_s=REBALANCE_S
    )
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
