"""What replay and backtest share as commands: the source made a file of records, and what they say at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import rich_click as click

from streams.sources import write_records


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


def echo_done(records: int, seconds: float, lake: str) -> None:
    """Say that a run is over, how fast it was, and what to do next."""
    rate = f"{records:,} records in {seconds:.1f} s ({records / seconds:,.0f}/s)"
    click.echo(f"{rate}. Next: zhice sql --lake {quote(lake)}")
