"""Saying when the first record came (benchmarks/job.md, the clock)."""

from __future__ import annotations

import time


class First:
    """Call `seen` at each record; it speaks once."""

    def __init__(self) -> None:
        self._waits = True

    def seen(self) -> None:
        if self._waits:
            self._waits = False
            print(f"first record {time.time()}", flush=True)
