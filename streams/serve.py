"""`zhice worker`: a worker until a signal."""

from __future__ import annotations

import asyncio
import signal
import sys

import rich_click as click

from models.layout import Layout
from sinks.writer import Lake
from streams import app, logs
from streams.catalogues import read_catalogue
from streams.compiling import ensure_kernels
from streams.settings import Settings
from streams.topics import ensure_topics
from streams.web import serving
from streams.worker import Worker


def serve(settings: Settings) -> None:
    """Make the topics, then work until SIGTERM or SIGINT. Raises what stops the worker."""
    logs.setup(settings)
    ensure_kernels()
    catalogue = read_catalogue(settings.catalogue)
    ensure_topics(settings)
    layout, lake = Layout.compile(catalogue), Lake(settings.lake, catalogue)
    click.echo(
        f"{settings.app}: catalogue {catalogue.name} {catalogue.version}, "
        f"broker {settings.broker}, lake {settings.lake}",
    )
    sys.stdout.flush()
    worker = asyncio.run(app.run(settings, layout, lake, until_signal))
    click.echo(f"stopped after {worker.events:,} records; the next start goes on from here")


async def until_signal(worker: Worker) -> bool:
    """Answer over HTTP until SIGTERM or SIGINT; the log goes on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(worker):
        await stop.wait()
    return False
