"""Backtest: the same records through the same shards, without a broker; a process a core, each with its partitions."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.decoding import Decoder
from models.layout import Layout
from models.records import Record
from models.shard import Shard
from sinks.writer import Lake
from streams.catalogues import read_catalogue
from streams.collector import set_collector
from streams.record_files import read_records
from streams.routing import CHUNK_RECORDS, Router

COMMIT_RECORDS = 1_000_000  # that one process keeps in memory before the lake takes them


@dataclass(frozen=True)
class Backtest:
    """What to run: a record file, the catalogue's path, the lake's folder, and the log's shape."""

    records: str
    catalogue: str
    lake: str
    topic: str
    partitions: int


def run(backtest: Backtest, processes: int, progress: Callable[[int], None]) -> int:
    """Run it; calls progress(records) as it goes. Returns the number of records."""
    context = multiprocessing.get_context("spawn")
    counts = context.SimpleQueue()
    parts = [
        context.Process(target=_run_part, args=(backtest, part, processes, counts), daemon=True)
        for part in range(processes)
    ]
    for part in parts:
        part.start()
    total = _collect(parts, counts, progress)
    Lake(backtest.lake, read_catalogue(backtest.catalogue)).compact()
    return total


class BacktestError(RuntimeError):
    """A part of the backtest failed; its traceback has been printed."""


def _collect(parts: list[multiprocessing.Process], counts: object, progress: Callable[[int], None]) -> int:
    total, running = 0, len(parts)
    while running:
        count = counts.get()
        if count is None:
            running -= 1
            continue
        if isinstance(count, str):
            for part in parts:
                part.terminate()
            raise BacktestError(count)
        total += count
        progress(count)
    for part in parts:
        part.join()
    return total


def _run_part(backtest: Backtest, part: int, processes: int, counts: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    set_collector()
    try:
        catalogue = read_catalogue(backtest.catalogue)
        layout, lake = Layout.compile(catalogue), Lake(backtest.lake, catalogue)
        _fold(backtest, part, processes, layout, lake, counts.put)
        counts.put(None)
    except BaseException as error:
        counts.put(f"{type(error).__name__}: {error}")
        raise


def _fold(
    backtest: Backtest, part: int, processes: int, layout: Layout, lake: Lake, progress: Callable[[int], None]
) -> None:
    decoder = Decoder(layout.event_layout)
    numbers = range(part, backtest.partitions, processes)
    shards = {number: Shard(layout, backtest.topic, number) for number in numbers}
    waiting = 0
    for number, records in _records(backtest, numbers):
        lake.add(shards[number].process(decoder.columns(backtest.topic, number, records)))
        progress(len(records))
        waiting += len(records)
        if waiting > COMMIT_RECORDS:
            lake.commit()
            waiting = 0
    for shard in shards.values():
        lake.add(shard.finish())
    lake.commit()


def _records(backtest: Backtest, numbers: range) -> Iterator[tuple[int, list[Record]]]:
    for logs in Router(backtest.partitions).logs(read_records(Path(backtest.records))):
        for number in numbers:
            log = logs[number]
            for first in range(0, len(log), CHUNK_RECORDS):
                yield number, log[first : first + CHUNK_RECORDS]
