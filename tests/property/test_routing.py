"""The router against the plain loop that says what it does, one record at a time."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given, settings
from hypothesis import strategies as st

from models.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS
from models.records import TICK_HEADER, Record, Records
from streams.routing import Router

TICK_MS = 10
MOST_BACK = 40 * 500  # ms that the times of a log go back or on
Row = tuple[int, bytes | None, bytes | None]  # timestamp (ms), key, value


def plain_logs(rows: list[Row], partitions: int) -> list[list[Record]]:
    """The logs of the partitions, the long way."""
    logs: list[list[Record]] = [[] for _ in range(partitions)]

    def tick(timestamp: int) -> None:
        for log in logs:
            log.append(Record(len(log), timestamp, None, None, (TICK_HEADER,)))

    next_tick = None
    for timestamp, key, value in rows:
        if next_tick is not None:
            for at in range(next_tick, timestamp + 1, TICK_MS):
                tick(at)
        if next_tick is None or timestamp >= next_tick:
            next_tick = timestamp // TICK_MS * TICK_MS + TICK_MS
        log = logs[0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions]
        log.append(Record(len(log), timestamp, key, value))
    if rows:
        tick(max(0, *(timestamp for timestamp, _, _ in rows)))
    return logs


def unplaced(rows: list[Row]) -> Records:
    return Records.of([Record(0, *row) for row in rows])


def routed(rows: list[Row], cuts: list[int], partitions: int) -> tuple[list[list[Record]], list[int]]:
    """The logs that the router makes of rows in batches that end at `cuts`, and its next offsets."""
    router = Router(partitions, TICK_MS)
    logs: list[list[Record]] = [[] for _ in range(partitions)]
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for parts in router.logs(unplaced(rows[start:end]) for start, end in pairwise(bounds)):
        for log, records in zip(logs, parts, strict=True):
            log += map(records.record, range(records.count))
    return logs, router.offsets.tolist()


steps = st.one_of(st.integers(-25, 25), st.sampled_from([0, 0, 1, TICK_MS, 500, -500]))
texts = st.none() | st.binary(max_size=12)
rows_after = st.lists(st.tuples(steps, texts, texts), max_size=40)


@settings(max_examples=400, deadline=None)
@given(
    st.integers(MIN_EVENT_TIME_MS + MOST_BACK, MAX_EVENT_TIME_MS - MOST_BACK),
    rows_after,
    st.lists(st.integers(0, 40), max_size=4),
    st.integers(1, 7),
)
def test_the_router_makes_the_logs_of_the_plain_loop(
    first: int, rows: list[tuple[int, bytes | None, bytes | None]], cuts: list[int], partitions: int
) -> None:
    timestamps = list(accumulate((step for step, _, _ in rows), initial=first))
    log = [(timestamp, key, value) for timestamp, (_, key, value) in zip(timestamps, rows, strict=False)]
    expected = plain_logs(log, partitions)
    found, offsets = routed(log, cuts, partitions)
    assert found == expected
    assert offsets == [len(one) for one in expected]


NOON = 1_767_265_200_000
IMPOSSIBLE = [NOON // 1000, NOON * 1000, NOON * 1_000_000, 2**63 - 1, -(2**63), -1, 0, MAX_EVENT_TIME_MS + 1]


@pytest.mark.parametrize("time", IMPOSSIBLE)
def test_a_time_that_no_record_can_have_is_that_of_the_record_before(time: int) -> None:
    """Else ticks for each hour until then would fill the memory, or the time would overflow."""
    rows = [(NOON, b"a", b"1"), (time, b"b", b"2"), (NOON + 1, b"c", b"3")]
    logs, _ = routed(rows, [], 1)
    assert [record.timestamp for record in logs[0]] == [NOON, NOON, NOON + 1, NOON + 1]


@pytest.mark.parametrize("time", IMPOSSIBLE)
def test_before_the_first_time_it_is_the_first(time: int) -> None:
    logs, _ = routed([(time, b"a", b"1"), (NOON, b"b", b"2"), (time, b"c", b"3")], [2], 1)
    assert [record.timestamp for record in logs[0]] == [NOON, NOON, NOON, NOON]
    (alone,), _ = routed([(time, b"a", b"1")], [], 1)
    assert {record.timestamp for record in alone} == {MIN_EVENT_TIME_MS}


def test_a_log_without_records_has_no_ticks() -> None:
    assert list(Router(3).logs([])) == []
    assert list(Router(3).logs([unplaced([])])) == []


def test_the_logs_lie_over_the_buffer_of_the_batch() -> None:
    batch = unplaced([(NOON, b"k", b"v"), (NOON + 1, b"l", b"w")])
    (first, _), _last = Router(2).logs([batch])
    assert first.data is batch.data
    assert first.offset.dtype == np.int64
