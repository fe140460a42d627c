"""Start and recovery, of benchmarks/recovery.py: a restart, and a standby that takes over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import recovery
from benchmarks.figures.report import Cell, paragraph, table


@dataclass(frozen=True)
class Size:
    """How many customers the state is of."""

    customers: tuple[int, ...] = (100_000, 1_000_000)


SMALL = Size(customers=(500,))


def measure(size: Size, _: Path) -> Iterator[str]:
    """The section's lines."""
    yield from paragraph(
        f"{recovery.PARTITIONS} partitions, one event of each customer, a checkpoint; then the worker is killed."
    )
    for standby in (False, True):
        found = [list(recovery.measure(customers, standby=standby)) for customers in size.customers]
        rows: list[list[Cell]] = [
            [what, unit, *(one[at][1] for one in found)] for at, (what, _, unit) in enumerate(found[0])
        ]
        yield from ("", *paragraph("A standby takes over:" if standby else "It is started again:"))
        yield from table(("what", "unit", *(f"{customers:,} customers" for customers in size.customers)), rows)
