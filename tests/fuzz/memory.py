"""How much memory the process has, for checks that it does not grow."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
MOST_GROWTH_BYTES = 64 * MIB  # from the end of the first tenth of a run to its end, whatever the run's length
TENTHS = 10


class GrowthError(AssertionError):
    """The process has more memory than it should."""


def resident_bytes() -> int:
    """What is resident, without garbage."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_in_tenths(count: int, run: Callable[[int, int], None], say: Callable[[str], None]) -> int:
    """Call run(first, last) for ten parts of `count`; returns the growth after the first part, bytes.

    Raises GrowthError where that is more than MOST_GROWTH_BYTES.
    """
    before = growth = 0
    for tenth in range(TENTHS):
        run(count * tenth // TENTHS, count * (tenth + 1) // TENTHS)
        now = resident_bytes()
        before = before or now
        growth = now - before
        say(f"{count * (tenth + 1) // TENTHS:,} of {count:,} inputs, {now / MIB:.0f} MiB")
    if growth > MOST_GROWTH_BYTES:
        raise GrowthError(f"{growth / MIB:.0f} MiB more after {count:,} inputs, at most {MOST_GROWTH_BYTES / MIB:.0f}")
    return growth
