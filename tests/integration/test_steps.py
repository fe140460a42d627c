"""A kill at each named step of a restore and of a checkpoint: nothing is lost, nothing doubled, nothing sent twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.steps import Step
from tests.integration.worked import assert_exact, prepare, repeats
from tests.workers import archived, ended, options, start, start_worker, stop, tail, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
DEADLINE_S = 150


# the partitions write at the same time: some of these die when one has written its checkpoint and one has not
COUNTS = {Step.CLOSING_SENT: 2, Step.OFFSET_SENT: 2}


def test_a_kill_at_each_step(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> None:
    """One worker after another on the same log; as a static member each takes over at once."""
    settings, records = prepare(
        apache_kafka, topic_prefix, tmp_path, events=40_000, fetch_records=500, instance_id="one"
    )
    log = tmp_path / "worker.log"
    each = ",".join(f"{step}:{COUNTS.get(step, 1)}" for step in Step)
    with ended(start(["-m", "tests.kill_at", each, "worker", *options(settings)], log)) as killed:
        assert killed.wait(DEADLINE_S) == 0, tail(log)
    assert archived(settings.lake) < records, "the log was too short to be killed in"
    with ended(start_worker(settings, log)) as worker:
        wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, log)
        stop(worker, log)
    assert_exact(settings, records)
    assert repeats(settings) == 0
