"""Commits beside the work: when they begin, when the worker waits for one, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

import pytest

from sinks.writer import LakeError
from streams import lake_commits
from streams.lake_commits import MOST_ROWS, ROWS, LakeCommits
from streams.telemetry import Telemetry
from streams.troubles import Troubles

P = ParamSpec("P")


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(test(*arguments, **named))

    return run


class SlowLake:
    """A lake whose commits end when they are let, or fail first."""

    def __init__(self, waiting: int) -> None:
        self.waiting, self.commits = waiting, 0
        self.may_end = threading.Event()
        self.failures: list[BaseException] = []

    def commit(self) -> None:
        assert self.may_end.wait(10)
        self.commits += 1
        if self.failures:
            raise self.failures.pop()
        self.waiting = 0


def made(lake: Any) -> LakeCommits:
    return LakeCommits(lake, Troubles(), Telemetry())


@in_a_loop
async def test_few_rows_wait_for_the_checkpoint() -> None:
    lake = SlowLake(ROWS)
    lake.may_end.set()
    commits = made(lake)
    await commits.relieve()
    await asyncio.sleep(0.05)
    assert lake.commits == 0


@in_a_loop
async def test_many_rows_are_committed_beside_the_work() -> None:
    lake = SlowLake(ROWS + 1)
    commits = made(lake)
    await commits.relieve()  # does not wait: the commit may not end yet
    assert lake.waiting == ROWS + 1
    lake.may_end.set()
    async with asyncio.timeout(10):
        while not lake.commits:
            await asyncio.sleep(0.01)
    assert lake.waiting == 0


@in_a_loop
async def test_the_worker_waits_where_too_many_rows_do() -> None:
    lake = SlowLake(MOST_ROWS + 1)
    waiting = asyncio.create_task(made(lake).relieve())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    lake.may_end.set()
    await waiting
    assert lake.waiting == 0


@in_a_loop
async def test_what_breaks_a_commit_reaches_the_worker() -> None:
    lake = SlowLake(MOST_ROWS + 1)
    lake.may_end.set()
    lake.failures = [BaseException("panicked")]
    commits = made(lake)
    await commits.relieve()
    with pytest.raises(RuntimeError, match="panicked"):
        await commits.relieve()


@in_a_loop
async def test_a_commit_that_is_given_up_leaves_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = SlowLake(1)
    lake.may_end.set()
    lake.failures = [LakeError("no space left")]
    monkeypatch.setattr(lake_commits, "ROWS", 0)
    commits = made(lake)
    await commits.relieve()
    while commits.troubles.text is None:
        await asyncio.sleep(0.01)
    assert "no space left" in commits.troubles.text
    commits.stop()
    await asyncio.wait_for(commits.troubles.none(), 5)


@in_a_loop
async def test_who_gives_a_commit_up_can_say_what_it_waited_for() -> None:
    lake = SlowLake(1)
    lake.may_end.set()
    lake.failures = [LakeError("no space left")]
    commits = made(lake)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(commits.commit(), 0.2)
    assert commits.troubles.text == "no space left"
    assert await asyncio.wait_for(commits.commit(), 5)
    assert commits.troubles.text is None
