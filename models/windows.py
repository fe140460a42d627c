"""Durations, windows and their tiles, in integer milliseconds."""

from __future__ import annotations

import re
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

MIN_WINDOW_MS: Final = 5 * MINUTE_MS
MAX_WINDOW_MS: Final = 365 * DAY_MS
MAX_DURATION_MS: Final = 3_650 * DAY_MS
MAX_TILES: Final = 512  # of one feature; each is a cell of every row

UNITS_MS: Final = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": SECOND_MS}
DEFAULT_TILES_MS: Final = (
    (HOUR_MS, 5 * MINUTE_MS),
    (DAY_MS, HOUR_MS),
    (60 * DAY_MS, DAY_MS),
    (MAX_WINDOW_MS, 30 * DAY_MS),
)
DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
TILES_UP_TO_A_DAY_MS: Final = tuple(ms for ms in range(DAY_MS, 0, -SECOND_MS) if DAY_MS % ms == 0)


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a duration such as "90s", "5m", "24h" or "7d"; ValueError for any other text.

    >>> parse_duration_ms("24h")
    86400000
    """
    match = DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no duration; write an integer and one of s, m, h, d, as in '7d'")
    duration_ms = int(match[1]) * UNITS_MS[match[2]]
    if duration_ms == 0:
        raise ValueError(f"'{text}' must be longer than 0")
    if duration_ms > MAX_DURATION_MS:
        raise ValueError(f"'{text}' is too long; at most {format_duration(MAX_DURATION_MS)}")
    return duration_ms


def format_duration(duration_ms: int) -> str:
    """The shortest text that `parse_duration_ms` reads as this many milliseconds (of whole seconds).

    >>> format_duration(5_400_000)
    '90m'
    """
    unit, unit_ms = next(item for item in UNITS_MS.items() if duration_ms % item[1] == 0)
    return f"{duration_ms // unit_ms}{unit}"


def default_tile_ms(window_ms: int) -> int:
    """The tile of a window that names none."""
    return next((tile_ms for up_to_ms, tile_ms in DEFAULT_TILES_MS if window_ms <= up_to_ms), 30 * DAY_MS)


def tile_count(window_ms: int, tile_ms: int) -> int:
    """How many tiles a window holds; the window is a multiple of its tile."""
    return window_ms // tile_ms


def is_tile(tile_ms: int) -> bool:
    """A tile divides a day, or is of whole days."""
    return DAY_MS % tile_ms == 0 if tile_ms < DAY_MS else tile_ms % DAY_MS == 0


def check_window(window_ms: int) -> None:
    """Raise ValueError when a window has a length that no feature may have."""
    if not MIN_WINDOW_MS <= window_ms <= MAX_WINDOW_MS:
        least, most = format_duration(MIN_WINDOW_MS), format_duration(MAX_WINDOW_MS)
        raise ValueError(f"'{format_duration(window_ms)}' is not between '{least}' and '{most}'")


def check_tile(window_ms: int, tile_ms: int) -> None:
    """Raise ValueError, naming what would fit, when a window cannot be cut into tiles of this length."""
    window, tile = format_duration(window_ms), format_duration(tile_ms)
    if not is_tile(tile_ms):
        raise ValueError(
            f"a tile of '{tile}' neither divides a day nor is of whole days; {_fitting(window_ms, tile_ms)}"
        )
    if window_ms % tile_ms:
        raise ValueError(f"window '{window}' is no multiple of its tile '{tile}'; {_fitting(window_ms, tile_ms)}")
    tiles = tile_count(window_ms, tile_ms)
    if tiles > MAX_TILES:
        raise ValueError(f"window '{window}' has {tiles} tiles of '{tile}', more than {MAX_TILES}; take a longer tile")


def _fitting(window_ms: int, tile_ms: int) -> str:
    fits = [f"tile = '{format_duration(fit)}'" for fit in _fitting_tiles(window_ms, tile_ms)[:1]]
    nearest_ms = max(window_ms - window_ms % tile_ms, tile_ms)
    if is_tile(tile_ms) and MIN_WINDOW_MS <= nearest_ms <= MAX_WINDOW_MS:
        fits.append(f"window = '{format_duration(nearest_ms)}'")
    return f"{' or '.join(fits)} would fit"


def _fitting_tiles(window_ms: int, tile_ms: int) -> list[int]:
    """Tiles that divide the window into few enough parts, no longer than asked first, then longer ones."""
    whole_days = range(window_ms // DAY_MS * DAY_MS, DAY_MS, -DAY_MS)
    fits = [
        fit
        for fit in (*whole_days, *TILES_UP_TO_A_DAY_MS)
        if window_ms % fit == 0 and tile_count(window_ms, fit) <= MAX_TILES
    ]
    shorter = [fit for fit in fits if fit <= tile_ms]
    return shorter + [fit for fit in reversed(fits) if fit > tile_ms]
