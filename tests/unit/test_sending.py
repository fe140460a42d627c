"""Batches that a kernel writes: byte by byte what aiokafka builds one record at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from models.records import TICK_HEADER, Record, Records
from streams import sending
from streams.outputs import acknowledgement
from streams.sending import batches_of
from tests.unit.test_fetching import READ_UNCOMMITTED, in_batches

PRODUCER = (77, 3, 4711)  # id, epoch, sequence

texts = st.none() | st.binary(max_size=300)
times = st.integers(0, 2**41) | st.integers(0, 3)
records = st.lists(
    st.builds(Record, st.just(0), times, texts, texts, st.sampled_from([(), (TICK_HEADER,)])), max_size=30
)


def as_tick_only(record: Record) -> Record:
    """Columns know the header of a tick only where there is no value."""
    return record._replace(headers=() if record.value else record.headers)


def built(log: list[Record], limit: int, transactional: bool) -> list[bytes]:
    """The batches that aiokafka builds."""
    builders: list[BatchBuilder] = []
    for record in log:
        words = {"timestamp": record.timestamp, "key": record.key, "value": record.value, "headers": [*record.headers]}
        if not builders or builders[-1].append(**words) is None:
            builders.append(BatchBuilder(limit, 0, is_transactional=int(transactional)))
            builders[-1].append(**words)
    for builder in builders:
        builder._set_producer_state(*PRODUCER)
    return [bytes(builder._build()) for builder in builders]


@settings(max_examples=200, deadline=None)
@given(records, st.booleans())
def test_a_batch_is_what_aiokafka_builds(log: list[Record], transactional: bool) -> None:
    log = [as_tick_only(record) for record in log]
    made = list(batches_of(Records.of(log), transactional=transactional))
    assert sum(batch.record_count() for batch in made) == len(log)
    for batch in made:
        batch._set_producer_state(*PRODUCER)
    assert [bytes(batch._build()) for batch in made] == built(log, 1 << 24, transactional)


@settings(max_examples=100, deadline=None)
@given(records, st.integers(100, 700))
def test_all_records_are_in_batches_of_the_limit(log: list[Record], limit: int) -> None:
    log = [as_tick_only(record) for record in log]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "BATCH_BYTES", limit)
        made = list(batches_of(Records.of(log)))
    assert all(batch.size() <= limit or batch.record_count() == 1 for batch in made)
    found = [record for batch in made for record in in_batches(bytes(batch._build()), 0, [], READ_UNCOMMITTED)[0]]
    assert [record._replace(offset=0) for record in found] == log


def test_nothing_can_be_added_to_a_batch() -> None:
    (batch,) = batches_of(Records.of([Record(0, 1, b"k", b"v")]))
    assert batch.closed() and batch.append(timestamp=1, key=b"k", value=b"v") is None
    assert batch.size() == len(batch._build()) and batch._build() is batch._build()


def test_a_producer_that_is_stopped_fails_what_it_has_not_heard_of() -> None:
    """Its futures are cancelled; who awaits them must not look cancelled, too: that would end a task without a word."""

    async def run() -> None:
        heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(acknowledgement(heard))
        await asyncio.sleep(0)
        heard.cancel()
        with pytest.raises(KafkaError, match="was stopped before the broker acknowledged"):
            await waiting

    asyncio.run(run())
