"""The Faust app: membership, assignment, fetching, timers and commits; the work itself is in streams/worker.py."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
from aiokafka import TopicPartition

from models.layout import Layout
from sinks.writer import Lake
from streams.batches import BatchApp, BatchScheduler
from streams.collector import set_collector
from streams.owners import client_id
from streams.security import faust_credentials
from streams.settings import Settings
from streams.worker import Worker

log = logging.getLogger(__name__)

CHECKPOINT_POLL_S = 0.25
FAUST_FOLDER = Path(tempfile.gettempdir()) / "zhice-faust"  # Faust makes it and keeps nothing there
QUEUED_BATCHES = 8  # record batches that may wait between fetch and agent


def create_app(settings: Settings) -> BatchApp:
    """The app with settings that docs/architecture.md gives reasons for."""
    return BatchApp(
        settings.app,
        broker=[f"kafka://{address}" for address in settings.broker.split(",")],
        broker_client_id=client_id(settings),
        broker_credentials=faust_credentials(settings),
        store="memory://",
        datadir=FAUST_FOLDER,
        topic_partitions=settings.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        ConsumerScheduler=BatchScheduler,
        broker_max_poll_records=settings.fetch_records,
        broker_session_timeout=settings.session_timeout_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 10,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=QUEUED_BATCHES,
        stream_wait_empty=False,
    )


def wire(app: BatchApp, worker: Worker) -> None:
    """Let the app's agents, timers and signals drive the worker."""
    settings = worker.settings
    events = app.topic(settings.topic("events"), key_serializer="raw", value_serializer="raw")
    assigned: set[int] = set()
    worker.telemetry.highwater = lambda number: app.consumer.highwater(TopicPartition(events.get_topic_name(), number))

    @app.agent(events, concurrency=1)
    async def batches(stream: faust.StreamT[Any]) -> None:
        async for batch in stream.noack().events():
            await guard(worker, worker.take, batch)

    @app.timer(CHECKPOINT_POLL_S)
    async def checkpoints() -> None:
        if worker.checkpoint_due():
            await guard(worker, worker.checkpoint)

    if settings.tick_ms:

        @app.timer(settings.tick_ms / 1000)
        async def ticks() -> None:
            await guard(worker, worker.tick, assigned)

    @app.on_partitions_revoked.connect
    async def on_revoked(sender: Any, revoked: set[TopicPartition], **_: Any) -> None:
        await guard(worker, worker.revoked, {tp.partition for tp in revoked})

    @app.on_partitions_assigned.connect
    async def on_assigned(sender: Any, assigned: set[TopicPartition], **_: Any) -> None:
        remember({tp.partition for tp in assigned if tp.topic == events.get_topic_name()})

    def remember(partitions: set[int]) -> None:
        assigned.clear()
        assigned.update(partitions)
        worker.assigned(partitions)


async def guard(worker: Worker, step: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run a step; an error stops the worker with nothing acked, since Faust would ack the batch and go on."""
    if worker.failed.done():
        await asyncio.Event().wait()
    try:
        await step(*arguments)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        log.exception("the worker cannot go on")
        if not worker.failed.done():
            worker.failed.set_exception(error)
        await asyncio.Event().wait()


async def run(settings: Settings, layout: Layout, lake: Lake, until: Callable[[Worker], Awaitable[bool]]) -> Worker:
    """Run a worker until `until` returns (true: at the end of the log), or it fails.

    Then take the last snapshots and a checkpoint, and leave. Raises what the worker failed with.
    """
    set_collector()
    worker = Worker(settings, layout, lake)
    app = create_app(settings)
    wire(app, worker)
    await worker.outputs.start()
    finishing = asyncio.create_task(until(worker))
    try:
        await app.start()
        await asyncio.wait({finishing, worker.failed}, return_when=asyncio.FIRST_COMPLETED)
        if worker.failed.done():
            worker.failed.result()
        await worker.finish(end=finishing.result())
    finally:
        finishing.cancel()
        await app.stop()
        await worker.outputs.stop()
    return worker
