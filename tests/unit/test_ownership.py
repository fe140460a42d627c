"""Restores that end in odd ways: a worker hears of each, but for those that it leaves itself."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError

from streams.ownership import Ownership


class Log:
    """A state log whose producer's task was cancelled, as aiokafka's is when it is closed twice."""

    async def close(self) -> None:
        raise asyncio.CancelledError


class Recovery:
    async def restore(self, partition: int, log: Any) -> Any:
        await asyncio.Event().wait()


class QuietLog(Log):
    async def close(self) -> None:
        """Nothing to close."""


async def failures_of(log: type[Log]) -> list[BaseException]:
    """Of a restore that may go on for ever, and that the worker leaves after a while."""
    failures: list[BaseException] = []

    async def release(partition: int, offset: int) -> None:
        raise AssertionError("it was never restored")

    ownership = Ownership(Recovery(), lambda partition: log(), release, failures.append)  # type: ignore[arg-type]
    ownership.begin()
    await ownership.assign({0})
    for _ in range(5):
        await asyncio.sleep(0)
    await ownership.stop_preparing()
    return failures


def test_a_restore_that_a_client_cancels_fails_the_worker() -> None:
    """Else the partition would never be ready, and nothing would say why."""
    (failure,) = asyncio.run(failures_of(Log))
    assert isinstance(failure, KafkaError) and "partition 0" in str(failure)


def test_a_restore_that_is_left_is_no_failure() -> None:
    assert asyncio.run(failures_of(QuietLog)) == []
