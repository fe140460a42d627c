"""What replay and backtest share as commands: the source made a file of records, and what they say at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Final, NamedTuple

import numpy as np
import rich_click as click

from models.columns import BAD, TICK, UNKNOWN
from models.outputs import BatchOutput
from streams.sources import write_records

WHY: Final = "FROM bad_rows_by_reason"
WHICH: Final = "SELECT event, count(*) AS events FROM events WHERE status = 'unknown' GROUP BY event ORDER BY event"


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


class Done:
    """The records of the file that are done, on a progress bar; several threads may add what their shards put out."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._added: list[Counts] = []

    def add(self, output: BatchOutput) -> None:
        counts = Counts.of(output)
        self._added.append(counts)
        self._progress(counts.records)

    @property
    def counts(self) -> Counts:
        return Counts(*map(sum, zip(NONE, *self._added, strict=True)))


class Counts(NamedTuple):
    """How many records there were, ticks aside, and what of them changes nothing."""

    records: int
    bad_rows: int
    unknown: int

    @classmethod
    def of(cls, output: BatchOutput) -> Counts:
        types = output.columns.event_type
        return cls(*(int(np.count_nonzero(one)) for one in (types != TICK, types == BAD, types == UNKNOWN)))


NONE = Counts(0, 0, 0)


def echo_done(counts: Counts, seconds: float, lake: str) -> None:
    """Say that a run is over, how fast it was, what of it counted for nothing, and what to do next."""
    rate = f"{counts.records:,} records in {seconds:.1f} s ({counts.records / seconds:,.0f}/s)"
    if not counts.records:
        click.echo(f"{rate}: the file holds none, or the query makes none of it")
        return
    asks = f"zhice sql --lake {quote(lake)}"
    click.echo(f"{rate}. Next: {asks}")
    if counts.bad_rows:
        click.echo(f'{counts.bad_rows:,} of them are bad rows. Why: {asks} "{WHY}"')
    if counts.unknown:
        undeclared = f"{counts.unknown:,} of them are events that the catalogue does not declare"
        click.echo(f'{undeclared}. Which: {asks} "{WHICH}"')
