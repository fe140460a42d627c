"""The oracle's windows: which tile a time falls into, and aggregates over the events of a window's tiles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from models.catalogue import Feature
from tests.oracle_expressions import Value
from tests.oracle_state import Taken

MINUTE_MS = 60_000
QUARTER_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
UNITS_MS = {"s": 1000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}

Tiles = dict[int, list[Taken]]  # by tile from oldest to newest, events in order of arrival


@lru_cache(maxsize=1024)
def duration_ms(text: str) -> int:
    """The length of "90s", "5m", "24h" or "7d"."""
    return int(text[:-1]) * UNITS_MS[text[-1]]


def tile_ms(feature: Feature) -> int:
    """The length of a windowed feature's tiles."""
    assert feature.window is not None
    if feature.tile is not None:
        return duration_ms(feature.tile)
    window = duration_ms(feature.window)
    if window <= HOUR_MS:
        return 5 * MINUTE_MS
    if window <= 24 * HOUR_MS:
        return HOUR_MS
    return DAY_MS if window <= 60 * DAY_MS else 30 * DAY_MS


def tile_of(time: int, tile: int, time_zone: str) -> int:
    """The tile of a time; tiles of whole days count local days."""
    return (time + offset_ms(time, time_zone) if tile % DAY_MS == 0 else time) // tile


@lru_cache(maxsize=65_536)
def offset_ms(time: int, time_zone: str) -> int:
    """How far the zone's wall clock is ahead of UTC at a time."""
    offset = datetime.fromtimestamp(time // 1000, ZoneInfo(time_zone)).utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * 1000


def next_hour(time: int, time_zone: str) -> int:
    """The first time after this one at which the zone's wall clock shows a full hour; offsets are quarters of one."""
    time += QUARTER_MS - time % QUARTER_MS
    while (time + offset_ms(time, time_zone)) % HOUR_MS:
        time += QUARTER_MS
    return time


def tiles_in_window(feature: Feature, time_zone: str, latest: int | None, taken: Sequence[Taken]) -> Tiles:
    """Those of the events that are in the window that ends with `latest`, by tile; a lifetime is one tile."""
    if feature.window is None or latest is None:
        return {0: list(taken)} if taken else {}
    tile = tile_ms(feature)
    last = tile_of(latest, tile, time_zone)
    first = last - duration_ms(feature.window) // tile + 1
    tiles: Tiles = {}
    for one in taken:
        tiles.setdefault(tile_of(one.event_time, tile, time_zone), []).append(one)
    return {number: tiles[number] for number in sorted(tiles) if first <= number <= last}


def aggregate(name: str, tiles: Tiles, declared: Sequence[str]) -> Value:
    """The value of an aggregate; `declared` are the values that `distinct` counts."""
    taken = [one for tile in tiles.values() for one in tile]
    if name == "count":
        return float(len(taken))
    if name == "sum":
        return _add([_add([one.value for one in tile]) for tile in tiles.values()])
    if name == "distinct":
        return float(len({one.value for one in taken} & set(declared)))
    if not taken:
        return None
    if name == "first":  # of equal times sorting keeps the order of arrival, as they are of one tile
        return sorted(taken, key=lambda one: one.event_time)[0].value
    if name == "last":
        return sorted(taken, key=lambda one: one.event_time)[-1].value
    return (min if name == "min" else max)(one.value for one in taken)


def _add(values: Sequence[float]) -> float:
    """One after the other, as floats add; `sum` of newer Pythons compensates."""
    total = 0.0
    for value in values:
        total += value
    return total
