"""benchmarks/results.md: medians and spreads, the machine, the versions."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.environments import version_of
from benchmarks.log import PARTITIONS, Log
from benchmarks.machine import java, kafka, machine
from benchmarks.running import Run

OURS = "zhice"  # the contender


@dataclass
class Results:
    """Runs by log and contender, and what failed by contender."""

    logs: Sequence[Log]
    note: str
    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def rates(self, log: Log, contender: str) -> list[float]:
        return [run.rate for run in self.runs.get((log.name, contender), [])]


def write(results: Results, path: Path) -> None:
    """Write the report."""
    path.write_text("\n".join(_lines(results)) + "\n", encoding="utf-8")


def _lines(results: Results) -> Iterator[str]:
    first = results.logs[0]
    yield "# The comparison: results"
    yield ""
    yield "Written by `make bench`. What was computed, and what the clock covers, is in [job.md](job.md). Every run's"
    yield "triggers were compared with [reference.py](reference.py), and only runs that agreed in all of them are here."
    yield ""
    yield "![events/s of each contender](results.svg)"
    yield ""
    yield from _circumstances(results, first)
    for log in results.logs:
        if any(name == log.name for name, _ in results.runs):
            yield ""
            yield f"## {log.name.capitalize()}: {log.events:,} events, {log.customers:,} customers"
            yield ""
            yield from _table(results, log)
    if results.failures:
        yield ""
        yield "## What failed"
        yield ""
        for name, why in results.failures.items():
            yield f"- {name}: {_summary(why)}"


def _summary(why: str) -> str:
    """The first line of why it failed, and the last, which is the last thing that it said."""
    first, *more = [line for line in why.splitlines() if line.strip()]
    return f"{first[:200]}: `{more[-1][:300]}`" if more else first[:300]


def _circumstances(results: Results, log: Log) -> Iterator[str]:
    counts = [len(runs) for runs in results.runs.values()]
    runs = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    yield f"- Runs: {runs} of each contender over each log, in turn; seed {log.seed}. Median (least–most)."
    yield f"- Machine: {machine()}."
    if results.note:
        yield f"- {results.note}"
    yield "- Load: of the machine in the last minute of a run. Where it differs much, other work ran beside that run."
    yield f"- Python {platform.python_version()}, {java()}. Apache Kafka {kafka()} on the same machine: one broker,"
    yield f"  {PARTITIONS} partitions."


COLUMNS = (
    "contender", "version", "events/s", "Zhice is … times as fast", "events/s until durable", "CPU, µs an event",
    "memory, MB", "load",
)  # fmt: skip


def _table(results: Results, log: Log) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|---|---|{'---:|' * (len(COLUMNS) - 2)}"
    for contender in CONTENDERS:
        if runs := results.runs.get((log.name, contender.name)):
            yield f"| {' | '.join(_cells(results, log, contender, runs))} |"
    if prefixes := {runs[0].events for (name, _), runs in results.runs.items() if name == log.name} - {log.events}:
        yield ""
        yield f"¹ over a log of {min(prefixes):,} events and of customers in proportion: all of it would take minutes."


def _cells(results: Results, log: Log, contender: Contender, runs: Sequence[Run]) -> Iterator[str]:
    ours = results.rates(log, OURS)
    yield contender.label + ("" if runs[0].events == log.events else " ¹")
    yield _version(contender)
    yield _spread(runs, lambda run: run.rate)
    yield f"{median(ours) / median(results.rates(log, contender.name)):.2g}" if ours and contender.name != OURS else ""
    yield _spread(runs, lambda run: run.durable_rate)
    yield f"{median(run.cpu_s / run.events * 1e6 for run in runs):,.1f}"
    yield f"{median(run.memory_mb for run in runs):,.0f}"
    yield f"{median(run.load for run in runs):.1f}"


def _spread(runs: Sequence[Run], value: Callable[[Run], float | None]) -> str:
    values = [one for one in map(value, runs) if one is not None]
    if not values:
        return "–"
    middle = f"{median(values):,.0f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.0f}–{max(values):,.0f})"


def _version(contender: Contender) -> str:
    if not contender.publishes:
        return ""
    return version_of(contender.folder, contender.package) if contender.package else version("zhice")
