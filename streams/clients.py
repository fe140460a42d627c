"""Kafka clients as every part of the worker uses them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaError

from streams.security import client_options
from streams.sending import BATCH_BYTES
from streams.settings import Settings

MAX_REQUEST_BYTES = 8 << 20
MAX_FETCH_BYTES = 16 << 20
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
    """A consumer that ends nobody who stops it.

    aiokafka 0.14 waits for requests that it cancels. One that waited to be tried again then looked as if its stopper
    were cancelled: the error for which it stopped was never told, and connections stayed open.
    """

    async def stop(self) -> None:
        if not self._closed and self._fetcher is not None:
            await _end_requests(self._fetcher)
        await super().stop()


async def _end_requests(fetcher: Fetcher) -> None:
    """Cancel what a fetcher does, and forget it."""
    fetcher._fetch_task.cancel()
    await asyncio.wait([fetcher._fetch_task])
    requests = set(fetcher._pending_tasks)
    for request in requests:
        request.cancel()
    if requests:
        await asyncio.wait(requests)
    fetcher._pending_tasks.clear()


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
