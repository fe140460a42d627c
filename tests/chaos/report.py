"""Outcomes as a line on the screen and as a table in a file."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.arena import Outcome
from tests.chaos.scenarios import Sizes

HEAD = """# Chaos

What `make chaos` measured: workers, brokers and disks are killed, stopped and filled under load on Apache Kafka. Lost
and doubled count rows of the lake, outputs and features against the oracle, which folds the same log without a fault.
Wire duplicates are outputs that are on a topic twice under one id. The longest stall is the longest time for which a
partition with events to work on made no checkpoint.

| scenario | faults | events | triggers | customers | lost | doubled | wire duplicates | stall, s | seconds | seed |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def line(outcome: Outcome) -> str:
    """One outcome."""
    found = outcome.comparison
    verdict = "right" if not outcome.wrong else "WRONG: " + "; ".join(outcome.wrong)
    parts = [
        f"{outcome.scenario}: {verdict}. {outcome.faults} faults, {outcome.events:,} events, ",
        f"{found.triggers:,} triggers, ",
        f"{found.customers:,} customers, {found.rows:,} rows; lost {found.lost}, doubled {found.doubled}, ",
        f"{found.wire_duplicates} wire duplicates; longest stall {outcome.stall_s:.1f} s; {outcome.seconds:.0f} s; ",
        f"SEED={outcome.seed}",
    ]
    return "".join(parts) + "".join(f"\n  {note}" for note in outcome.notes)


def write(path: Path, outcomes: list[Outcome], sizes: Sizes) -> None:
    """All outcomes so far."""
    rows = "".join(_row(outcome) for outcome in outcomes)
    notes = "".join(f"- {one.scenario}: {note}\n" for one in outcomes for note in [*one.wrong, *one.notes])
    given = ", ".join(f"{name} {value:,}" for name, value in asdict(sizes).items())
    path.write_text(f"{HEAD}{rows}\n{notes}\nSizes: {given}.\n\n{_machine()}\n", encoding="utf-8")


def _row(outcome: Outcome) -> str:
    found = outcome.comparison
    counts = [outcome.faults, outcome.events, found.triggers, found.customers, found.lost, found.doubled]
    cells = [outcome.scenario, *(f"{count:,}" for count in counts), f"{found.wire_duplicates:,}"]
    cells += [f"{outcome.stall_s:.1f}", f"{outcome.seconds:.0f}", str(outcome.seed)]
    return f"| {' | '.join(cells)} |\n"


def _machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}."
    )
