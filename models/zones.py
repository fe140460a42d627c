"""The offsets of a time zone from UTC as sorted arrays, so that a batch is shifted to local time at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from models.jit import part

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

_FIRST: Final = datetime(1999, 12, 31, tzinfo=UTC)
_END: Final = datetime(2101, 1, 1, tzinfo=UTC)  # from here on the last offset stays
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


@cache
def zone_offsets_ms(time_zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(transitions, offsets), both int64[k] in ms: offsets[j] holds in [transitions[j], transitions[j + 1]).

    The first transition is the least int64, so the offset at t is
    `offsets[np.searchsorted(transitions, t, side="right") - 1]`. Exact in the years 2000 to 2100.
    Raises ZoneInfoNotFoundError for a name that is no time zone.
    """
    zone = ZoneInfo(time_zone)
    transitions = [int(np.iinfo(np.int64).min)]
    offsets = [_offset(zone, _FIRST)]
    day = _FIRST
    while day < _END:
        following = day + _DAY
        if _offset(zone, following) != offsets[-1]:
            change = _first_change(zone, day, following)
            transitions.append(_ms(change - datetime(1970, 1, 1, tzinfo=UTC)))
            offsets.append(_offset(zone, change))
        day = following
    return _frozen(transitions), _frozen([_ms(offset) for offset in offsets])


@part
def number_at(transitions, time):
    """Which of the offsets holds at an instant, ms."""
    low, high = 0, len(transitions)
    while high - low > 1:
        middle = (low + high) // 2
        if transitions[middle] <= time:
            low = middle
        else:
            high = middle
    return low


def local_ms(times: NDArray[np.int64], time_zone: str) -> NDArray[np.int64]:
    """The zone's wall clock at `times` (int64[n], ms UTC), in ms since 1970-01-01 00:00 on that clock."""
    transitions, offsets = zone_offsets_ms(time_zone)
    return times + offsets[np.searchsorted(transitions, times, side="right") - 1]


def _first_change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second in (before, after] with another offset than `before`; a day has at most one change."""
    old = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _ms(delta: timedelta) -> int:
    return delta // timedelta(milliseconds=1)


def _frozen(values: list[int]) -> NDArray[np.int64]:
    array = np.array(values, dtype=np.int64)
    array.flags.writeable = False  # it is shared by all callers
    return array
