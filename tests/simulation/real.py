"""The product's own engine, decoder, outputs and rows of the lake, over the simulated broker and tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from random import Random
from typing import Any
from unittest import mock

import pyarrow as pa

from models.decoding import Decoder
from models.layout import Layout
from models.records import Records
from models.shard import Shard
from models.texts import Texts
from sinks.rows import RowMaker
from streams import outputs, sending
from streams.outputs import Item, Outputs
from streams.routing import partition_of
from streams.sending import NO_HEADERS
from streams.troubles import Troubles
from tests.simulation.brokers import SimBatch, Stored
from tests.simulation.delta import DeltaFiles, SimLake
from tests.simulation.processes import EVENTS, SETTINGS, Process
from tests.simulation.runs import Files, sent, state_of
from tests.simulation.world import World
from tests.small_logs import random_records, small_catalogue

RECORDS = 40
KINDS = ("triggers", "decisions", "transitions", "bad-rows")
TABLES = ("events", "triggers", "decisions", "transitions", "bad_rows", "metrics")


class Recorder(Outputs):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__(SETTINGS, small_catalogue(), Troubles())
        self.values: dict[str, list[bytes]] = {SETTINGS.topic(kind): [] for kind in KINDS}

    async def send(self, topic: str, partition: int, timestamp: int, items: Iterable[Item]) -> None:
        self.values[topic] += [value or b"" for _, value, _ in items]

    async def send_records(self, topic: str, partition: int, records: Records, headers: Texts = NO_HEADERS) -> None:
        self.values[topic] += [value or b"" for value in records.values.to_list()]


def batches_of(records: Records, headers: Texts = NO_HEADERS, *, transactional: bool = False) -> Iterator[SimBatch]:
    """In the place of `streams.sending.batches_of`."""
    batch = SimBatch()
    for one in map(records.record, range(records.count)):
        given = {"key": one.key, "value": one.value, "timestamp": one.timestamp, "headers": one.headers}
        if batch.append(**given) is None:
            yield batch
            batch = SimBatch()
            batch.append(**given)
    if batch.records:
        yield batch


class RealKit:
    """Hundreds of seeds a minute."""

    @cached_property
    def layout(self) -> Any:
        return Layout.compile(small_catalogue())

    def patches(self) -> list[Any]:
        return [mock.patch.object(module, "batches_of", batches_of) for module in (sending, outputs)]

    def log(self, random: Random) -> list[tuple[int, int, bytes, bytes]]:
        records = random_records(random.randrange(1 << 30), RECORDS)
        return [
            (
                partition_of(record.key or b"", SETTINGS.partitions),
                record.timestamp,
                record.key or b"",
                record.value or b"",
            )
            for record in records
        ]

    def batch_of(self, records: list[Stored]) -> Any:
        return Records.of(records)

    def new_lake(self, files: Files, process: Process) -> Any:
        return SimLake(files, small_catalogue(), process.world.at_write())

    def differences(self, world: World, files: Files, number: int, records: list[Stored]) -> Iterator[str]:
        shard, decoder = Shard(self.layout, EVENTS, number), Decoder(self.layout.event_layout)
        output = shard.process(decoder.columns(EVENTS, number, Records.of(records)))
        yield from self._topics(world, number, output)
        rows = RowMaker(small_catalogue()).tables(output)
        for name in TABLES:
            right = rows[name].to_pylist() if name in rows else []
            if (found := _rows(files.get(name), number)) != sorted(right, key=repr):
                yield f"partition {number}: {len(found)} rows of {name} in the lake, not {len(right)}: {found}"
        yield from self._state(world, number, shard)

    def _topics(self, world: World, number: int, output: Any) -> Iterator[str]:
        recorder = Recorder()
        with contextlib.suppress(StopIteration):
            recorder.publish(output).send(None)
        for kind in KINDS:
            right = recorder.values[SETTINGS.topic(kind)]
            if (found := list(dict.fromkeys(sent(world, kind, number)))) != right:
                yield f"partition {number}: {len(found)} {kind}, not {len(right)}: {found}"

    def _state(self, world: World, number: int, right: Shard) -> Iterator[str]:
        found = Shard.restore(self.layout, EVENTS, number, state_of(world, number).records())
        if (found.next_offset, found.clock) != (right.next_offset, right.clock):
            yield f"partition {number}: state at {found.next_offset}, not {right.next_offset}"
        for customer in (f"c{n}" for n in range(12)):
            if found.profile(customer) != right.profile(customer):
                yield f"partition {number}: {customer} is {found.profile(customer)}, not {right.profile(customer)}"


def _rows(files: DeltaFiles | None, number: int) -> list[dict[str, Any]]:
    """Rows of a partition, in some order that is always the same."""
    parts: list[pa.Table] = [part for _, part in files.commits] if files else []
    rows = [row for part in parts for row in part.to_pylist() if row["partition"] == number]
    return sorted(rows, key=repr)
