"""A short run of what `make fuzz` runs for longer, and that it can fail."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from models.columns import BAD
from tests.fuzz import decoder, expressions, memory

SEED = 20260101
INPUTS = {"decoder": 40_000, "expressions": 10_000}


@pytest.mark.parametrize("name", list(INPUTS))
def test_no_crash_and_no_growth(name: str) -> None:
    run = {"decoder": decoder.fuzz, "expressions": expressions.fuzz}[name]
    good = 0

    def part(first: int, last: int) -> None:
        nonlocal good
        good += run(SEED, first, last)

    memory.run_in_tenths(INPUTS[name], part, lambda text: None)
    assert 0.2 < good / INPUTS[name] < 0.8, "inputs of both kinds"


def test_a_bad_row_without_its_bytes_is_found() -> None:
    records = [decoder.record(Random(row), row) for row in range(200)]
    columns = decoder.columns_of(records)
    decoder.check(records, columns)
    with pytest.raises(AssertionError):
        decoder.check(records, replace(columns, bad_rows=columns.bad_rows[1:]))
    assert (columns.event_type == BAD).any()
    columns.event_type[:] = BAD
    with pytest.raises(AssertionError):
        decoder.check(records, columns)


def test_growth_is_found() -> None:
    kept: list[bytearray] = []

    def leak(first: int, last: int) -> None:
        kept.append(bytearray(b"x") * (12 * memory.MIB))

    with pytest.raises(memory.GrowthError):
        memory.run_in_tenths(10, leak, lambda text: None)
