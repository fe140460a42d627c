"""Kafka clients as every part of the worker uses them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaError

from streams.security import client_options
from streams.sending import BATCH_BYTES
from streams.settings import Settings

MAX_REQUEST_BYTES = 8 << 20
MAX_FETCH_BYTES = 16 << 20
CLOSE_S = 2.0  # of a producer, for what it still sends
CANCEL_AGAIN_S = 0.1
UNHEARD = "Future exception was never retrieved"  # as asyncio begins to say so
FETCH_WAIT_MS = 50  # of a fetch that brings nothing; a broker answers what is asked behind it only afterwards


def producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """A producer that is not started; it waits for every replica and repeats nothing."""
    return AIOKafkaProducer(
        **client_options(settings),
        enable_idempotence=settings.transactions,
        acks="all",
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
        linger_ms=0,
        **options,
    )


class Reader(AIOKafkaConsumer):
    """A consumer that ends when it is stopped, and ends nobody who stops it.

    aiokafka 0.14 cancels its fetches once and waits for them. Those that are on their way from one assignment to the
    next take that for the end of a request, and go on: whoever stopped it waited without end. And a request that waited
    to be tried again looked as if its stopper were cancelled: the error for which it stopped was never told.

    One whose start fails or is cancelled, as a restore's by a rebalance, is stopped: aiokafka's stays as it was then,
    with its connections and tasks, until it is collected.
    """

    async def start(self) -> None:
        try:
            await super().start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """To its end, also where who stops it is cancelled meanwhile, as a restore may be that is given up."""
        stopping = asyncio.ensure_future(self._stop())
        cancelled: asyncio.CancelledError | None = None
        while not stopping.done():
            try:
                await asyncio.wait([stopping])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled:
            raise cancelled
        stopping.result()

    async def _stop(self) -> None:
        if not self._closed and self._fetcher is not None:
            await _end_requests(self._fetcher)
        await super().stop()


async def _end_requests(fetcher: Fetcher) -> None:
    """End what a fetcher does, and forget it."""
    await _end_tasks([fetcher._fetch_task])
    await _end_tasks(fetcher._pending_tasks)
    fetcher._pending_tasks.clear()


async def _end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until each has ended: aiokafka's may take it for something else. What they raise is dropped."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer, which may have failed, without waiting long for a broker that is away."""
    try:
        await asyncio.wait_for(producer.stop(), CLOSE_S)
    except (KafkaError, TimeoutError):
        await _end_sender(producer)
        await producer.client.close()


async def _end_sender(producer: AIOKafkaProducer) -> None:
    """Else it would still send what was given up, when the broker is back.

    A sender that is cancelled waits for the tasks that it began, and one that looks for the coordinator of a
    transaction does so until it finds it: all are cancelled.
    """
    await _end_tasks(task for task in asyncio.all_tasks() if _bound_to(task) is producer._sender)


def _bound_to(task: asyncio.Task[Any]) -> object:
    """Whose method a task runs; None for one that runs no method."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame.f_locals.get("self") if frame else None


def reader(settings: Settings, **options: Any) -> Reader:
    """A consumer that is not started, and takes no part in the group: it reads what it is assigned by hand."""
    return Reader(
        **client_options(settings),
        enable_auto_commit=False,
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        **options,
    )


def quiet_futures() -> None:
    """Let Python log no errors of sends that nobody looks at any more."""
    logging.getLogger("asyncio").addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """A filter: of many sends that fail for one reason one is awaited and told, and Python would print the others.

    So it would for the futures that aiokafka keeps to itself. Tasks that fail unheard are news.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, KafkaError) and record.getMessage().startswith(UNHEARD))
