"""Outcomes as a line on the screen and as a table in a file, which keeps the rows of scenarios that did not run now."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.arena import Outcome

HEAD = """# Chaos

What `make chaos` measured, and wrote here: workers, brokers and disks are killed, stopped and filled under load on
Apache Kafka. Lost and doubled count rows of the lake, outputs by id, and features of customers and instances against
the oracle, which folds the same log in one thread without a fault. Wire duplicates are outputs that are on a topic more
than once under one id. The longest recovery is the longest time for which a partition with events to work on made no
checkpoint; these are at least 1 s apart here, and the session's timeout is 4 s. While the broker or the disk is away
nothing can be done: that is left out, and the time from its return to the next checkpoint counts.

"""
COLUMNS = (
    "scenario", "faults", "events", "triggers", "customers", "rows compared", "lost", "doubled", "wire duplicates",
    "longest recovery, s", "seconds", "seed", "date", "commit",
)  # fmt: skip


def line(outcome: Outcome) -> str:
    """One outcome."""
    found = outcome.comparison
    verdict = "right" if not outcome.wrong else "WRONG: " + "; ".join(outcome.wrong)
    parts = [
        f"{outcome.scenario}: {verdict}. {outcome.faults} {outcome.fault}, {outcome.events:,} events, ",
        f"{found.triggers:,} triggers, ",
        f"{found.customers:,} customers, {found.rows:,} rows; lost {found.lost}, doubled {found.doubled}, ",
        f"{found.wire_duplicates} wire duplicates; longest recovery {outcome.recovery_s:.1f} s; ",
        f"{outcome.seconds:.0f} s; SEED={outcome.seed}",
    ]
    return "".join(parts) + "".join(f"\n  {note}" for note in outcome.notes)


def write(path: Path, outcome: Outcome, order: list[str]) -> None:
    """Put an outcome into the file in the place of an earlier one of its scenario; `order` has all scenarios."""
    rows, notes = _read(path)
    rows[outcome.scenario] = _row(outcome)
    notes[outcome.scenario] = [f"- {outcome.scenario}: {note}" for note in [*outcome.wrong, *outcome.notes]]
    table = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *(rows[name] for name in order if name in rows)]
    listed = [note for name in order for note in notes.get(name, [])]
    path.write_text(HEAD + "\n".join([*table, "", *listed, "", _machine()]) + "\n", encoding="utf-8")


def _read(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Rows and notes by scenario."""
    rows: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if text.startswith("| ") and not text.startswith(f"| {COLUMNS[0]} "):
            rows[text.split("|")[1].strip()] = text
        elif text.startswith("- "):
            notes.setdefault(text[2:].partition(": ")[0], []).append(text)
    return rows, notes


def _row(outcome: Outcome) -> str:
    found = outcome.comparison
    counts = [outcome.events, found.triggers, found.customers, found.rows, found.lost, found.doubled]
    cells = [outcome.scenario, f"{outcome.faults:,} {outcome.fault}", *(f"{count:,}" for count in counts)]
    cells += [f"{found.wire_duplicates:,}", f"{outcome.recovery_s:.1f}", f"{outcome.seconds:.0f}", str(outcome.seed)]
    return f"| {' | '.join([*cells, f'{datetime.now(UTC):%Y-%m-%d}', outcome.commit])} |"


def _machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"Measured on {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}."
    )
