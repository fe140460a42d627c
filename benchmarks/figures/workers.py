"""The rate of one and of two workers on Apache Kafka, against the number of partitions.

All events are there before a worker starts. Its clock runs from when a tenth of them is done, so that joining the
group and loading kernels are not in it, to when all are.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.figures.logs import SEED, simulated
from benchmarks.figures.report import Cell, paragraph, spread, table
from benchmarks.workers import Worker, ended
from streams.kafka_broker import ApacheKafka
from streams.producing import produce
from streams.settings import Settings
from streams.topics import ensure_topics

POLL_S = 0.2
TIMEOUT_S = 900.0
BEGIN = 0.1  # of the log


@dataclass(frozen=True)
class Size:
    """A simulated log; workers and partitions."""

    events: int = 500_000
    customers: int = 50_000
    days: int = 30
    workers: tuple[int, ...] = (1, 2)
    partitions: tuple[int, ...] = (1, 4, 16, 32)
    runs: int = 3


SMALL = Size(events=20_000, customers=1_000, days=2, workers=(2,), partitions=(2,), runs=1)


def measure(size: Size, folder: Path) -> Iterator[str]:
    """The section's lines."""
    log = simulated(folder, size.events, size.customers, size.days)
    yield from paragraph(
        f"{size.events:,} simulated events of {size.customers:,} customers over {size.days} days (seed "
        f"{SEED}), sent before "
        "the workers start; from when a tenth of them is done. Broker and workers share the machine."
    )
    rows: list[list[Cell]] = []
    for partitions, workers in product(size.partitions, size.workers):
        if workers <= partitions:
            rates = [_rate(log, partitions, workers) for _ in range(size.runs)]
            rows.append([partitions, workers, spread(rates)])
    yield from table(("partitions", "workers", "records/s"), rows)


def _rate(log: Path, partitions: int, workers: int) -> float:
    """Once, on a broker of its own: records/s."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zhice-rate-")))
        broker = stack.enter_context(ApacheKafka())
        settings = Settings(
            broker=broker.address, lake=str(folder / "lake"), partitions=partitions, tick_ms=0, rebalance_timeout_s=3.0
        )
        ensure_topics(settings, keep_forever=True)
        records = sum(produce(settings, str(log)))
        started = [stack.enter_context(ended(Worker(settings, f"w{number}", folder))) for number in range(workers)]
        begun, at = _wait_for(started, BEGIN * records)
        done, end = _wait_for(started, records)
        return (done - begun) / (end - at)


def _wait_for(workers: list[Worker], records: float) -> tuple[float, float]:
    """Until so many records are done: how many there are, and when that was. Raises SystemExit."""
    deadline = time.monotonic() + TIMEOUT_S
    while (done := sum(_done(worker) for worker in workers)) < records:
        if time.monotonic() > deadline:
            raise SystemExit(f"{done:,.0f} of {records:,.0f} records within {TIMEOUT_S:g} s:\n{workers[0].tail()}")
        time.sleep(POLL_S)
    return done, time.monotonic()


def _done(worker: Worker) -> float:
    return worker.metric("zhice_records_total") if worker.health() else 0.0
