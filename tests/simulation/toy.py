"""Toys in the place of what costs time and decides nothing about durability: the engine, Arrow and the files of Delta.

The shard counts each customer's events in a dict; each event puts out a trigger that names the count. So an event that
is lost or counted twice shows in the state and in every later trigger. Every other trigger is held, and put out with
the next event. The lake is the product's own, over tables that are lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from models.shard_state import CLOSING_KEY
from sinks import parts, writer
from streams import outputs, recovery, worker
from streams.outputs import Outputs
from tests.simulation.brokers import Stored
from tests.simulation.delta import DeltaFiles, SimLake
from tests.simulation.processes import EVENTS, SETTINGS, Process
from tests.simulation.runs import Files, sent, state_of
from tests.simulation.world import World

CUSTOMERS = 4
TABLES = ("events", "triggers")
RECORD_BYTES = 1 << 18  # four of them are joined at most


class Trigger(NamedTuple):
    offset: int
    text: str
    moment: int  # offset of the event with which it was put out


class Columns:
    """Of a record batch."""

    bad_rows: tuple[Any, ...] = ()

    def __init__(self, topic: str, partition: int, records: Sequence[Any]) -> None:
        self.topic, self.partition, self.records = topic, partition, records

    def __len__(self) -> int:
        return len(self.records)

    @property
    def data(self) -> range:
        """As long as the bytes of its records; so few may be joined with others that some are, and some are not."""
        return range(len(self.records) * RECORD_BYTES)


class Output:
    """models.outputs.BatchOutput, as far as the worker and the lake look."""

    def __init__(self, columns: Columns, next_offset: int, clock: int, triggers: list[Trigger]) -> None:
        self.columns, self.partition, self.triggers = columns, columns.partition, triggers
        self.next_offset, self.clock = next_offset, clock

    @property
    def first_offset(self) -> int:
        return int(self.columns.records[0].offset) if len(self.columns) else self.next_offset

    @property
    def rows(self) -> int:
        return len(self.columns) + len(self.triggers)

    @classmethod
    def joined(cls, parts: Sequence[Output]) -> Output:
        first, last = parts[0].columns, parts[-1]
        records = [record for part in parts for record in part.columns.records]
        triggers = [trigger for part in parts for trigger in part.triggers]
        return cls(Columns(first.topic, first.partition, records), last.next_offset, last.clock, triggers)


class Batch:
    """models.records.Records, as far as the worker looks."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = records

    @property
    def count(self) -> int:
        return len(self.records)

    @property
    def offset(self) -> list[int]:
        return [record.offset for record in self.records]

    @property
    def timestamp(self) -> list[int]:
        return [record.timestamp for record in self.records]

    def since(self, offset: int) -> Batch:
        return Batch([record for record in self.records if record.offset >= offset])

    def take(self, rows: slice) -> Batch:
        return Batch(self.records[rows])


class Decoder:
    def __init__(self, layout: Any) -> None: ...

    def columns(self, topic: str, partition: int, records: Batch) -> Columns:
        return Columns(topic, partition, records.records)


