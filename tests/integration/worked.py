"""A log that workers work through, and what the lake and the topics must hold when they are done."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable
from kafka import KafkaConsumer, TopicPartition

from models.layout import Layout
from sinks.lake import TABLES, connect, files_of
from sinks.verify import verify
from sinks.writer import Lake
from streams import app
from streams.catalogues import read_catalogue
from streams.producing import produce
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from streams.worker import Worker
from tests.brokers import has_transactions
from tests.workers import archived

EVENTS = 30_000
DEADLINE_S = 90
LAYOUT = Layout.compile(read_catalogue())


def prepare(broker: Any, prefix: str, folder: Path, events: int = EVENTS, **changes: Any) -> tuple[Settings, int]:
    """Topics with a log of simulated events; returns the settings of a worker for it and the count of records."""
    given: dict[str, Any] = {
        "broker": broker.address, "prefix": prefix, "app": prefix, "lake": str(folder / "lake"),
        "transactions": has_transactions(broker),
        "tick_ms": 0, "checkpoint_s": 0.3, "checkpoint_max_s": 2.0, "fetch_records": 2000,
        "session_timeout_s": 6.0, "rebalance_timeout_s": 2.0,
    }  # fmt: skip
    settings = Settings(**(given | changes))
    ensure_topics(settings, keep_forever=True)
    written = write_file(SimulationSettings(events=events, customers=events // 15, days=20), folder / "bank.jsonl")
    produce(settings, str(folder / "bank.jsonl"))
    return settings, written.records


def run_worker(settings: Settings, job: Callable[[Worker], Awaitable[bool]]) -> Worker:
    """A worker in this process, with the default catalogue, until the job returns (true: at the end of the log)."""
    return asyncio.run(app.run(settings, LAYOUT, Lake(settings.lake, LAYOUT.catalogue), job))


async def until(condition: Callable[[], object], what: str) -> None:
    """Poll until it holds. Raises AssertionError after `DEADLINE_S`."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def restored(log: Path) -> int:
    """How often a worker has restored a partition, as its log says."""
    return log.read_text().count("restored partition") if log.exists() else 0


def assert_exact(settings: Settings, records: int) -> None:
    """Every record once in the lake, every trigger of the lake once by id on its topic, every feature right."""
    assert archived(settings.lake) == records
    with connect(settings.lake) as lake:
        for table in ("events", "bad_rows"):
            query = f'SELECT count(*) - count(DISTINCT ("partition", "offset")) FROM {table}'
            assert lake.execute(query).fetchall() == [(0,)]
        triggers = [id_ for (id_,) in lake.execute("SELECT id FROM triggers").fetchall()]
    assert len(triggers) == len(set(triggers)) > 0
    assert set(published(settings, "triggers")) == set(triggers)
    report = verify(settings.lake, read_catalogue(settings.catalogue))
    assert report.mismatches == [] and report.customers > records // 60


def published(settings: Settings, kind: str) -> Counter[str]:
    """What is on an output topic, by id for triggers and by value for others, and how often."""
    return Counter(dict(record.headers).get("ce_id", record.value).decode() for record in records_on(settings, kind))


def records_on(settings: Settings, kind: str) -> list[Any]:
    """The records of an output topic."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(settings.topic(kind), number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        while True:
            records = consumer.poll(timeout_ms=200, max_records=10_000)
            found += [record for batch in records.values() for record in batch]
            # the embedded broker's end is the base offset of the last batch
            if not records and all(consumer.position(tp) >= ends[tp] for tp in partitions):
                break
        return found
    finally:
        consumer.close()


def repeats(settings: Settings) -> int:
    """Wire duplicates on all output topics."""
    kinds = ("triggers", "decisions", "transitions", "bad-rows")
    return sum(count - 1 for kind in kinds for count in published(settings, kind).values())


def records_of(settings: Settings) -> int:
    """Records on the events topic, ticks among them."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker)
    ends = consumer.end_offsets([TopicPartition(settings.topic("events"), n) for n in range(settings.partitions)])
    consumer.close()
    return sum(ends.values())


def assert_same_lakes(one: Path, other: Path) -> None:
    """The same rows, as often, in each of the seven tables."""
    with duckdb.connect() as connection:
        for table in TABLES:
            sides = [files_of(DeltaTable(lake / table)) for lake in (one, other)]
            if sides == [None, None]:
                continue
            first, second = sides
            assert first and second, f"{table} is empty in one lake only"
            missing = connection.execute(f"FROM {first} EXCEPT ALL FROM {second} LIMIT 3").fetchall()
            counts = [connection.execute(f"SELECT count(*) FROM {side}").fetchall()[0][0] for side in (first, second)]
            assert not missing and counts[0] == counts[1], f"{table}: {counts} rows, {missing} only in the one"
            print(f"         {table}: {counts[0]:,} rows are the same")
