"""Threads that work side by side, each through its own steps in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Lane:
    """A thread that takes steps one after another, and none after one that failed."""

    def __init__(self, queued: int) -> None:
        """queued: how many steps may wait for the thread."""
        self._queued, self._failed = queued, False
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave out what waits and stop when the step that runs has ended."""
        self._thread.shutdown(cancel_futures=True)

    def put(self, step: Callable[..., None], *arguments: Any) -> None:
        """Take a step when those before are done; waits while too many wait. Raises what an earlier step raised."""
        self._waiting.append(self._thread.submit(self._run, step, arguments))
        while len(self._waiting) > self._queued:
            self._waiting.popleft().result()

    def settle(self) -> None:
        """Wait for all steps. Raises what one of them raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def _run(self, step: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self._failed:
            return
        try:
            step(*arguments)
        except BaseException:
            self._failed = True
            raise
