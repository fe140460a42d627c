"""Python's garbage collector, set for a process that makes millions of small records and few cycles."""

from __future__ import annotations

import atexit
import gc

THRESHOLDS = (1_000, 3, 25_000)  # objects before a young collection, and how many of each before the next older one


def set_collector() -> None:
    """Collect less often: with Python's defaults a fifth of the worker's time goes into collections.

    Nor is what modules hold looked at: a collection takes up to a microsecond an object, in which nothing else runs.
    What is old by then is not looked at even once: imports leave ten objects to collect, and finding them takes 0.1 s.
    """
    gc.set_threshold(*THRESHOLDS)
    gc.collect(1)
    gc.freeze()
    atexit.register(gc.unfreeze)  # else libraries complain of leaks
