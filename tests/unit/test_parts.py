"""What the lake makes of small outputs before there are rows of them: one of many, which says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from models.columns import Field
from models.outputs import ROW_BYTES, BatchOutput
from models.records import Record
from sinks.parts import Added, Gathering, gathered
from sinks.rows import VALUES, RowMaker
from tests.small_logs import outputs, random_records, small_catalogue

COUNT = 400
BEFORE = -1  # the lake has nothing


@pytest.fixture(scope="module")
def whole() -> BatchOutput:
    [output, _] = outputs(small_catalogue(), random_records(3, COUNT), batch=COUNT)
    return output


@pytest.fixture(scope="module")
def small() -> list[BatchOutput]:
    return outputs(small_catalogue(), random_records(3, COUNT), batch=7)[:-1]  # the last is of `finish`


def _all(gathering: Gathering, found: Sequence[BatchOutput]) -> list[BatchOutput]:
    some = [one.output for output in found for one in gathering.add(Added(output, BEFORE))]
    return [*some, *(one.output for one in gathering.rest())]


def test_small_outputs_become_one_with_the_same_rows(small: list[BatchOutput], whole: BatchOutput) -> None:
    [joined] = _all(Gathering(1 << 20), small)
    maker = RowMaker(small_catalogue())
    found, expected = maker.tables(joined), maker.tables(whole)
    found["features"], expected["features"] = (one["features"].drop_columns([VALUES]) for one in (found, expected))
    assert len(found) == len(expected) > 4
    for name, rows in expected.items():
        assert found[name].to_pylist() == rows.to_pylist()


def test_none_becomes_larger_than_is_allowed(small: list[BatchOutput]) -> None:
    most = 3 * max(len(output.columns.data) for output in small)
    found = _all(Gathering(most), small)
    assert len(found) < len(small) / 2
    assert max(len(output.columns.data) for output in found) <= most
    assert [output.first_offset for output in found[1:]] == [output.next_offset for output in found[:-1]]


def test_what_was_joined_as_it_came_is_joined_once_more(small: list[BatchOutput]) -> None:
    gathering = Gathering(2 * max(len(output.columns.data) for output in small))
    some = [one for output in small for one in gathering.add(Added(output, BEFORE))]
    [joined] = gathered([*some, *gathering.rest()])
    assert (joined.output.first_offset, joined.output.next_offset) == (0, COUNT)


def test_repeats_and_the_end_of_a_log_stay_by_themselves() -> None:
    found = outputs(small_catalogue(), random_records(3, COUNT), batch=100)  # four, and that of `finish`
    assert len(_all(Gathering(1 << 20), found)) == 2
    assert len(_all(Gathering(1 << 20), [*found[:2], *found])) == 3


def test_sources_are_not_mixed(small: list[BatchOutput]) -> None:
    other = outputs(small_catalogue(), random_records(4, 50), batch=7, partition=1)[:-1]
    mixed = [output for pair in zip(small, other, strict=False) for output in pair]
    found = _all(Gathering(1 << 20), mixed)
    assert {output.partition: len(output.columns) for output in found} == {0: 7 * len(other), 1: 50}


def test_large_records_count_as_more_rows_of_those_that_wait(small: list[BatchOutput]) -> None:
    """A million events of 60 KB would wait for a commit: limits are in rows."""
    output = small[0]
    assert output.rows - len(output.columns) < 30
    columns = replace(output.columns, size=output.columns.size.copy())
    columns.size[Field.PROPERTIES] = 60_000
    large = replace(output, columns=columns)
    assert large.rows - output.rows >= len(columns) * (60_000 // ROW_BYTES - 1)


def test_bad_rows_count_by_their_bytes() -> None:
    [output, _] = outputs(small_catalogue(), [Record(0, 1, b"k", b"x" * 1_000 * ROW_BYTES)], batch=1)
    assert output.rows == 1_000
