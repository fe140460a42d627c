"""Quiet hours on the wall clock of a time zone: whether it is quiet, and when it ends."""

from __future__ import annotations

from bisect import bisect_right

from models.policies import QuietHours
from models.zones import DAY_MS, zone_offsets_ms

NEVER = 2**62  # ms


class Quiet:
    """One entry of the catalogue in its time zone. Instants are ms, UTC."""

    def __init__(self, hours: QuietHours, time_zone: str) -> None:
        self.name = hours.name
        self._first, self._until = hours.from_ms, hours.until_ms
        transitions, offsets = zone_offsets_ms(time_zone)
        self._transitions, self._offsets = transitions.tolist(), offsets.tolist()
        self._between = (0, 0)  # two ends that follow one another: the next question is likely between them

    def holds_at(self, clock: int) -> bool:
        """Whether it is quiet."""
        time = (clock + self._offset(clock)) % DAY_MS
        if self._first < self._until:
            return self._first <= time < self._until
        return time >= self._first or time < self._until

    def next_end(self, clock: int) -> int:
        """The first end after an instant."""
        if not self._between[0] <= clock < self._between[1]:
            today = (clock + self._offset(clock)) // DAY_MS
            ends = [self._end(day) for day in range(today - 2, today + 3)]
            after = bisect_right(ends, clock)
            self._between = ends[after - 1], ends[after]
        return self._between[1]

    def _end(self, day: int) -> int:
        """When the day's wall clock shows `until`: the later, where it does twice; where it never does, as if it had
        not been changed."""
        local = day * DAY_MS + self._until
        offsets = {self._offset(local - DAY_MS), self._offset(local + DAY_MS)}
        shown = [local - offset for offset in offsets if self._offset(local - offset) == offset]
        return max(shown or [local - offset for offset in offsets])

    def _offset(self, instant: int) -> int:
        offset: int = self._offsets[bisect_right(self._transitions, instant) - 1]
        return offset
