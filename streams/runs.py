"""Replay and backtest as commands: the source made a file of records, a broker if one is wanted, a progress bar."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote

import msgspec
import rich_click as click

from models.layout import Layout
from sinks.writer import Lake
from streams import backtest as backtests
from streams.backtest import Backtest
from streams.broker import EmbeddedBroker
from streams.catalogues import read_catalogue
from streams.compiling import ensure_kernels
from streams.record_files import count_records
from streams.replay import check_empty, follow, produce
from streams.settings import NOT_EMBEDDED, Settings, fields
from streams.show import progress_bar, stopwatch
from streams.sources import write_records
from streams.topics import ensure_topics


@contextmanager
def record_file(file: Path, sql: str | None) -> Iterator[Path]:
    """The file itself, or what a query makes of it, as a file of records. Raises SourceError."""
    if sql is None:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="zhice-") as folder:
        made = Path(folder) / "records.parquet"
        write_records(str(file), sql, made)
        yield made


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
        worked, seconds = replay_records(records, settings)
    _echo_done(worked, seconds, settings.lake)


def replay_records(records: Path, settings: Settings) -> tuple[int, float]:
    """Send a file of records and work through it; returns (its records, seconds). The topics are there and empty."""
    ensure_kernels()
    count = count_records(records)  # before there is a lake: what is no file of records makes none
    catalogue = read_catalogue(settings.catalogue)
    layout, lake = Layout.compile(catalogue), Lake(settings.lake, catalogue)
    lake.begin(settings.topic("events"), settings.partitions)
    with progress_bar("replay", count) as progress, stopwatch() as seconds:
        done = Done(progress)
        follow(settings, layout, lake, records, done.add)
        return done.records, seconds()


def run_backtest(backtest: Backtest, sql: str | None, threads: int) -> None:
    """`zhice backtest`; where there is a query, its source is what `backtest.records` names."""
    count = min(threads or os.cpu_count() or 1, backtest.partitions)
    with record_file(Path(backtest.records), sql) as records:
        ready = replace(backtest, records=str(records))
        with progress_bar("backtest", count_records(records)) as progress, stopwatch() as seconds:
            done = Done(progress)
            backtests.run(ready, count, done.add)
            took = seconds()
    _echo_done(done.records, took, backtest.lake)


class Done:
    """The records of the file that are done, on a progress bar; several threads may add."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._added: list[int] = []

    def add(self, records: int) -> None:
        self._added.append(records)
        self._progress(records)

    @property
    def records(self) -> int:
        return sum(self._added)


def _echo_done(records: int, seconds: float, lake: str) -> None:
    rate = f"{records:,} records in {seconds:.1f} s ({records / seconds:,.0f}/s)"
    click.echo(f"{rate}. Next: zhice sql --lake {quote(lake)}")
