"""The open minute's metrics in a checkpoint: a minute may hold more rows than a record of Kafka."""

from __future__ import annotations

import numpy as np
import pytest

from models.decoding import Decoder
from models.layout import Layout
from models.pages import PageError
from models.records import Records
from models.shard import Shard
from models.shard_state import METRIC_ROWS
from tests.small_logs import MINUTE, START, TOPIC, records, small_catalogue

RECORD_BYTES = 1_000_000  # what Kafka takes by default
EVENTS = 3 * METRIC_ROWS - 100


def feed(shard: Shard, layout: Layout, first: int, count: int, at: int) -> None:
    log = records({"event": "login", "at": at, "customer_id": f"c{first + k}"} for k in range(count))
    log = [one._replace(offset=first + k) for k, one in enumerate(log)]
    shard.process(Decoder(layout.event_layout).columns(TOPIC, 0, Records.of(log)))


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout.compile(small_catalogue())


def metric_keys(dumped: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [key for key, _ in dumped if key.startswith(b"m")]


def test_a_busy_minute_is_kept_in_pages_that_kafka_takes(layout: Layout) -> None:
    shard = Shard(layout, TOPIC, 0)
    feed(shard, layout, 0, EVENTS, START)
    assert len(shard.metrics.rows) == EVENTS
    first = shard.dump()
    assert metric_keys(first) == [b"m0", b"m1", b"m2"]
    assert max(len(value) for _, value in first) < RECORD_BYTES

    feed(shard, layout, EVENTS, 50, START + 1)
    second = shard.dump()
    assert metric_keys(second) == [b"m2"], "of a minute that goes on, only what was added"
    restored = Shard.restore(layout, TOPIC, 0, [*first, *second])
    assert np.array_equal(restored.metrics.rows, shard.metrics.rows)

    feed(shard, layout, EVENTS + 50, 10, START + MINUTE)
    third = shard.dump()
    assert metric_keys(third) == [b"m0"]
    restored = Shard.restore(layout, TOPIC, 0, [*first, *second, *third])
    assert np.array_equal(restored.metrics.rows, shard.metrics.rows)
    assert len(restored.metrics.rows) == 10


def test_a_page_that_is_missing_is_said(layout: Layout) -> None:
    shard = Shard(layout, TOPIC, 0)
    feed(shard, layout, 0, EVENTS, START)
    dumped = [record for record in shard.dump() if record[0] != b"m1"]
    with pytest.raises(PageError, match="rows of the open minute are missing"):
        Shard.restore(layout, TOPIC, 0, dumped)
