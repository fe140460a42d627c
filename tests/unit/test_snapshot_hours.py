"""Snapshots are taken when the wall clock of the catalogue's time zone shows a full hour."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from models.catalogue import load
from sinks.lake import connect
from sinks.writer import Lake
from tests.oracle_windows import next_hour
from tests.small_logs import HOUR, MINUTE, SMALL, LogRecord, outputs, records

STEP = 5 * MINUTE
ODD_HOURS = [  # a time zone, when a log begins there, and the minutes from one hour to the next that it crosses
    ("UTC", "2026-01-01 22:00", [60, 60, 60]),
    ("Asia/Kolkata", "2026-01-01 22:00", [60, 60, 60]),
    ("Asia/Kathmandu", "2026-01-01 22:00", [60, 60, 60]),
    ("Europe/Berlin", "2026-10-25 00:00", [60, 60, 60, 60]),
    ("Australia/Lord_Howe", "2026-04-04 23:00", [60, 60, 90, 60]),  # back by half an hour at 02:00
    ("Australia/Lord_Howe", "2026-10-03 23:00", [60, 60, 90, 60]),  # and ahead, to 02:30
    ("Asia/Colombo", "2006-04-14 22:00", [60, 60, 30, 60]),  # back by half an hour at 00:30
]


def catalogue_in(zone: str) -> str:
    return SMALL.read_text(encoding="utf-8").replace("Asia/Shanghai", zone)


def log_from(start: int, hours: float) -> list[LogRecord]:
    """A login every five minutes."""
    times = range(start, start + int(hours * HOUR) + STEP, STEP)
    return records({"event": "login", "at": at, "event_id": f"e{at}"} for at in times)


@pytest.mark.parametrize(("zone", "start", "gaps"), ODD_HOURS)
def test_snapshots_are_of_full_hours(zone: str, start: str, gaps: list[int]) -> None:
    first = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    first_ms = int(first.timestamp()) * 1000
    log = log_from(first_ms, sum(gaps) / 60)
    catalogue = load({"a.toml": catalogue_in(zone)})
    for batch in (1, 7, 100):
        as_of = [int(at) for output in outputs(catalogue, log, batch) for one in output.snapshots for at in one.as_of]
        hours = as_of[:-1]  # the last one is that of the end
        assert [(after - before) // MINUTE for before, after in zip([first_ms, *hours], hours, strict=False)] == gaps
        assert all(datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone)).minute == 0 for at in hours)
        assert [next_hour(before, zone) for before in [first_ms, *hours][:-1]] == hours


def test_a_day_ends_at_midnight_where_clocks_are_half_an_hour_off(tmp_path: Path) -> None:
    """What happens in the last half hour of a day is of that day."""
    catalogue = load({"a.toml": catalogue_in("Asia/Kolkata")})
    start = int(datetime(2026, 1, 1, 23, 35, tzinfo=ZoneInfo("Asia/Kolkata")).timestamp()) * 1000
    lake = Lake(tmp_path, catalogue)
    for output in outputs(catalogue, log_from(start, 1)):
        lake.add(output)
    lake.commit()
    with connect(tmp_path) as connection:
        days = connection.execute("SELECT DISTINCT day::VARCHAR FROM snapshots ORDER BY ALL").fetchall()
    assert days == [("2026-01-01",), ("2026-01-02",)]
