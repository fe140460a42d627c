"""Quiet hours on wall clocks that jump."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from models.policies import QuietHours, time_of_day_ms
from models.quiet import Quiet

SHANGHAI, BERLIN = "Asia/Shanghai", "Europe/Berlin"


def at(text: str, zone: str) -> int:
    """ms of a wall clock's time; of two, the first."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def quiet(first: str, until: str, zone: str = SHANGHAI) -> Quiet:
    return Quiet(QuietHours(name="night", from_=first, until=until), zone)


@pytest.mark.parametrize(
    ("first", "until", "time", "is_quiet"),
    [
        ("21:00", "08:00", "20:59:59.999", False),
        ("21:00", "08:00", "21:00", True),
        ("21:00", "08:00", "00:00", True),
        ("21:00", "08:00", "07:59:59.999", True),
        ("21:00", "08:00", "08:00", False),
        ("12:00", "14:00", "11:59", False),
        ("12:00", "14:00", "12:00", True),
        ("12:00", "14:00", "14:00", False),
        ("00:00", "06:00", "00:00", True),
        ("22:00", "00:00", "23:59", True),
        ("22:00", "00:00", "00:00", False),
    ],
)
def test_from_is_quiet_and_until_is_not(first: str, until: str, time: str, is_quiet: bool) -> None:
    assert quiet(first, until).holds_at(at(f"2026-03-05T{time}", SHANGHAI)) is is_quiet


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-05T22:00", "2026-03-06T08:00"),
        ("2026-03-06T07:59", "2026-03-06T08:00"),
        ("2026-03-06T08:00", "2026-03-07T08:00"),
        ("2026-12-31T23:00", "2027-01-01T08:00"),
    ],
)
def test_the_end_is_the_first_after_an_instant(now: str, end: str) -> None:
    assert quiet("21:00", "08:00").next_end(at(now, SHANGHAI)) == at(end, SHANGHAI)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])  # 02:00 becomes 03:00; 03:00 becomes 02:00
def test_a_night_in_which_the_clock_is_changed_ends_at_the_same_instant_for_all(day: str) -> None:
    night = quiet("21:00", "08:00", BERLIN)
    end = at(f"{day}T08:00", BERLIN)
    for hours in range(1, 11):
        asked = end - hours * 3_600_000
        assert quiet("21:00", "08:00", BERLIN).next_end(asked) == night.next_end(asked) == end


def test_an_end_that_the_wall_clock_leaves_out_is_an_instant_all_the_same() -> None:
    night = quiet("21:00", "02:30", BERLIN)
    before = at("2026-03-28T23:00", BERLIN)
    end = night.next_end(before)
    assert at("2026-03-29T01:00", BERLIN) < end <= at("2026-03-29T03:30", BERLIN)
    assert night.next_end(end - 1) == end < night.next_end(end)


@pytest.mark.parametrize("text", ["", "8:00", "08:60", "24:00", "08-00", "0800", "08:0a", "０８:00"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="is no time of day; write HH:MM, from 00:00 to 23:59"):
        time_of_day_ms(text)
