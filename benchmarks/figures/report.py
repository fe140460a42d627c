"""benchmarks/figures.md: a section each figure, of which some can be measured anew while the others stay."""

from __future__ import annotations

import math
import os
import platform
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.machine import commit, java, kafka, machine

PACKAGES = ("numba", "pyarrow", "deltalake", "duckdb", "aiokafka")
WIDTH = 120
HEAD = """# The product's own figures

Written by `python -m benchmarks.figures`; `--only NAME` measures one section anew and keeps the others. The catalogue
is retail_bank, with checkpoints, outputs and the lake on, where a section says nothing else. Load: of the machine over
the last minute, when a section began and when it ended. Where a value was measured more than once: median (least–most).
"""

Cell = str | float
Rows = Iterable[Sequence[Cell]]


def refresh(path: Path, titles: Sequence[str], title: str, lines: Sequence[str]) -> None:
    """Write a section in place of the one with this title; others stay, in the order of `titles`."""
    kept = _sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept[title] = "\n".join(lines)
    texts = [f"## {one}\n\n{kept[one].strip()}\n" for one in titles if one in kept]
    path.write_text("\n".join([HEAD, *texts]), encoding="utf-8")


def _sections(text: str) -> dict[str, str]:
    """The text of each section by its title."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def measured(measure: Callable[[], Iterable[str]], command: str, note: str) -> list[str]:
    """The lines of a section: what was measured, then how and when."""
    began, before = time.monotonic(), os.getloadavg()[0]
    lines = list(measure())
    about = [
        f"`{command}`, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, commit {commit()}, load "
        f"{before:.1f} → {os.getloadavg()[0]:.1f}, {(time.monotonic() - began) / 60:.1f} min.",
        f"{machine()}; Python {platform.python_version()}, {_versions()}, {java()}, Apache Kafka {kafka()}.",
    ]
    return [*lines, "", *about, *([note] if note else [])]


def paragraph(text: str) -> list[str]:
    """Lines of a text, and an empty one."""
    return [*textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False), ""]


def table(head: Sequence[str], rows: Rows) -> list[str]:
    """A table; numbers stand on the right.

    >>> table(["what", "ms"], [["one", 1234.5]])
    ['| what | ms |', '|---|---:|', '| one | 1,234 |']
    """
    rows = list(rows)
    right = [all(isinstance(row[at], int | float) for row in rows) for at in range(len(head))]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join('---:' if one else '---' for one in right)}|"]
    return lines + [f"| {' | '.join(map(shown, row))} |" for row in rows]


def shown(value: Cell) -> str:
    """A number with three digits that count, or as many as it has before the point.

    >>> shown(0.01234), shown(1.5), shown(123456.7), shown("as it is")
    ('0.0123', '1.5', '123,457', 'as it is')
    """
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Median, least and most.

    >>> spread([3.0, 1.0, 2.0]), spread([1.0])
    ('2 (1–3)', '1')
    """
    middle = shown(median(values))
    return middle if len(values) == 1 else f"{middle} ({shown(min(values))}–{shown(max(values))})"


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
