"""A backtest's rate, what the lake's writer takes of it, and how large the lake becomes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from benchmarks.figures.logs import PARTITIONS, SEED, backtested, simulated
from benchmarks.figures.report import paragraph, spread, table
from models.decoding import Decoder
from models.layout import Layout
from models.outputs import BatchOutput
from models.shard import Shard
from sinks.schemas import tables
from sinks.writer import Lake
from streams.backtest import CHUNK_RECORDS, COMMIT_EVENTS
from streams.catalogues import read_catalogue
from streams.record_files import read_records
from streams.routing import Router

TOPIC = "zhice.events"


@dataclass(frozen=True)
class Size:
    """A simulated log; the threads that fold; how often each is run."""

    events: int = 1_000_000
    customers: int = 100_000
    days: int = 30
    threads: tuple[int, ...] = (1, 2)
    runs: int = 3


SMALL = Size(events=3_000, customers=200, days=5, threads=(1,), runs=2)


def backtest(size: Size, folder: Path) -> Iterator[str]:
    """The section's lines, of a backtest."""
    log = simulated(folder, size.events, size.customers, size.days)
    yield from paragraph(
        f"{_words(size)}, folded by so many threads; reading and the lake's commits have a thread each besides."
    )
    rows = [(threads, *_rates(log, folder / "lake", threads, size.runs)) for threads in size.threads]
    yield from table(("threads", "records/s", "CPU, µs a record"), rows)


def _rates(log: Path, lake: Path, threads: int, runs: int) -> tuple[str, str]:
    rates, costs = [], []
    for _ in range(runs):
        shutil.rmtree(lake, ignore_errors=True)
        started, cpu_s = time.monotonic(), time.process_time()
        records = backtested(log, lake, threads)
        rates.append(records / (time.monotonic() - started))
        costs.append((time.process_time() - cpu_s) / records * 1e6)
    return spread(rates), spread(costs)


def lake(size: Size, folder: Path) -> Iterator[str]:
    """The section's lines, of the lake's writer: one thread that adds what shards have put out, and commits it."""
    log, place = simulated(folder, size.events, size.customers, size.days), folder / "lake"
    shutil.rmtree(place, ignore_errors=True)
    catalogue = read_catalogue()
    written = Lake(place, catalogue)
    events, seconds, cpu_s = size.events, 0.0, 0.0
    for outputs in _outputs(log):
        started, before_s = time.monotonic(), time.process_time()
        for output in outputs:
            written.add(output)
        written.commit()
        seconds += time.monotonic() - started
        cpu_s += time.process_time() - before_s
    sizes = {table.name: _size(place / table.name) for table in tables(catalogue)}
    rows, bytes_ = (sum(size[at] for size in sizes.values()) for at in (0, 1))
    yield from paragraph(
        f"{_words(size)}. The writer alone: {rows / seconds:,.0f} rows/s, which are those of "
        f"{events / seconds:,.0f} "
        f"events/s; {cpu_s / events * 1e6:.3g} µs of CPU an event. {bytes_ / events:,.0f} bytes an event:"
    )
    millions = events / 1e6
    found = [
        (name, rows / millions, size / 1e6 / millions, size / max(rows, 1)) for name, (rows, size) in sizes.items()
    ]
    yield from table(("table", "rows a million events", "MB a million events", "bytes a row"), found)


def _outputs(log: Path) -> Iterator[list[BatchOutput]]:
    """What the shards of a log put out, as much as a backtest commits at a time."""
    layout = Layout.compile(read_catalogue())
    decoder, shards = Decoder(layout.event_layout), [Shard(layout, TOPIC, number) for number in range(PARTITIONS)]
    waiting: list[BatchOutput] = []
    events = 0
    for logs in Router(PARTITIONS).logs(read_records(log)):
        for shard, part in zip(shards, logs, strict=True):
            for first in range(0, part.count, CHUNK_RECORDS):
                chunk = part.take(slice(first, first + CHUNK_RECORDS))
                waiting.append(shard.process(decoder.columns(TOPIC, shard.partition, chunk)))
            events += part.events
        if events >= COMMIT_EVENTS:
            yield waiting
            waiting, events = [], 0
    yield [*waiting, *(shard.finish() for shard in shards)]


def _size(place: Path) -> tuple[int, int]:
    """Rows and bytes of a table."""
    delta = DeltaTable(place)
    return int(delta.count()), sum(Path(file).stat().st_size for file in delta.file_uris())


def _words(size: Size) -> str:
    return f"{size.events:,} simulated events of {size.customers:,} customers over {size.days} days (seed {SEED})"
