"""The records of a step: as many as a step may take time, found by what those before took."""

from __future__ import annotations

import pytest

from streams.pace import FIRST, STEP_S, Pace

MOST = 20_000


@pytest.mark.parametrize("cost_s", [1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
def test_a_step_takes_about_as_long_as_it_may(cost_s: float) -> None:
    """Once it is known what a record costs; 60 s for 20,000 records are a watchdog's limit, and were one step."""
    pace = Pace(MOST)
    for number in range(10):
        took_s = pace.records * cost_s
        assert number == 0 or took_s <= STEP_S
        pace.took(pace.records, took_s)
    assert pace.records == MOST or STEP_S / 4 <= pace.records * cost_s <= STEP_S * 1.01


def test_even_one_record_is_a_step() -> None:
    pace = Pace(MOST)
    pace.took(FIRST, 3_600.0)
    assert pace.records == 1


def test_small_batches_say_nothing_of_large_ones() -> None:
    pace = Pace(MOST)
    for _ in range(100):
        pace.took(12, 0.001)
    assert pace.records == FIRST


def test_never_more_than_a_fetch_brings() -> None:
    assert Pace(7).records == 7
    pace = Pace(1_500)
    pace.took(1_000, 0.0)
    assert pace.records == 1_500
