"""Toys in the place of what costs time and decides nothing about durability: the engine, Arrow and the files of Delta.

The shard counts each customer's events in a dict; each event puts out a trigger that names the count. So an event that
is lost or counted twice shows in the state and in every later trigger. The lake is the product's own, over tables that
are lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from deltalake.exceptions import CommitFailedError

from models.shard_state import CLOSING_KEY
from sinks.writer import Lake
from streams.outputs import Outputs

CUSTOMERS = 4
TABLES = ("events", "triggers")


class Columns:
    """Of a record batch."""

    bad_rows: tuple[Any, ...] = ()

    def __init__(self, topic: str, partition: int, records: Sequence[Any]) -> None:
        self.topic, self.partition, self.records = topic, partition, records

    def __len__(self) -> int:
        return len(self.records)


class Decoder:
    def __init__(self, layout: Any) -> None: ...

    def columns(self, topic: str, partition: int, records: Sequence[Any]) -> Columns:
        return Columns(topic, partition, records)


class Shard:
    """`counts` by customer; a page holds one customer."""

    def __init__(self, layout: Any, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.counts: dict[str, int] = {}
        self.next_offset, self.clock = 0, 0
        self.rows = SimpleNamespace(customer_ids=self.counts)
        self.unfinished: set[str] = set()
        self._dirty: set[str] = set()

    def process(self, columns: Columns) -> SimpleNamespace:
        first = columns.records[0].offset
        assert first >= self.next_offset, "a record again"
        triggers = []
        for record in columns.records:
            customer = record.key.decode()
            self.counts[customer] = count = self.counts.get(customer, 0) + 1
            self._dirty.add(customer)
            triggers.append((record.offset, f"{self.partition}/{record.offset} {customer}={count}"))
        self.next_offset = columns.records[-1].offset + 1
        self.clock = columns.records[-1].timestamp
        return self._output(columns, triggers)

    def finish(self, *, end: bool = True) -> SimpleNamespace:
        return self._output(Columns(self.topic, self.partition, ()), [])

    def _output(self, columns: Columns, triggers: list[tuple[int, str]]) -> SimpleNamespace:
        return SimpleNamespace(
            columns=columns, partition=self.partition, next_offset=self.next_offset, clock=self.clock, triggers=triggers
        )

    def changed_profiles(self) -> list[Any]:
        return []

    def dump(self) -> list[tuple[bytes, bytes]]:
        pages = sorted(self._dirty | self.unfinished)
        self._dirty, self.unfinished = set(), set()
        closing = json.dumps([self.next_offset, self.clock]).encode()
        return [*((name.encode(), b"%d" % self.counts.get(name, 0)) for name in pages), (CLOSING_KEY, closing)]

    @classmethod
    def restore(cls, layout: Any, topic: str, partition: int, records: Iterable[tuple[bytes, bytes]]) -> Shard:
        shard, pages, closed = cls(layout, topic, partition), {}, False
        for key, value in records:
            if key == CLOSING_KEY:
                closed = True
                shard.next_offset, shard.clock = json.loads(value)
                shard.counts |= {name.decode(): int(count) for name, count in pages.items() if int(count)}
                pages = {}
            else:
                pages[key] = value
        shard.unfinished = {name.decode() for name in pages}
        assert closed or not shard.counts
        return shard


async def publish(self: Outputs, output: Any) -> None:
    """In the place of `Outputs.publish`, which encodes."""
    items = [(text.split()[1].encode(), text.encode(), []) for _, text in output.triggers]
    await self.send(self.settings.topic("triggers"), output.partition, output.clock, items)


class Rows:
    """A table of Arrow, as far as the writer of the lake looks: (offset, value) pairs."""

    def __init__(self, rows: list[tuple[int, str]]) -> None:
        self.rows = rows

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[int]:
        assert name == "offset"
        return [offset for offset, _ in self.rows]

    def filter(self, kept: list[bool]) -> Rows:
        return Rows([row for row, keep in zip(self.rows, kept, strict=True) if keep])


# In the place of pyarrow and pyarrow.compute in sinks/writer.py.
arrow = SimpleNamespace(concat_tables=lambda tables: Rows([row for table in tables for row in table.rows]))
compute = SimpleNamespace(
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


class DeltaFiles:
    """What all processes share of one table: its commits, and what a transaction of an app last said."""

    def __init__(self) -> None:
        self.commits: list[tuple[dict[str, int], Any]] = []

    def transactions(self, version: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for said, _ in self.commits[:version]:
            found |= said
        return found


class DeltaSnapshot:
    """deltalake's DeltaTable: the table as it was when it was last looked at."""

    def __init__(self, files: DeltaFiles) -> None:
        self.files = files
        self.update_incremental()

    def update_incremental(self) -> None:
        self.version = len(self.files.commits)

    def transaction_version(self, app: str) -> int | None:
        return self.files.transactions(self.version).get(app)

    def append(self, rows: Any, said: dict[str, int]) -> None:
        """Raises CommitFailedError where a commit since then has a transaction of the same app."""
        since = [apps for apps, _ in self.files.commits[self.version :]]
        if any(app in apps for apps in since for app in said):
            raise CommitFailedError("Concurrent transaction failed")
        self.files.commits.append((dict(said), rows))
        self.update_incremental()


class SimLake(Lake):
    """The product's lake over tables in memory. `before_write` may kill the process, or raise OSError."""

    def __init__(self, files: dict[str, DeltaFiles], catalogue: Any, before_write: Callable[[str], None]) -> None:
        self._files, self._before_write = files, before_write
        super().__init__("nowhere", catalogue)

    def _describe(self) -> None: ...

    def _open(self, table: Any) -> Any:
        return DeltaSnapshot(self._files.setdefault(table.name, DeltaFiles()))

    def _sorted(self, table: Any, rows: Any) -> Any:
        return rows

    def _write(self, delta: Any, rows: Any, moved: dict[str, int]) -> None:
        self._before_write("before")
        delta.append(rows, moved)
        self._before_write("after")


def tables(catalogue: Any) -> list[Any]:
    """In the place of sinks.schemas.tables."""
    return [SimpleNamespace(name=name) for name in TABLES]