class Shard:
    """`counts` by customer; a page holds one customer."""

    def __init__(self, layout: Any, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.counts: dict[str, int] = {}
        self.held: list[tuple[int, str]] = []
        self.next_offset, self.clock = 0, 0
        self.rows = SimpleNamespace(customers=SimpleNamespace(count=0))
        self.migration: tuple[str, ...] = ()
        self.unfinished: set[str] = set()
        self._dirty: set[str] = set()

    def process(self, columns: Columns) -> Output:
        first = columns.records[0].offset
        assert first >= self.next_offset, "a record again"
        triggers = []
        for record in columns.records:
            customer = record.key.decode()
            self.counts[customer] = count = self.counts.get(customer, 0) + 1
            self._dirty.add(customer)
            triggers += [Trigger(*held, record.offset) for held in self.held]
            made = record.offset, f"{self.partition}/{record.offset} {customer}={count}"
            self.held = [made] if count % 2 else []
            triggers += [] if self.held else [Trigger(*made, record.offset)]
        self.next_offset = columns.records[-1].offset + 1
        self.clock = columns.records[-1].timestamp
        return self._output(columns, triggers)

    def finish(self, *, end: bool = True) -> Output:
        return self._output(Columns(self.topic, self.partition, ()), [])

    def _output(self, columns: Columns, triggers: list[Trigger]) -> Output:
        return Output(columns, self.next_offset, self.clock, triggers)

    def changed_profiles(self) -> list[Any]:
        return []

    def dump(self) -> list[tuple[bytes, bytes]]:
        pages = sorted(self._dirty | self.unfinished)
        self._dirty, self.unfinished = set(), set()
        closing = json.dumps([self.next_offset, self.clock, self.held]).encode()
        return [*((name.encode(), b"%d" % self.counts.get(name, 0)) for name in pages), (CLOSING_KEY, closing)]

    @classmethod
    def restore(cls, layout: Any, topic: str, partition: int, records: Iterable[tuple[bytes, bytes]]) -> Shard:
        shard, pages, closed = cls(layout, topic, partition), {}, False
        for key, value in records:
            if key == CLOSING_KEY:
                closed = True
                shard.next_offset, shard.clock, held = json.loads(value)
                shard.held = [(offset, text) for offset, text in held]
                shard.counts |= {name.decode(): int(count) for name, count in pages.items() if int(count)}
                pages = {}
            else:
                pages[key] = value
        shard.unfinished = {name.decode() for name in pages}
        assert closed or not shard.counts
        return shard


async def publish(self: Outputs, output: Any) -> None:
    """In the place of `Outputs.publish`, which encodes."""
    items = [(one.text.split()[1].encode(), one.text.encode(), []) for one in output.triggers]
    await self.send(self.settings.topic("triggers"), output.partition, output.clock, items)


class Rows:
    """A table of Arrow, as far as the writer of the lake looks: (offset, value) pairs, or triggers."""

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.rows = rows

    @property
    def column_names(self) -> Sequence[str]:
        return Trigger._fields if self.rows and isinstance(self.rows[0], Trigger) else ("offset", "text")

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[int]:
        at = self.column_names.index(name)
        return [row[at] for row in self.rows]

    def filter(self, kept: list[bool]) -> Rows:
        return Rows([row for row, keep in zip(self.rows, kept, strict=True) if keep])


# In the place of pyarrow in sinks/writer.py, and of pyarrow.compute in sinks/parts.py.
arrow = SimpleNamespace(concat_tables=lambda tables: Rows([row for table in tables for row in table.rows]))
compute = SimpleNamespace(
    min=lambda values: SimpleNamespace(as_py=lambda: min(values, default=None)),
    multiply=lambda values, factor: [value * factor for value in values],
    subtract=lambda values, less: [value - less for value in values],
    greater=lambda values, limit: [value > limit for value in values],
)


class RowMaker:
    def __init__(self, catalogue: Any) -> None: ...

    def tables(self, output: Any) -> dict[str, Rows]:
        number = output.partition
        events = Rows([(record.offset, f"{number}/{record.offset}") for record in output.columns.records])
        triggers = Rows(list(output.triggers))
        return {name: rows for name, rows in (("events", events), ("triggers", triggers)) if rows.num_rows}


def tables(catalogue: Any) -> list[Any]:
    """In the place of sinks.schemas.tables."""
    return [SimpleNamespace(name=name) for name in TABLES]


class Telemetry:
    """streams.telemetry.Telemetry counts for Prometheus; here nobody asks."""

    def __init__(self, rules: Any) -> None: ...

    def batch(self, output: Any) -> None: ...

    def checkpointed(self, took_s: float) -> None: ...

    def lake_commit(self) -> AbstractContextManager[None]:
        return nullcontext()

    def restoring(self) -> AbstractContextManager[None]:
        return nullcontext()


class ToyKit:
    """Thousands of seeds a minute."""

    layout = SimpleNamespace(event_layout=None, catalogue=SimpleNamespace(journeys=(), rules=()))

    def patches(self) -> list[Any]:
        return [
            mock.patch.object(outputs.Outputs, "publish", publish),
            mock.patch.object(worker, "Decoder", Decoder),
            mock.patch.object(worker.Worker, "_keep_strays", lambda self, columns, records: None),
            mock.patch.object(worker, "Telemetry", Telemetry),
            mock.patch.object(recovery, "Shard", Shard),
            mock.patch.object(writer, "RowMaker", RowMaker),
            mock.patch.object(writer, "tables", tables),
            mock.patch.object(writer, "pa", arrow),
            mock.patch.object(parts, "pc", compute),
            mock.patch.object(parts, "kept", lambda rows, where: rows.filter(where)),
            mock.patch.object(parts, "BatchOutput", Output),
        ]

    def log(self, random: Random) -> list[tuple[int, int, bytes, bytes]]:
        keys = [b"c%d" % random.randrange(CUSTOMERS) for _ in range(random.randint(4, 14))]
        return [(random.randrange(SETTINGS.partitions), at, key, key) for at, key in enumerate(keys)]

    def batch_of(self, records: list[Stored]) -> Any:
        return Batch(records)

    def new_lake(self, files: Files, process: Process) -> Any:
        return SimLake(files, None, process.world.at_write())

    def differences(self, world: World, files: Files, number: int, records: list[Stored]) -> Iterator[str]:
        shard = Shard(None, EVENTS, number)
        triggers = shard.process(Columns(EVENTS, number, records)).triggers
        found = [value.decode() for value in dict.fromkeys(sent(world, "triggers", number))]
        if found != [one.text for one in triggers]:
            yield f"partition {number}: triggers {found}, not {triggers}"
        events = [(record.offset, f"{number}/{record.offset}") for record in records]
        for name, right in (("events", events), ("triggers", triggers)):
            if (rows := _rows(files[name], number)) != right:
                yield f"partition {number}: {name} in the lake {rows}, not {right}"
        state = Shard.restore(None, EVENTS, number, state_of(world, number).records())
        if (state.counts, state.held, state.next_offset) != (shard.counts, shard.held, shard.next_offset):
            yield f"partition {number}: state {state.counts} at {state.next_offset}, not {shard.counts}"


def _rows(files: DeltaFiles, number: int) -> list[tuple[int, str]]:
    """Rows of a partition; their text begins with its number."""
    rows = [row for _, part in files.commits for row in part.rows]
    return sorted(row for row in rows if row[1].startswith(f"{number}/"))
