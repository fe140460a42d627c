"""How many records one step of the event loop takes.

A costly catalogue, one of a thousand rules, took a minute for the 20,000 records of a fetch: nothing was answered
meanwhile, and the watchdog ended the worker, which began again with the same records.
"""

from __future__ import annotations

from typing import Final

STEP_S: Final = 0.25  # that a step may take
FIRST: Final = 1_000  # records, until it is known what they cost


class Pace:
    """`records`: of the next step, at most."""

    def __init__(self, most: int) -> None:
        self.most, self.records = most, min(FIRST, most)

    def took(self, records: int, seconds: float) -> None:
        """A step is over.

        >>> pace = Pace(20_000)
        >>> pace.took(1_000, 5.0)
        >>> pace.records
        50
        """
        if seconds > STEP_S:
            self.records = max(1, int(records * STEP_S / seconds))
        elif records >= self.records and seconds <= STEP_S / 2:
            self.records = min(2 * self.records, self.most)
