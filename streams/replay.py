"""Replay: a second process sends a file of records, and a worker in this one works through them to their end."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path

from models.layout import Layout
from models.outputs import BatchOutput
from sinks.compaction import compact
from sinks.writer import Lake
from streams import app
from streams.producing import ReplayError, produce_for
from streams.settings import Settings
from streams.worker import Worker

POLL_S = 0.02


def follow(settings: Settings, layout: Layout, lake: Lake, path: Path, done: Callable[[BatchOutput], None]) -> Worker:
    """Send a record file from a second process and work through it in this one; returns the stopped worker.

    It calls done(what a shard put out) as it goes. Raises ReplayError where sending fails, and what stops a worker.
    """
    context = multiprocessing.get_context("spawn")
    ends: multiprocessing.SimpleQueue[list[int] | str] = context.SimpleQueue()
    sender = context.Process(target=produce_for, args=(settings, str(path), ends), daemon=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for this process: a child has its mask
    try:
        sender.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    async def until_end(worker: Worker) -> bool:
        worker.on_output = done
        while ends.empty():
            if not sender.is_alive() and ends.empty():
                raise ReplayError("the process that sends the records ended early")
            await asyncio.sleep(POLL_S)
        offsets = ends.get()
        if isinstance(offsets, str):
            raise ReplayError(offsets)
        while any(worker.next_offset(number) < end for number, end in enumerate(offsets)):
            await asyncio.sleep(POLL_S)
        return True

    try:
        worker = asyncio.run(app.run(settings, layout, lake, until_end))
    finally:
        sender.terminate()
        sender.join()
    compact(lake.path)
    return worker
