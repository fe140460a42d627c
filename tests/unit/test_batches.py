"""A partition is released in the consumer's thread, and only while it is assigned; what is queued is limited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from faust.types import TP

from models.records import Record, Records
from streams.batches import QUEUED_BATCHES, QUEUED_BYTES, BatchConsumer, BatchScheduler, RecordBatch
from streams.fetching import RecordsThread

EVENTS, OTHER = TP("zhice.events", 1), TP("zhice.events", 2)


class Client:
    """aiokafka's consumer, as far as it is asked here."""

    def __init__(self, *assigned: TP) -> None:
        self.assigned = set(assigned)
        self.seeks: list[tuple[TP, int, str]] = []

    def assignment(self) -> set[TP]:
        return self.assigned

    def seek(self, tp: TP, offset: int) -> None:
        assert tp in self.assigned, "aiokafka would raise"
        self.seeks.append((tp, offset, threading.current_thread().name))


class Thread(RecordsThread):
    """Calls go to another thread; `before` comes between a call and its turn."""

    def __init__(self, client: Client, before: Callable[[], None]) -> None:
        self.client, self.before = client, before

    def _ensure_consumer(self) -> Any:
        return self.client

    async def call_thread(self, function: Any, *arguments: Any, **options: Any) -> Any:
        self.before()
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(asyncio.run(function(*arguments))), name="the consumer's")
        thread.start()
        thread.join()
        return done[0]


class Consumer(BatchConsumer):
    """Without an app, which would open an event loop."""

    should_stop = False
    scheduler = BatchScheduler()

    def __init__(self, client: Client, before: Callable[[Consumer], None]) -> None:
        self._held, self._next, self._read_offset = {EVENTS}, {}, {}
        self._active_partitions, self._paused_partitions = {OTHER}, {EVENTS}
        self._queued, self._room = set(), asyncio.Event()
        self.fetches = 0
        self._thread = Thread(client, lambda: before(self))

    async def _wait_next_records(self, timeout: float) -> Any:
        """Two batches of each of two partitions; Faust has paused both meanwhile."""
        self.fetches += 1
        log = [Record(offset, 0, b"key", b"value") for offset in range(7, 11)]
        parts = [Records.of(log[:2]), Records.of(log[2:])]
        self.pause_partitions({EVENTS, OTHER})
        return {EVENTS: parts, OTHER: parts}, {EVENTS}

    def _to_message(self, tp: TP, record: Any) -> Any:
        return record.offset


def released(client: Client, before: Callable[[Consumer], None] = lambda consumer: None) -> Consumer:
    """A consumer of one partition, which was held, after its release at offset 7."""
    consumer = Consumer(client, before)
    asyncio.run(consumer.release(EVENTS, 7))
    return consumer


def test_a_release_seeks_in_the_thread_that_fetches() -> None:
    client = Client(EVENTS)
    consumer = released(client)
    assert client.seeks == [(EVENTS, 7, "the consumer's")]
    assert not consumer._held and consumer._next == {EVENTS: 7} and consumer._read_offset[EVENTS] == 7
    assert EVENTS in consumer._get_active_partitions()


@pytest.mark.parametrize("assigned", [(), (OTHER,)])
def test_what_is_not_assigned_any_more_stays_held(assigned: tuple[TP, ...]) -> None:
    client = Client(*assigned)
    consumer = released(client)
    assert not client.seeks and consumer._held == {EVENTS} and not consumer._next


def test_a_release_of_an_earlier_assignment_does_nothing() -> None:
    """Its seek would come after that of the assignment which has begun."""

    def assign_anew(consumer: Consumer) -> None:
        consumer._held = {EVENTS}

    client = Client(EVENTS)
    consumer = released(client, assign_anew)
    assert not client.seeks and consumer._held == {EVENTS} and not consumer._next


def test_a_release_by_a_consumer_that_has_crashed_is_a_matter_of_kafka() -> None:
    """So the worker begins again: the thread's loop is closed before the worker hears of the crash."""

    def crash(consumer: Consumer) -> None:
        consumer._thread.thread_loop = asyncio.new_event_loop()
        consumer._thread.thread_loop.close()
        raise RuntimeError("Event loop is closed")

    with pytest.raises(KafkaError, match="has crashed"):
        released(Client(EVENTS), crash)


def fetched(consumer: Consumer, after: Callable[[], None] = lambda: None) -> list[tuple[TP, int]]:
    """Partitions and last offsets of what a fetch gave; `after` comes behind the first."""

    async def fetch() -> list[tuple[TP, int]]:
        found = []
        async for one in consumer.getmany(1.0):
            found.append(one)
            after()
        return found

    return asyncio.run(fetch())


def test_what_was_fetched_from_a_released_partition_is_given_though_faust_has_paused_it() -> None:
    consumer = released(Client(EVENTS))
    assert fetched(consumer) == [(EVENTS, 8), (EVENTS, 10)]


def test_what_is_left_of_a_fetch_when_another_assignment_begins_is_dropped() -> None:
    consumer = released(Client(EVENTS))

    def assign_anew() -> None:
        consumer._held = {EVENTS}

    assert fetched(consumer, assign_anew) == [(EVENTS, 8)]


def test_nothing_is_fetched_while_much_is_queued() -> None:
    """Those that were taken, or are of an earlier assignment, are not queued."""
    consumer = released(Client(EVENTS))

    async def fetch(what_makes_room: Callable[[], None]) -> Any:
        """What it gives, and that it waits before."""
        before = consumer.fetches
        fetching = asyncio.create_task(anext(consumer.getmany(1.0), None))
        await asyncio.sleep(0)
        assert consumer.fetches == before
        what_makes_room()
        return await fetching

    async def follow() -> None:
        batches = [RecordBatch(EVENTS, Records.of([Record(6, 0, b"key", b"value")])) for _ in range(QUEUED_BATCHES)]
        consumer._queued.update(batches)
        assert await fetch(lambda: consumer.taken(batches[0])) == (EVENTS, 8)
        assert len(consumer._queued) == QUEUED_BATCHES
        assert await fetch(lambda: consumer.begin_assignment({EVENTS})) is None, "all is held"
        assert consumer.fetches == 2
        consumer._next[EVENTS] = 7
        large = RecordBatch(EVENTS, Records.of([Record(6, 0, b"key", b"v" * QUEUED_BYTES)]))
        consumer._queued.add(large)
        assert await fetch(lambda: consumer.taken(large)) == (EVENTS, 8)

    asyncio.run(follow())
