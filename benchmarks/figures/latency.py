"""From the moment at which an event is to be sent to the moment at which a consumer has the trigger that it causes.

One worker on Apache Kafka with the full catalogue; its customers are known before. The load comes from a process of its
own, and this one reads the triggers as any consumer would: they are no transaction's, so they are there when Kafka has
them. A rate is warmed up by the same load, whose triggers do not count.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from confluent_kafka import OFFSET_END, Consumer, Message, TopicPartition
from numpy.typing import NDArray

from benchmarks.figures.load import CALL_ID, Load, Sent, send
from benchmarks.figures.report import Cell, paragraph, table
from benchmarks.recovery import PARTITIONS, fill, saved
from benchmarks.workers import Worker, ended, wait
from streams.kafka_broker import ApacheKafka
from streams.settings import Settings
from streams.topics import ensure_topics

FILL_TIMEOUT_S = 900.0
BEGIN_S = 3.0  # for the process of the load to start
READ_S = 0.05  # that a read waits at most
DRAIN_S = 60.0  # after the load's end
PERCENTILES = (50.0, 99.0, 99.9, 100.0)
HEAD = ("events/s", "reached", "triggers", "p50, ms", "p99, ms", "p99.9, ms", "most, ms", "sender late, ms", "missing")


@dataclass(frozen=True)
class Size:
    """`seconds` of each rate after `warm_s`; `calls_every`: which event calls for a trigger."""

    rates: tuple[int, ...] = (1_000, 10_000, 50_000)
    seconds: int = 60
    warm_s: int = 20
    customers: int = 100_000
    calls_every: int = 50


SMALL = Size(rates=(200,), seconds=3, warm_s=1, customers=300, calls_every=10)


def measure(size: Size, _: Path) -> Iterator[str]:
    """The section's lines."""
    yield from paragraph(
        f"{size.customers:,} customers, {PARTITIONS} partitions, one worker with its default settings; "
        f"one event in "
        f"{size.calls_every} calls for a trigger. {size.seconds} s of each rate after {size.warm_s} s "
        f"to warm up, one "
        "after another. The loop is open: a latency counts from an event's moment on the schedule, so "
        "what a late sender "
        f"costs is in it. Reached: events by the time until the last trigger. Missing: not there "
        f"{DRAIN_S:g} s after the "
        "load's end, and slower than any percentile."
    )
    with tempfile.TemporaryDirectory(prefix="zhice-latency-") as name, ApacheKafka() as broker:
        settings = Settings(broker=broker.address, lake=str(Path(name) / "lake"), partitions=PARTITIONS)
        ensure_topics(settings)
        ends = fill(settings, Path(name) / "events.jsonl", size.customers, 1)
        with ended(Worker(settings, "latency", Path(name))):
            wait(lambda: saved(settings, ends), FILL_TIMEOUT_S, "no checkpoint of all customers")
            yield from table(HEAD, list(_rates(settings, size)))


def _rates(settings: Settings, size: Size) -> Iterator[list[Cell]]:
    """A row of the table each rate."""
    callers = 0
    for rate in size.rates:
        start = time.time() + BEGIN_S
        load = Load(rate, size.warm_s + size.seconds, size.customers, size.calls_every, start, callers)
        callers += load.calls
        arrived, sent = answers(settings, load)
        latencies_ms = latencies(load, arrived, size.warm_s)
        reached = load.events / (max(arrived.values(), default=math.inf) - start)
        percentiles = np.percentile(latencies_ms, PERCENTILES, method="higher").tolist()
        missing = load.calls - len(arrived)
        yield [rate, reached, len(latencies_ms), *percentiles, sent.behind_s * 1000, missing]


def answers(settings: Settings, load: Load) -> tuple[dict[int, float], Sent]:
    """When the trigger of each calling event was there, s since the epoch, while a process sends the load."""
    consumer = Consumer({"bootstrap.servers": settings.broker, "group.id": "figures", "enable.auto.commit": False})
    topic, found, until = settings.topic("triggers"), dict[int, float](), math.inf
    consumer.assign([TopicPartition(topic, number, OFFSET_END) for number in range(settings.partitions)])
    consumer.poll(BEGIN_S / 2)  # from here on it knows where the ends are
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        sending = pool.submit(send, settings, load)
        while len(found) < load.calls and time.time() < until:
            message, now = consumer.poll(READ_S), time.time()  # `consume` would wait for more than one
            if message is not None and (number := _called(message, load)) is not None:
                found.setdefault(number, now)
            if sending.done():
                until = min(until, now + DRAIN_S)
        consumer.close()
        return found, sending.result()


def _called(message: Message, load: Load) -> int | None:
    """The number of the event of this load that a trigger answers; None for an error or another trigger."""
    if message.error():
        return None
    event_id = json.loads(message.value())["evidence"]["event_id"] or ""
    prefix = f"{CALL_ID}{load.rate}-"
    return int(event_id.removeprefix(prefix)) if event_id.startswith(prefix) else None


def latencies(load: Load, arrived: Mapping[int, float], warm_s: float) -> NDArray[np.float64]:
    """Latencies, ms, of what was to be sent after the warm-up; without end where no trigger came."""
    calls = (number for number in range(0, load.events, load.calls_every) if number >= warm_s * load.rate)
    return np.array([(arrived.get(number, math.inf) - load.moment(number)) * 1000 for number in calls])
