"""Durations, and how windows are cut into tiles."""

from __future__ import annotations

import re

import pytest

from models.windows import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    check_tile,
    check_window,
    default_tile_ms,
    format_duration,
    parse_duration_ms,
    tile_count,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90s", 90_000), ("5m", 300_000), ("24h", 86_400_000), ("7d", 604_800_000), ("3650d", 3650 * DAY_MS)],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7 d", "'7 d' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        ("-7d", "'-7d' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        ("1.5h", "'1.5h' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        ("7", "'7' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        ("٧d", "'٧d' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        ("7d\n", "'7d\n' is no duration; write an integer and one of s, m, h, d, as in '7d'"),
        ("0s", "'0s' must be longer than 0"),
        ("3651d", "'3651d' is too long; at most 3650d"),
    ],
)
def test_no_durations(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration_ms(text)


@pytest.mark.parametrize("text", ["1s", "59s", "1m", "90m", "25h", "1d", "365d"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    assert format_duration(parse_duration_ms(text)) == text


@pytest.mark.parametrize(
    ("window", "tile"),
    [
        ("5m", "5m"),
        ("1h", "5m"),
        ("61m", "1h"),
        ("24h", "1h"),
        ("25h", "1d"),
        ("60d", "1d"),
        ("61d", "30d"),
        ("365d", "30d"),
    ],
)
def test_default_tiles(window: str, tile: str) -> None:
    assert format_duration(default_tile_ms(parse_duration_ms(window))) == tile


def test_tile_count() -> None:
    assert tile_count(7 * DAY_MS, DAY_MS) == 7


@pytest.mark.parametrize("window", ["4m", "366d"])
def test_windows_that_no_feature_may_have(window: str) -> None:
    with pytest.raises(ValueError, match=f"^'{window}' is not between '5m' and '365d'$"):
        check_window(parse_duration_ms(window))


def test_windows_and_tiles_that_fit() -> None:
    for window_ms, tile_ms in [(HOUR_MS, 5 * MINUTE_MS), (365 * DAY_MS, 5 * DAY_MS), (7 * DAY_MS, 8 * HOUR_MS)]:
        check_window(window_ms)
        check_tile(window_ms, tile_ms)


@pytest.mark.parametrize(
    ("window", "tile", "message"),
    [
        ("7m", "5m", "window '7m' is no multiple of its tile '5m'; tile = '1m' or window = '5m' would fit"),
        ("365d", "30d", "window '365d' is no multiple of its tile '30d'; tile = '5d' or window = '360d' would fit"),
        ("3h", "6h", "window '3h' is no multiple of its tile '6h'; tile = '3h' or window = '6h' would fit"),
        ("25h", "1d", "window '25h' is no multiple of its tile '1d'; tile = '1h' or window = '1d' would fit"),
        ("7d", "7h", "a tile of '7h' neither divides a day nor is of whole days; tile = '6h' would fit"),
        ("3d", "36h", "a tile of '36h' neither divides a day nor is of whole days; tile = '1d' would fit"),
        ("30d", "1m", "window '30d' has 43200 tiles of '1m', more than 512; take a longer tile"),
    ],
)
def test_tiles_that_do_not_fit(window: str, tile: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_tile(parse_duration_ms(window), parse_duration_ms(tile))
