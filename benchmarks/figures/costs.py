"""What an event costs in decoder and engine, against the number of features and of customers; memory a customer.

Without a broker and a lake, in one thread: CPU time does not depend on what else the machine does. Each measurement is
a process of its own, since memory that was given back would hide what the next one takes.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.figures.report import Cell, paragraph, table
from benchmarks.recovery import EVENTS, write_events
from models.decoding import Decoder
from models.layout import Layout
from models.shard import Shard
from streams.catalogues import read_catalogue
from streams.record_files import read_records
from streams.routing import Router

TOPIC = "zhice.events"
CHUNK_RECORDS = 20_000
STEP = 999_983  # a prime that divides no number of customers
STATUS = Path("/proc/self/status")
AGGREGATES = (("count", ""), ("sum", "amount"), ("max", "amount"), ("last", "amount"), ("min", "amount"))
WINDOWS = ("", "1h", "24h", "7d")
HEAD = ("events/s a core", "µs an event", "decoder, µs", "bytes of a customer's row", "memory a customer, bytes")


@dataclass(frozen=True)
class Size:
    """Customers for retail_bank; features of made catalogues and their customers; events that are timed."""

    customers: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    features: tuple[int, ...] = (64, 256, 640, 1_024)
    few: int = 5_000
    events: int = 300_000


SMALL = Size(customers=(100, 200), features=(4, 8), few=50, events=400)


@dataclass(frozen=True)
class Cost:
    """CPU time in µs an event, and bytes a customer."""

    decoder_us: float
    shard_us: float
    row_bytes: float
    memory_bytes: float

    def cells(self) -> list[Cell]:
        whole_us = self.decoder_us + self.shard_us
        return [1e6 / whole_us, whole_us, self.decoder_us, self.row_bytes, self.memory_bytes]


def measure(size: Size, folder: Path) -> Iterator[str]:
    """The section's lines."""
    yield from paragraph(
        "Decoder and shard in one thread, CPU time; every customer is known before, and the events "
        "that are timed have "
        "one record time: no snapshots. Memory a customer is what the process grew by while it met "
        "them, one event each."
    )
    rows: list[list[Cell]] = []
    for customers in size.customers:
        found = alone(folder, "", customers, size.events)
        rows.append(["retail_bank", len(read_catalogue().features), customers, *found.cells()])
    for features in size.features:
        catalogue = folder / f"features-{features}.toml"
        catalogue.write_text(made(features), encoding="utf-8")
        rows.append(["made", features, size.few, *alone(folder, str(catalogue), size.few, size.events).cells()])
    yield from table(("catalogue", "features", "customers", *HEAD), rows)


def alone(folder: Path, catalogue: str, customers: int, events: int) -> Cost:
    """`cost` in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(cost, folder, catalogue, customers, events).result()


def cost(folder: Path, catalogue: str, customers: int, events: int) -> Cost:
    """Meet the customers, then time events of theirs, in an order that jumps from row to row."""
    layout, file = Layout.compile(read_catalogue(catalogue)), folder / "events.jsonl"
    decoder, shard = Decoder(layout.event_layout), Shard(layout, TOPIC, 0)
    write_events(folder / "few.jsonl", [(0, 0)])
    run(folder / "few.jsonl", decoder, Shard(layout, TOPIC, 0))  # kernels are loaded
    write_events(file, ((0, number) for number in range(customers)))
    before = resident_bytes()
    run(file, decoder, shard)
    memory = (resident_bytes() - before) / customers
    write_events(file, ((1 + number // customers, number * STEP % customers) for number in range(events)))
    decoder_us, shard_us, count = run(file, decoder, shard)
    row_bytes = shard.rows.state.customers[0].nbytes
    return Cost(decoder_us / count, shard_us / count, row_bytes, memory)


def run(file: Path, decoder: Decoder, shard: Shard) -> tuple[float, float, int]:
    """Decode and process a file in one partition; returns the CPU time of both, µs, and the number of records."""
    decoder_ns = shard_ns = count = 0
    for records in (log for logs in Router(1).logs(read_records(file)) for log in logs):
        for first in range(0, records.count, CHUNK_RECORDS):
            chunk = records.take(slice(first, first + CHUNK_RECORDS))
            started = time.thread_time_ns()
            columns = decoder.columns(TOPIC, 0, chunk)
            decoded = time.thread_time_ns()
            shard.process(columns)
            decoder_ns += decoded - started
            shard_ns += time.thread_time_ns() - decoded
            count += chunk.count
    return decoder_ns / 1000, shard_ns / 1000, count


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def made(features: int) -> str:
    """A catalogue with so many features, of several aggregates and windows, over the types of the events."""
    head = '[catalogue]\nname = "made"\ntime_zone = "Asia/Shanghai"\n'
    events = "".join(f'[[event]]\nname = "{name}"\n[event.properties]\namount = "number"\n' for name, _ in EVENTS)
    return head + events + "".join(_feature(number) for number in range(features))


def _feature(number: int) -> str:
    kinds = list(product(AGGREGATES, WINDOWS))
    (aggregate, value), window = kinds[number // len(EVENTS) % len(kinds)]
    event, threshold = EVENTS[number % len(EVENTS)][0], number // len(EVENTS) // len(kinds) * 1_000
    optional = (f'value = "{value}"\n' if value else "") + (f'window = "{window}"\n' if window else "")
    return (
        f'[[feature]]\nname = "feature_{number}"\nentity = "customer"\non = ["{event}"]\n'
        f'where = "COALESCE(amount, 0) >= {threshold}"\naggregate = "{aggregate}"\n{optional}'
    )
