"""A broker that comes back without its topics: the worker says so, and ends if they stay away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streams.broker import EmbeddedBroker, free_port
from streams.recovery import RestoreError
from streams.settings import Settings
from streams.telemetry import unready
from streams.topics import ensure_topics
from streams.worker import Worker
from tests.integration.worked import run_worker, until

MADE = 4  # partitions of a topic that a client asks the embedded broker for, and that is not there


def test_a_broker_without_the_topics_ends_a_worker_that_says_so(tmp_path: Path) -> None:
    """It is started again with nothing, as soon as the worker is ready."""

    async def lose_topics(worker: Worker) -> bool:
        await until(lambda: worker.telemetry.partitions and not unready(worker), "its partitions")
        broker.stop()
        broker.__enter__()
        await until(lambda: "has no zhice.bad-rows, zhice.decisions" in (worker.trouble or ""), "a trouble")
        assert str(unready(worker)).startswith("the broker at ")
        await asyncio.Event().wait()
        return False

    with EmbeddedBroker(free_port()) as broker:
        settings = Settings(
            broker=broker.address, lake=str(tmp_path / "lake"), partitions=MADE, transactions=False,
            session_timeout_s=6.0, rebalance_timeout_s=1.0, restore_timeout_s=12.0,
        )  # fmt: skip
        ensure_topics(settings)
        with pytest.raises(RestoreError, match=r"not restored within 12 s; the broker at .* has no zhice\.bad-rows"):
            run_worker(settings, lose_topics)
