"""What a worker is doing, on SIGUSR1: where each of its threads and tasks stands, on standard error."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def show_stacks() -> None:
    """Print the stacks of all threads, a line for each task of any event loop that is not done, and their number."""
    faulthandler.dump_traceback(all_threads=True)
    tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]
    for task in tasks:
        print(f"task {task.get_name()}: {' > '.join(_places(task.get_coro()))}", file=sys.stderr)
    print(f"{len(tasks)} tasks", file=sys.stderr, flush=True)


def _places(awaited: Any) -> Iterator[str]:
    """`file:line function` of a coroutine, of what it awaits, and so on."""
    while awaited is not None:
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            yield f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")


def _first(awaited: Any, *names: str) -> Any:
    """The first of these attributes that it has."""
    return next((found for name in names if (found := getattr(awaited, name, None)) is not None), None)
