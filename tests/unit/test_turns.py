"""Turns of threads: short for a worker that is abreast, Python's own for one that catches up."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from streams.turns import CATCHING_UP, LONG_S, SHORT_S, set_turns


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    ("records", "turn_s"), [(0, SHORT_S), (1, SHORT_S), (CATCHING_UP - 1, SHORT_S), (CATCHING_UP, LONG_S)]
)
def test_turns_are_as_long_as_what_there_is_to_do(records: int, turn_s: float) -> None:
    set_turns(records)
    assert sys.getswitchinterval() == pytest.approx(turn_s)
