"""What Python says of sends that failed, and that nobody looks at: nothing; of all else it says what it always does."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaTimeoutError, ProducerFenced

from streams.clients import is_news, quiet_futures


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
