"""The writer of the lake: one Delta table a dataset, appended by commits that cannot be repeated.

Each commit carries, for every partition of the source, how far the table is (an app transaction, see
`rows.position_of`). What a replay puts out again is at or below that and is dropped. A commit that another writer of
the same partition has overtaken is refused; it looks at the table again and adds what is still missing.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from models.catalogue import Catalogue
from models.errors import UserError
from models.outputs import BatchOutput
from sinks.about import known_of_lake, other_than
from sinks.day_files import remove, write_days
from sinks.durable import sync_log
from sinks.parts import SMALL_BYTES, Added, Gathering, Part, gathered, let_go, source_of
from sinks.rows import POSITIONS, RowMaker, position_of
from sinks.schemas import ABOUT, DAY, EVENTS, LakeTable, tables

ATTEMPTS: Final = 20  # of a commit that other writers overtake


class LakeError(UserError):
    """The lake cannot be written; nothing is lost, the same rows are tried again with the next commit."""


class Lake:
    """Buffers outputs and commits them. `add` and `commit` may run in two threads; two commits may not."""

    def __init__(
        self, path: str | Path, catalogue: Catalogue, *, topic: str | None = None, durable: bool = False
    ) -> None:
        """Open or create the tables, for the events of a topic. Raises LakeError, NoLakeError.

        What is committed to a `durable` one outlives a power failure.
        """
        self.path, self.catalogue, self.durable = Path(path), catalogue, durable
        self._make = RowMaker(catalogue)
        self._lock = threading.Lock()
        self._small = Gathering(SMALL_BYTES)
        self._added: list[Added] = []
        self._added_rows = self._taken_rows = 0  # that no commit has begun with; that one has, or has failed with
        self._rows: dict[str, list[Part]] = {}  # of each table, for the commit that runs or the next one
        self._positions: dict[str, int] = {}
        try:
            known = self._check_is_of(catalogue, topic)
            self._tables = {table.name: (table, self._open(table)) for table in tables(catalogue)}
            self._describe(topic or known.get("topic"))
        except (OSError, DeltaError) as error:
            raise LakeError(f"the lake at {self.path} cannot be opened: {error}") from error
        self._committed: dict[tuple[str, str], int] = {}
        self._synced = {name: delta.version() for name, (_, delta) in self._tables.items()} if durable else {}

    def _open(self, table: LakeTable) -> DeltaTable:
        place = self.path / table.name
        place.mkdir(parents=True, exist_ok=True)
        delta = DeltaTable.create(place, table.schema, mode="ignore", partition_by=[DAY])
        self._add_columns(table, delta)
        return delta

    def _add_columns(self, table: LakeTable, delta: DeltaTable) -> None:
        """Add what a changed catalogue has and the table has not, unless another worker is faster."""
        for attempt in range(1, ATTEMPTS + 1):
            missing = self._missing(table, delta)
            if not missing:
                return
            try:
                delta.alter.add_columns(missing)
            except CommitFailedError:
                if attempt == ATTEMPTS:
                    raise
                delta.update_incremental()

    def _missing(self, table: LakeTable, delta: DeltaTable) -> list[Field]:
        """Columns that the table has not. Raises LakeError for one that it has with another type."""
        has = {field.name: field.type for field in delta.schema().fields}
        wanted = Schema.from_arrow(table.schema).fields
        for field in wanted:
            if has.get(field.name, field.type) != field.type:
                raise LakeError(
                    f"the table {table.name} of the lake at {self.path} has {field.name} as {has[field.name].type}, "
                    f"not {field.type.type}; give the new one another name"
                )
        return [field for field in wanted if field.name not in has]

    def _check_is_of(self, catalogue: Catalogue, topic: str | None) -> dict[str, Any]:
        """What it is of. Raises LakeError where that is another catalogue, time zone or topic: rows would be mixed."""
        known = known_of_lake(self.path)
        wanted = {"catalogue": catalogue.name, "time_zone": catalogue.time_zone, "topic": topic}
        if other := other_than(known, wanted):
            raise LakeError(f"the lake at {self.path} {other}; take another folder for the lake")
        return known

    def _describe(self, topic: str | None) -> None:
        """Say what it is of, once its tables are those of the catalogue."""
        about = {
            "topic": topic,
            "catalogue": self.catalogue.name,
            "catalogue_version": self.catalogue.version,
            "time_zone": self.catalogue.time_zone,
            "journeys": {journey.name: list(journey.stages) for journey in self.catalogue.journeys},
            "goals": {
                rule.name: {"event": rule.goal.event, "within_ms": rule.goal.within_ms}
                for rule in self.catalogue.rules
                if rule.goal is not None
            },
            "contact_limits": [limit.name for limit in self.catalogue.contact_limits],
            "holdouts": [holdout.name for holdout in self.catalogue.holdouts],
        }
        file = self.path / ABOUT
        written = file.with_name(f".{ABOUT}.{os.getpid()}")  # several processes may open a lake at once
        written.write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
        written.replace(file)

    def add(self, output: BatchOutput) -> None:
        """Keep an output for the next commit; what of it was added before, as a replay brings it, is left out there."""
        source = source_of(output)
        with self._lock:
            before = self._positions.get(source, -1)
            self._added += self._small.add(Added(output, before))
            self._added_rows += output.rows
            self._positions[source] = max(position_of(output), before)

    @property
    def waiting(self) -> int:
        """Rows that are in no commit yet."""
        with self._lock:
            return self._added_rows + self._taken_rows

    def position(self, name: str, source: str) -> int:
        """How far a table is with a source (`topic-partition`); -1 when it has nothing of it."""
        if (name, source) not in self._committed:
            version = self._tables[name][1].transaction_version(source)
            self._committed[name, source] = -1 if version is None else version
        return self._committed[name, source]

    def positions(self, topic: str, partition: int) -> dict[str, int]:
        """How far each table is with a partition, of those that have something of it."""
        found = {name: self.position(name, f"{topic}-{partition}") for name in self._tables}
        return {name: at for name, at in found.items() if at >= 0}

    def behind(self, topic: str, partition: int, noted: Mapping[str, int]) -> list[str]:
        """The tables that are not as far as they were when `positions` was noted. Raises LakeError."""
        source = f"{topic}-{partition}"
        known = {name: at for name, at in noted.items() if name in self._tables}
        return [name for name, at in known.items() if self._position_from(at, name, source) < at]

    def next_offset(self, topic: str, partition: int) -> int:
        """How far it has the events of a partition: it takes none before this offset, for they would be repeats.

        Raises LakeError.
        """
        return self._position_from(0, EVENTS.name, f"{topic}-{partition}") // POSITIONS + 1

    def _position_from(self, least: int, name: str, source: str) -> int:
        """`position`; where that is less than it should be it looks anew: others may have written. Raises LakeError."""
        if (position := self.position(name, source)) >= least:
            return position
        try:
            version = self._open(self._tables[name][0]).transaction_version(source)
        except (OSError, DeltaError) as error:
            raise LakeError(f"the lake at {self.path} cannot be read: {error}") from error
        return -1 if version is None else version

    def begin(self, topic: str, partitions: int) -> None:
        """A topic's records will be added from the first one on. Raises LakeError where it has some already."""
        if any(self.next_offset(topic, number) for number in range(partitions)):
            raise LakeError(
                f"the lake at {self.path} has events of {topic} already, and takes no offset twice: "
                "name another folder with --lake, or remove this one"
            )

    def commit(self) -> None:
        """Write what was added, one commit a table. Raises LakeError; the rows then wait for the next commit."""
        with self._lock:
            added, self._added = [*self._added, *self._small.rest()], []
            self._taken_rows, self._added_rows = self._taken_rows + self._added_rows, 0
            positions = dict(self._positions)
        for one in gathered(let_go(added)):
            for name, part in one.parts(self._make):
                self._rows.setdefault(name, []).append(part)
        try:
            for name in list(self._rows):
                self._append(name, self._rows[name], positions)
                self._sync(name)
                del self._rows[name]
        except (OSError, DeltaError) as error:
            raise LakeError(f"the lake at {self.path} cannot be written: {error}") from error
        with self._lock:
            self._taken_rows = 0

    def _append(self, name: str, parts: list[Part], positions: dict[str, int]) -> None:
        table, delta = self._tables[name]
        for attempt in range(1, ATTEMPTS + 1):
            moved = {source: at for source, at in positions.items() if at > self.position(name, source)}
            rows = pa.concat_tables([part.after(self.position(name, part.source)) for part in parts])
            if not rows.num_rows:
                return
            try:
                self._write(table, delta, rows, moved)
            except CommitFailedError:
                if attempt == ATTEMPTS:
                    raise
                delta.update_incremental()
                self._forget(name)
            else:
                self._forget(name)  # the table is now as after this commit, with what others committed before it
                return

    def _forget(self, name: str) -> None:
        """Read the positions of a table anew when they are asked for."""
        self._committed = {key: at for key, at in self._committed.items() if key[0] != name}

    def _write(self, table: LakeTable, delta: DeltaTable, rows: pa.Table, moved: dict[str, int]) -> None:
        place = self.path / table.name
        files = write_days(place, table, rows, self._make, durable=self.durable)
        transactions = [Transaction(source, at) for source, at in moved.items()]
        try:
            delta.create_write_transaction(
                files, "append", table.schema, [DAY], commit_properties=CommitProperties(app_transactions=transactions)
            )
        except CommitFailedError:  # refused; of another error it is not known what the log has taken
            remove(place, files)
            raise
        delta.update_incremental()

    def _sync(self, name: str) -> None:
        """Write a table's log through to the disk, as far as that was not done: what fails is tried again."""
        if self.durable:
            version = self._tables[name][1].version()
            sync_log(self.path / name, self._synced[name], version)
            self._synced[name] = version
