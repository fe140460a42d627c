"""How long DuckDB takes for the views over a lake of many events.

A simulated log is backtested once; its events and transitions are then repeated under other customers and written as a
worker would write them: several commits a day, compacted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from benchmarks.figures.copies import multiply
from benchmarks.figures.logs import backtested, simulated
from benchmarks.figures.report import paragraph, spread, table
from sinks.lake import connect
from sinks.schemas import EVENTS, TRANSITIONS
from streams.catalogues import read_catalogue

GOALS_S = {"mau": 1.0, "funnel": 3.0, "retention": 3.0}


@dataclass(frozen=True)
class Size:
    """`copies` of a log of `events` of `customers` over `days`, in `commits` a day; `runs` of each view."""

    events: int = 1_000_000
    customers: int = 20_000
    days: int = 60
    copies: int = 50
    commits: int = 9
    runs: int = 6


SMALL = Size(events=3_000, customers=100, days=4, copies=2, commits=2, runs=2)


def measure(size: Size, folder: Path) -> Iterator[str]:
    """The section's lines. A lake of this size that an earlier run left in the folder is used again."""
    lake = folder / f"lake-{size.copies}-times-{size.events}"
    if not lake.exists():
        make(size, folder, lake)
    counts = [int(DeltaTable(lake / name.name).count()) for name in (EVENTS, TRANSITIONS)]
    yield from paragraph(
        f"A lake of {counts[0]:,} events of {size.customers * size.copies:,} customers over {size.days} days, "
        f"{counts[1]:,} transitions. Cold: the lake is opened, none of its files are in memory. Warm: "
        f"{size.runs - 1} runs "
        "after that on the same connection."
    )
    rows = [(view, goal_s, *times(lake, view, size.runs)) for view, goal_s in GOALS_S.items()]
    yield from table(["view", "goal, s", "cold, s", "warm, s", "warm, s of CPU"], rows)


def make(size: Size, folder: Path, lake: Path) -> None:
    """Write the lake."""
    records, small = simulated(folder, size.events, size.customers, size.days), folder / "once"
    backtested(records, small, os.cpu_count() or 1)
    multiply(small, lake, (EVENTS, TRANSITIONS), read_catalogue(), size.copies, size.commits)


def times(lake: Path, view: str, runs: int) -> tuple[float, str, str]:
    """Seconds of a view: the first time, the others, and the CPU time of those."""
    drop_from_memory(lake)
    took, cpu_s, started = [], [], time.monotonic()
    with connect(lake) as connection:
        for _ in range(runs):
            before_s = time.process_time()
            connection.execute(f"FROM {view}").fetchall()
            took.append(time.monotonic() - started)
            cpu_s.append(time.process_time() - before_s)
            started = time.monotonic()
    return took[0], spread(took[1:]), spread(cpu_s[1:])


def drop_from_memory(lake: Path) -> None:
    """Ask the system to keep none of the files in its cache."""
    for file in lake.rglob("*.parquet"):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
