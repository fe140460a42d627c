"""Python's garbage collector, set for a process that makes millions of small records and few cycles."""

from __future__ import annotations

import atexit
import gc

THRESHOLDS = (1_000, 3, 25_000)  # objects before a young collection, and how many of each before the next older one


def set_collector() -> None:
    """Collect less often: with Python's defaults a fifth of the worker's time goes into collections.

    Nor is what modules hold looked at: a collection takes up to a microsecond an object, in which nothing else runs.
    """
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # else libraries complain of leaks
