"""Backtest: the same records through the same shards, without a broker.

One thread reads and routes, some fold, each with its own partitions, and one commits the lake: kernels, Arrow and Delta
run without the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from models.decoding import Decoder
from models.layout import Layout
from models.outputs import BatchOutput
from models.records import Records
from models.shard import Shard
from sinks.compaction import compact
from sinks.writer import Lake
from streams.catalogues import read_catalogue
from streams.collector import set_collector
from streams.lanes import Lane
from streams.record_files import read_records
from streams.routing import Router

CHUNK_RECORDS = 32_768  # of one partition that are folded at once, at most
QUEUED = 4  # chunks that may wait for a thread
COMMIT_EVENTS = 100_000  # read between two commits of the lake: twice as many may be in memory; ticks bring it no rows


@dataclass(frozen=True)
class Backtest:
    """What to run: a record file, the catalogue's path, the lake's folder, and the log's shape."""

    records: str
    catalogue: str
    lake: str
    topic: str
    partitions: int


def run(backtest: Backtest, threads: int, done: Callable[[BatchOutput], None]) -> int:
    """Run it with so many folding threads; they call done(what a shard put out) as they go.

    Returns the number of records of the log, ticks among them.

    Raises what reading, folding or committing failed with; the lake then has what was committed before.
    """
    set_collector()
    catalogue = read_catalogue(backtest.catalogue)
    layout, lake = Layout.compile(catalogue), Lake(backtest.lake, catalogue, topic=backtest.topic)
    lake.begin(backtest.topic, backtest.partitions)
    with ExitStack() as stack:
        lanes = [stack.enter_context(Lane(QUEUED)) for _ in range(threads)]
        commits = stack.enter_context(Lane(1))
        folds = [Fold(layout, backtest.topic, lake, done) for _ in lanes]
        total = events = 0
        for number, records in _chunks(backtest):
            lanes[number % threads].put(folds[number % threads].take, number, records)
            total += records.count
            events += records.events
            if events >= COMMIT_EVENTS:
                commits.put(lake.commit)
                events = 0
        for lane, fold in zip(lanes, folds, strict=True):
            lane.put(fold.finish)
        for lane in (*lanes, commits):
            lane.settle()
    lake.commit()
    compact(lake.path)
    return total


def _chunks(backtest: Backtest) -> Iterator[tuple[int, Records]]:
    for logs in Router(backtest.partitions).logs(read_records(Path(backtest.records))):
        for number, log in enumerate(logs):
            for first in range(0, log.count, CHUNK_RECORDS):
                yield number, log.take(slice(first, first + CHUNK_RECORDS))


class Fold:
    """The shards of one thread."""

    def __init__(self, layout: Layout, topic: str, lake: Lake, done: Callable[[BatchOutput], None]) -> None:
        self.layout, self.topic, self.lake, self.done = layout, topic, lake, done
        self.decoder = Decoder(layout.event_layout)
        self.shards: dict[int, Shard] = {}

    def take(self, number: int, records: Records) -> None:
        """Apply the next records of a partition."""
        if number not in self.shards:
            self.shards[number] = Shard(self.layout, self.topic, number)
        shard = self.shards[number]
        output = shard.process(self.decoder.columns(self.topic, number, records))
        self.lake.add(output)
        self.done(output)

    def finish(self) -> None:
        """Take the last snapshots, at the end of the log."""
        for shard in self.shards.values():
            self.lake.add(shard.finish())
