"""`zhice worker`: a worker until a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import Final

from models.layout import Layout
from sinks.writer import Lake
from streams import app, logs
from streams.catalogues import read_catalogue
from streams.compiling import ensure_kernels
from streams.settings import Settings
from streams.stacks import show_stacks
from streams.topics import ensure_topics
from streams.web import serving
from streams.worker import Worker

log = logging.getLogger(__name__)

ENDED_S: Final = 24.0  # after a signal, whatever does not answer; its supervisor was promised 25 s


def serve(settings: Settings) -> None:
    """Make the topics, then work until SIGTERM or SIGINT. Raises what stops the worker."""
    logs.setup(settings)
    ensure_kernels()
    catalogue = read_catalogue(settings.catalogue)
    ensure_topics(settings)
    layout = Layout.compile(catalogue)
    lake = Lake(settings.lake, catalogue, topic=settings.topic("events"), durable=True)
    log.info(
        "%s: catalogue %s %s, broker %s, lake %s",
        settings.app, catalogue.name, catalogue.version, settings.broker, settings.lake,
    )  # fmt: skip
    worker = asyncio.run(app.run(settings, layout, lake, until_signal))
    log.info("stopped after %s records; the next start goes on from here", f"{worker.events:,}")


async def until_signal(worker: Worker) -> bool:
    """Answer over HTTP until SIGTERM or SIGINT; the log goes on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, show_stacks)
    async with serving(worker):
        await stop.wait()
        _end_in_time()
    return False


def _end_in_time() -> None:
    """End the process when stopping it takes too long, such as for a client that waits for a broker that is gone."""
    timer = threading.Timer(ENDED_S, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    print(
        f"zhice: not stopped {ENDED_S:g} s after the signal, so ended as it was. "
        "Nothing is lost: the next start goes on from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # as for an error that has no code of its own
