"""What Python says of sends that failed and that nobody looks at: nothing. A reader ends nobody who stops it, and ends
where it does not start.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator
from unittest import mock

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaTimeoutError, ProducerFenced

from streams.clients import Reader, is_news, quiet_futures


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What asyncio logs, behind the filter."""
    asked, handler, said = logging.getLogger("asyncio"), logging.Handler(), list[str]()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    quiet_futures()
    quiet_futures()  # once for each worker of a process
    asked.addHandler(handler)
    yield said
    asked.removeHandler(handler)
    asked.removeFilter(is_news)
    assert is_news not in asked.filters


async def leave_future(error: Exception) -> None:
    asyncio.get_running_loop().create_future().set_exception(error)
    gc.collect()


async def leave_task(error: Exception) -> None:
    async def fail() -> None:
        raise error

    asyncio.create_task(fail())  # noqa: RUF006
    await asyncio.sleep(0)
    gc.collect()


@pytest.mark.parametrize("error", [ProducerFenced(), KafkaTimeoutError()])
def test_a_send_that_nobody_looks_at_is_no_news(error: Exception, heard: list[str]) -> None:
    asyncio.run(leave_future(error))
    assert heard == []


def test_other_errors_and_tasks_are(heard: list[str]) -> None:
    asyncio.run(leave_future(ValueError("planted")))
    asyncio.run(leave_task(KafkaTimeoutError()))
    assert [line.split(maxsplit=1)[0] for line in heard] == ["Future", "Task"]


class TryingAgain(Fetcher):
    """One of its requests has failed, and waits until it is tried again."""

    def __init__(self) -> None:
        self._fetch_waiters: set[asyncio.Future[None]] = set()
        self._fetch_task = asyncio.create_task(asyncio.sleep(3600))
        self._pending_tasks = {asyncio.create_task(asyncio.sleep(3600)) for _ in range(2)}


async def is_closed(kind: type[AIOKafkaConsumer]) -> bool:
    """Whether a consumer of this kind has been stopped to its end."""
    consumer = kind(bootstrap_servers="127.0.0.1:9")
    consumer._fetcher = TryingAgain()
    consumer._client.close = close = mock.AsyncMock()
    await asyncio.sleep(0)
    await consumer.stop()
    return close.await_count == 1


def test_a_reader_ends_nobody_who_stops_it() -> None:
    """As aiokafka's own does."""
    assert asyncio.run(is_closed(Reader))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(is_closed(AIOKafkaConsumer))


async def is_stopped_unstarted(kind: type[AIOKafkaConsumer]) -> bool:
    """Whether a consumer of this kind is stopped after its start was cancelled, with a broker that says nothing."""
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent:
        host, port = silent.sockets[0].getsockname()
        consumer = kind(bootstrap_servers=f"{host}:{port}")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(consumer.start(), 0.1)
    stopped = consumer._closed
    await consumer.stop()
    return bool(stopped)


def test_a_reader_that_does_not_start_is_stopped() -> None:
    """As aiokafka's own is not."""
    assert asyncio.run(is_stopped_unstarted(Reader))
    assert not asyncio.run(is_stopped_unstarted(AIOKafkaConsumer))


async def is_stopped_though_cancelled(kind: type[AIOKafkaConsumer], steps: int) -> bool:
    """Whether a consumer of this kind is stopped to its end by a task that is cancelled after so many steps of it."""
    consumer = kind(bootstrap_servers="127.0.0.1:9")
    consumer._fetcher = TryingAgain()
    consumer._client.close = close = mock.AsyncMock()
    await asyncio.sleep(0)
    stopping = asyncio.create_task(consumer.stop())
    for _ in range(steps):
        await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    return bool(consumer._closed and close.await_count)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_who_stops_a_reader_may_be_cancelled(steps: int) -> None:
    """As one of aiokafka's own may not."""
    assert asyncio.run(is_stopped_though_cancelled(Reader, steps))
    assert not asyncio.run(is_stopped_though_cancelled(AIOKafkaConsumer, steps))
