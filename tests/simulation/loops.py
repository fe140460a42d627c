"""Event loops without a clock, a thread or a socket: a simulated process runs when the world says so."""

from __future__ import annotations

import asyncio
from asyncio import events, tasks
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

MAX_AWAITS = 100


class KilledError(BaseException):
    """The process is gone: nothing of it may go on, not even what is `except Exception`."""


class SimLoop(asyncio.AbstractEventLoop):
    """Handles in the order in which they become ready, as asyncio has it; time moves when the world moves it."""

    def __init__(self, now: Callable[[], float], execute: Callable[[Callable[[], Any]], asyncio.Future[Any]]) -> None:
        """`execute` takes what asyncio would give to a thread."""
        self._now, self._execute = now, execute
        self._ready: deque[tuple[Any, tuple[Any, ...], Any]] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.dead = False
        self.errors: list[str] = []

    def run_ready(self) -> None:
        """Run until nothing is ready, or the process is killed."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while self._ready and not self.dead:
                callback, arguments, context = self._ready.popleft()
                context.run(callback, *arguments) if context is not None else callback(*arguments)
        finally:
            events._set_running_loop(before)

    def next_timer(self) -> float | None:
        """When the next timer is due; None for none."""
        while self._timers and self._timers[0][2].cancelled():
            heappop(self._timers)
        return self._timers[0][0] if self._timers and not self.dead else None

    def fire_timer(self) -> None:
        """Run what the next timer is for."""
        _, _, handle = heappop(self._timers)
        self.call_soon(handle._run)
        self.run_ready()

    def kill(self) -> None:
        """Drop everything. Coroutines end here and now, not when garbage is collected."""
        self.dead = True
        self._ready.clear()
        self._timers.clear()
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while self._tasks:
                task = self._tasks.pop()
                tasks._enter_task(self, task)  # as if it ran: `asyncio.timeout` asks for the task that it is in
                try:
                    self._close(task)
                finally:
                    tasks._leave_task(self, task)
        finally:
            events._set_running_loop(before)

    @staticmethod
    def _close(task: asyncio.Task[Any]) -> None:
        if task.done():
            if not task.cancelled():
                task.exception()
            return
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        try:
            for _ in range(MAX_AWAITS):  # on its way out it may wait again, in vain
                task.get_coro().throw(KilledError())  # type: ignore[union-attr]
        except (KilledError, StopIteration):
            return
        raise AssertionError(f"{task.get_coro()} does not end")

    # --- what asyncio asks of a loop

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        if not self.dead:
            self._ready.append((callback, args, context))

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self._now() + delay, callback, *args, context=context)

    def time(self) -> float:
        return self._now()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name="")
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        return self._execute(lambda: func(*args))

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the heap until its time."""
