"""Candidates that wait for the end of quiet hours; what a record batch asks of them does not depend on their number."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from models.gates import Candidate
from models.quiet import NEVER


class Waiting:
    """In the order in which they came up, of which the first `saved` are in the state as they are.

    `next_end`: when the first of them is due, ms; NEVER where none waits.
    """

    def __init__(self, candidates: Iterable[Candidate] = (), saved: int = 0) -> None:
        self.saved = saved
        self._fill(list(candidates))

    def _fill(self, candidates: list[Candidate]) -> None:
        self._all = candidates
        self._hoping: dict[int, list[Candidate]] = {}  # by row of the customer: whose goal may still be met
        self.next_end = NEVER
        for one in candidates:
            self._note(one)

    def _note(self, one: Candidate) -> None:
        assert one.until is not None, "only what waits is held"
        self.next_end = min(self.next_end, one.until)
        if one.goal_met is False:
            self._hoping.setdefault(one.customer_row, []).append(one)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, which: slice) -> list[Candidate]:
        return self._all[which]

    def add(self, one: Candidate) -> None:
        """Let one wait; one that waited before goes back to its place."""
        at = self._place(one)
        self._all.insert(at, one)
        self.saved = min(self.saved, at)
        self._note(one)

    def release(self, clock: int) -> list[Candidate]:
        """Those that are due at a clock, ms; they wait no more."""
        if clock < self.next_end:
            return []
        due = [one for one in self._all if one.until is not None and one.until <= clock]
        self.saved = min(self.saved, self._place(due[0]))
        self._fill([one for one in self._all if one.until is not None and one.until > clock])
        return due

    def hoping(self, customer_row: int) -> Iterator[Candidate]:
        """Those of a customer whose goal has not been met."""
        return (one for one in self._hoping.get(customer_row, ()) if one.goal_met is False)

    @property
    def any_hoping(self) -> bool:
        """Whether there are such of any customer; also where all of them have been met since."""
        return bool(self._hoping)

    def meet(self, one: Candidate) -> None:
        """The goal of one that waits has been met."""
        one.goal_met = True
        self.saved = min(self.saved, self._place(one))

    def _place(self, one: Candidate) -> int:
        return bisect_left(self._all, _came_up(one), key=_came_up)


def _came_up(one: Candidate) -> tuple[int, int]:
    return one.offset, one.seq
