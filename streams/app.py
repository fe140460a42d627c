"""The Faust app: membership, assignment, fetching, tasks and commits; the work itself is in streams/worker.py."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.layout import Layout
from sinks.writer import Lake
from streams import clients
from streams.batches import BatchApp, BatchScheduler, NoTables
from streams.collector import set_collector
from streams.owners import client_id
from streams.security import faust_credentials
from streams.settings import Settings
from streams.state_log import FencedError
from streams.topics import TopicError, refuse_added
from streams.troubles import pauses
from streams.watchdog import watch
from streams.worker import AgainError, UnsavedError, Worker

log = logging.getLogger(__name__)

CHECKPOINT_POLL_S = 0.25
FAUST_FOLDER = Path(tempfile.gettempdir()) / f"zhice-faust-{os.getuid()}"  # Faust makes it and keeps nothing there
FETCH_BYTES = 2 * 1024 * 1024  # of one partition in one response; far larger ones cost more a byte to copy
METADATA_AGE_S = 10.0  # after a restart a broker may not know a topic at once; then nobody is assigned anything so long
MAX_POLL_INTERVAL_S = 86_400.0  # a worker that waits for its lake stays in the group
HEARTBEATS = 10  # within the time in which a rebalance must be heard of, or a member counts as dead
STOP_S = 3.0  # for Faust to leave the group
LONG_S = 60.0  # an attempt that has lasted so long is no failure of the one before
GROUP = "the group"


Failed = asyncio.Future[None]  # of a worker: the error that ends an attempt


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
        TableManager=NoTables,
        broker_max_poll_records=settings.fetch_records,
        consumer_max_fetch_size=FETCH_BYTES,
        broker_session_timeout=settings.session_timeout_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_heartbeat_interval=min(settings.session_timeout_s, settings.rebalance_timeout_s) / HEARTBEATS,
        broker_commit_interval=1.0,
        broker_max_poll_interval=MAX_POLL_INTERVAL_S,
        consumer_metadata_max_age_ms=int(METADATA_AGE_S * 1000),
        consumer_auto_offset_reset="none",
        consumer_group_instance_id=settings.instance_id or None,
        stream_wait_empty=False,
    )


def wire(app: BatchApp, worker: Worker) -> None:
    """Let the app's agents, tasks and signals drive the worker."""
    settings, failed = worker.settings, worker.failed
    events = app.topic(settings.topic("events"), key_serializer="raw", value_serializer="raw")

    async def on_assigned(partitions: set[int]) -> None:
        worker.telemetry.partitions = set(partitions)
        try:
            refuse_added(settings, partitions)
        except TopicError as error:
            worker.fail(error)
        else:
            await worker.ownership.assign(partitions)

    app.on_assigned = on_assigned
    worker.telemetry.highwater = lambda number: app.consumer.highwater(TopicPartition(events.get_topic_name(), number))

    @app.agent(events, concurrency=1)
    async def batches(stream: faust.StreamT[Any]) -> None:
        async for batch in stream.noack():
            await guard(failed, worker.take, batch)
            app.consumer.taken(batch)

    @app.task
    async def checkpoints() -> None:
        async for _ in every(app, CHECKPOINT_POLL_S):
            if worker.checkpoint_due():
                await guard(failed, worker.checkpoint)

    if settings.tick_ms:

        @app.task
        async def ticks() -> None:
            async for _ in every(app, settings.tick_ms / 1000):
                await guard(failed, worker.tick)

    @app.on_partitions_revoked.connect
    async def on_revoked(sender: Any, revoked: set[TopicPartition], **_: Any) -> None:
        if revoked:
            await attempted(failed, worker.revoked)


async def every(app: BatchApp, seconds: float) -> AsyncIterator[None]:
    """After each pause, until the app stops. Its timers would warn of a step that takes longer, as checkpoints do."""
    while True:
        await app.sleep(seconds)
        if app.should_stop:
            return
        yield


async def guard(failed: Failed, step: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run a step of an agent or a task; after an error it does not return, since Faust would go on."""
    if failed.done() or not await attempted(failed, step, *arguments):
        await asyncio.Event().wait()


async def attempted(failed: Failed, step: Callable[..., Awaitable[None]], *arguments: Any) -> bool:
    """Run a step; an error stops the worker, with nothing of it durable."""
    try:
        await step(*arguments)
    except Exception as error:
        if not failed.done():
            failed.set_exception(error)
        return False
    return True


async def run(settings: Settings, layout: Layout, lake: Lake, until: Callable[[Worker], Awaitable[bool]]) -> Worker:
    """Run a worker until `until` returns (true: at the end of the log), or it fails.

    Then take the last snapshots and a checkpoint, and leave. What fails for the broker's sake is tried again, from the
    last checkpoint, as often as it takes. Raises what else the worker failed with.
    """
    set_collector()
    clients.quiet_futures()
    worker = Worker(settings, layout, lake)
    finishing = asyncio.ensure_future(until(worker))
    try:
        waits = pauses()
        while True:
            started = time.monotonic()
            try:
                await attempt(worker, finishing)
                return worker
            except (AgainError, KafkaError) as error:
                log.warning("the worker begins again from its last checkpoint", exc_info=error)
                worker.troubles.begin(GROUP, f"the worker begins again: {_words(error)}")
                await worker.access.look()
            except FencedError as error:
                if not _asked_to_stop(finishing):
                    raise
                raise UnsavedError(f"stopped without a last checkpoint: {error}") from None
            if time.monotonic() - started > LONG_S:
                waits = pauses()
            await asyncio.wait({finishing}, timeout=next(waits))
            if finishing.done():
                finishing.result()
                raise UnsavedError(
                    f"stopped without a last checkpoint: {worker.trouble}. "
                    "Nothing is lost: the next start goes on from the one before"
                )
    finally:
        finishing.cancel()


async def attempt(worker: Worker, finishing: asyncio.Future[bool]) -> None:
    """From joining the group to leaving it. Raises KafkaError or AgainError for what another attempt may mend."""
    app = create_app(worker.settings)
    tasks: list[asyncio.Task[None]] = []
    try:
        await worker.begin(lambda: app.consumer)
        worker.troubles.end(GROUP)
        wire(app, worker)
        tasks = [asyncio.create_task(one) for one in (app.start(), _until_crashed(app), watch(worker))]
        if worker.settings.standbys:
            tasks.append(asyncio.create_task(worker.standby.follow(lambda: worker.ownership.held)))
        await _first(finishing, worker.failed, *tasks)
        await (worker.finish(end=True) if finishing.result() else worker.stop())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await worker.end()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(app.stop(), STOP_S)


async def _first(finishing: asyncio.Future[bool], failed: Failed, *tasks: asyncio.Task[None]) -> None:
    """Wait until the worker is to finish; raises what happens before that."""
    waiting: set[asyncio.Future[Any]] = {finishing, failed, *tasks}
    while not finishing.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()


def _asked_to_stop(finishing: asyncio.Future[bool]) -> bool:
    return finishing.done() and not finishing.exception() and not finishing.result()


async def _until_crashed(app: BatchApp) -> None:
    """Faust's services crash apart from the one that we wait for. Raises what the app crashed with."""
    while not app.crashed:
        await asyncio.sleep(CHECKPOINT_POLL_S)
    raise app.crash_reason or AgainError("Faust stopped")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
