"""Batches that a kernel writes: byte by byte what aiokafka builds one record at a time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from models.records import TICK_HEADER, Record, Records
from streams import sending
from streams.outputs import acknowledgement
from streams.sending import UNKNOWN_OFFSET, MoreRecordsError, batches_of, send_log
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


class Broker:
    """A producer whose broker has so many records already, and takes some twice."""

    def __init__(self, end: int, repeats: int = 0, known: bool = True) -> None:
        self.end, self.repeats, self.known = end, repeats, known

    async def send_batch(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(SimpleNamespace(offset=self.end + self.repeats if self.known else UNKNOWN_OFFSET))
        self.end += batch.record_count() + self.repeats
        return acknowledged


LOG = Records.of([Record(7 + number, 1, b"k", b"v" * 50) for number in range(30)])


@pytest.mark.parametrize("broker", [Broker(7), Broker(99, known=False)])
def test_a_log_has_its_offsets(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BATCH_BYTES", 400)
    asyncio.run(send_log(broker, "events", 3, LOG))  # type: ignore[arg-type]
    assert broker.end == 7 + LOG.count or not broker.known


@pytest.mark.parametrize(("end", "repeats", "found"), [(7, 2, "offset 7 has 9"), (12, 0, "offset 7 has 12")])
def test_a_log_that_a_broker_took_twice_is_an_error(end: int, repeats: int, found: str) -> None:
    with pytest.raises(
        MoreRecordsError, match=f"partition 3 of events has more records than were sent: what should have {found}"
    ):
        asyncio.run(send_log(Broker(end, repeats), "events", 3, LOG))  # type: ignore[arg-type]


def test_nothing_of_a_log_is_sent() -> None:
    asyncio.run(send_log(Broker(7), "events", 3, Records.of([])))  # type: ignore[arg-type]
