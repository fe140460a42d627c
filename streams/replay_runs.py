"""Replay as a command: a broker if one is wanted, a file of records through it, a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import rich_click as click

from models.layout import Layout
from sinks.writer import Lake
from streams.broker import EmbeddedBroker
from streams.catalogues import read_catalogue
from streams.compiling import ensure_kernels
from streams.producing import check_empty, produce
from streams.record_files import count_records
from streams.replay import follow
from streams.runs import Counts, Done, echo_done, record_file
from streams.settings import NOT_EMBEDDED, Settings, fields
from streams.show import progress_bar, stopwatch
from streams.topics import ensure_topics


@contextmanager
def embedded_broker(settings: Settings) -> Iterator[Settings]:
    """The settings of a worker on an embedded broker that lives as long as the context.

    What the environment says of another cluster is not meant for this one.
    """
    others = {field.name: field.default for field in fields(NOT_EMBEDDED)}
    with EmbeddedBroker() as broker:
        its = {"broker": broker.address, "transactions": False, "session_timeout_s": 6.0, "rebalance_timeout_s": 3.0}
        yield for_replay(settings, **(others | its))


def for_replay(settings: Settings, **changes: object) -> Settings:
    """A replay brings its own ticks."""
    return msgspec.structs.replace(settings, tick_ms=0, **changes)


def run_replay(file: Path, sql: str | None, settings: Settings, *, embedded: bool, work: bool) -> None:
    """`zhice replay`. Raises UsageError, ReplayError."""
    if embedded and not work:
        raise click.UsageError("--no-work needs --no-embedded: the broker of this replay is gone when the command ends")
    with ExitStack() as stack:
        records = stack.enter_context(record_file(file, sql))
        settings = stack.enter_context(embedded_broker(settings)) if embedded else for_replay(settings)
        ensure_topics(settings, keep_forever=True)
        if not embedded:
            check_empty(settings)
        if not work:
            sent, topic = sum(produce(settings, str(records))), settings.topic("events")
            click.echo(
                f"{sent:,} records, ticks among them, sent to {topic}. Next: zhice worker --tick-ms 0, with "
                "the settings of this replay"
            )
            return
        counts, seconds = replay_records(records, settings)
    echo_done(counts, seconds, settings.lake)


def replay_records(records: Path, settings: Settings) -> tuple[Counts, float]:
    """Send a file of records and work through it; returns (what it held, seconds). The topics are there and empty."""
    ensure_kernels()
    count = count_records(records)  # before there is a lake: what is no file of records makes none
    catalogue = read_catalogue(settings.catalogue)
    layout, topic = Layout.compile(catalogue), settings.topic("events")
    lake = Lake(settings.lake, catalogue, topic=topic)
    lake.begin(topic, settings.partitions)
    with progress_bar("replay", count) as progress, stopwatch() as seconds:
        done = Done(progress)
        follow(settings, layout, lake, records, done.add)
        return done.counts, seconds()
