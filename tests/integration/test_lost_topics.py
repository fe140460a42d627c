"""A broker that comes back without its topics: the worker says so, and ends if they stay away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from models.layout import Layout
from sinks.writer import Lake
from streams import app
from streams.broker import EmbeddedBroker, free_port
from streams.catalogues import read_catalogue
from streams.recovery import RestoreError
from streams.settings import Settings
from streams.telemetry import unready
from streams.topics import ensure_topics
from streams.worker import Worker

LAYOUT = Layout.compile(read_catalogue(""))


async def run(settings: Settings, broker: EmbeddedBroker) -> None:
    """A worker whose broker is started again with nothing, as soon as it is ready."""

    async def lose_topics(worker: Worker) -> bool:
        await until(lambda: worker.telemetry.partitions and not unready(worker))
        broker.__exit__(None, None, None)
        broker.__enter__()
        await until(lambda: "has no zhice.bad-rows, zhice.decisions" in (worker.trouble or ""))
        assert str(unready(worker)).startswith("the broker at ")
        await asyncio.Event().wait()
        return False

    await app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), lose_topics)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.1)


def test_a_broker_without_the_topics_ends_a_worker_that_says_so(tmp_path: Path) -> None:
    with EmbeddedBroker(free_port()) as broker:
        settings = Settings(
            broker=broker.address, lake=str(tmp_path / "lake"), partitions=2, transactions=False,
            session_timeout_s=6.0, rebalance_timeout_s=1.0, restore_timeout_s=12.0,
        )  # fmt: skip
        ensure_topics(settings)
        with pytest.raises(RestoreError, match=r"not restored within 12 s; the broker at .* has no zhice\.bad-rows"):
            asyncio.run(run(settings, broker))
