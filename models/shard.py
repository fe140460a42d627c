"""A shard: the state of one partition, and what becomes of its record batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import engine, metrics, shard_rows, shard_state
from models.columns import Columns
from models.decisions import Decision, Transition
from models.engine import Pause
from models.gates import decide
from models.layout import Layout, text_of
from models.metrics import Metrics
from models.outputs import BatchOutput, Snapshot
from models.plan import (
    BOUNDARY,
    CANDIDATES,
    CLOCK,
    HOUR_MS,
    PENDING,
    SEQ,
    TRANSITIONS,
    Batch,
    CandidateColumn,
    Out,
    Status,
    new_out,
)
from models.shard_rows import Rows

ROOM = 4096  # rows of the buffers for transitions and for candidates


class Shard:
    """One row an entity, in two matrices (customers, instances); see docs/semantics.md for what is done to them."""

    def __init__(self, layout: Layout, topic: str, partition: int) -> None:
        self.layout, self.topic, self.partition = layout, topic, partition
        self.rows = Rows(layout)
        self.metrics = Metrics.empty()
        self.next_offset = 0
        self.unfinished: set[bytes] = set()  # pages of a checkpoint that was never finished; written anew by the next
        self._room = max(ROOM, 2 * len(layout.catalogue.journeys) + 1, len(layout.rules) + 1)

    @property
    def clock(self) -> int:
        """ms; NO_CLOCK before the first record."""
        return int(self.rows.state.numbers[CLOCK])

    def process(self, columns: Columns) -> BatchOutput:
        """Apply the records of a batch, which follow those applied before: no offset is below `next_offset`."""
        first_clock = self.clock
        batch = self._batch(columns)
        out = new_out(len(columns), self.layout.registers, len(self.layout.rules), self._room)
        step = _Step(self, columns, out)
        at, pause = 0, Pause.OUT_FULL
        while pause != Pause.DONE:
            at, pause = engine.run(self.layout.plan, self.rows.state, batch, out, at)
            step.drain()
            if pause == Pause.SNAPSHOT:
                step.snapshot(int(columns.offset[at]))
            elif pause == Pause.HEAP_FULL:
                self.rows.grow_heap()
        if len(columns):
            self.next_offset = int(columns.offset[-1]) + 1
        closed = self._count(columns, batch, out, first_clock)
        first = int(columns.offset[0]) if len(columns) else self.next_offset
        return BatchOutput(
            columns=columns,
            status=out.status,
            late=out.late,
            transitions=step.transitions,
            decisions=step.decisions,
            snapshots=step.snapshots,
            metrics=closed,
            partition=self.partition,
            first_offset=first,
            next_offset=self.next_offset,
            clock=self.clock,
        )

    def finish(self, *, end: bool = True) -> BatchOutput:
        """The last snapshot, as of the clock; at the `end` of a log also the metrics of the open minute."""
        output = self.process(empty_columns(self.topic, self.partition, self.layout))
        output.snapshots = self._snapshots(self.clock, self.next_offset)
        if end:
            output.metrics = self.metrics.close_all(self.next_offset)
        return output

    def profile(self, customer_id: str) -> dict[str, Any] | None:
        """Features, tags and stages of a customer and of their instances; None for one that is not known here."""
        row = self.rows.customers.get(customer_id)
        return None if row is None else self._profiles(np.array([row]))[0]

    def changed_profiles(self) -> list[dict[str, Any]]:
        """The profiles of customers that took events since the last call."""
        rows = np.flatnonzero(self.rows.touched)
        self.rows.touched[rows] = False
        return self._profiles(rows)

    def _profiles(self, customers: NDArray[np.int64]) -> list[dict[str, Any]]:
        owner = self.rows.state.owner[: len(self.rows.instance_names)]
        instances = np.flatnonzero(np.isin(owner, customers))
        entities: dict[int, list[dict[str, Any]]] = {}
        for entity in self.layout.entities[1:]:
            own = instances[self.rows.instance_entity[instances] == entity.number]
            for row, shown in zip(own.tolist(), self._shown(entity.number, own), strict=True):
                entry = {"entity": entity.name, "entity_id": self.rows.instance_names[row][2], **shown}
                entities.setdefault(int(owner[row]), []).append(entry)
        return [
            {
                "customer_id": self.rows.customer_ids[row],
                "as_of": self.clock,
                **shown,
                "entities": entities.get(row, []),
            }
            for row, shown in zip(customers.tolist(), self._shown(0, customers), strict=True)
        ]

    def dump(self) -> list[tuple[bytes, bytes]]:
        """(key, value) of each dirty page and, last, of the closing record; nothing is dirty afterwards."""
        return shard_state.dump(self)

    @classmethod
    def restore(cls, layout: Layout, topic: str, partition: int, records: Iterable[tuple[bytes, bytes]]) -> Shard:
        """The shard as of the last closing record among (key, value), in the order in which they were written."""
        return shard_state.restore(cls(layout, topic, partition), records)

    def _batch(self, columns: Columns) -> Batch:
        return Batch(
            timestamp=columns.timestamp,
            event_type=columns.event_type,
            event_time=columns.event_time,
            event_id=columns.event_id,
            rows=self.rows.find(columns),
            properties=columns.properties,
        )

    def _count(self, columns: Columns, batch: Batch, out: Out, first_clock: int) -> metrics.MetricRows:
        if not len(columns):
            return metrics.no_metrics()
        clock = np.maximum(np.maximum.accumulate(columns.timestamp), first_clock)
        applied = np.flatnonzero(out.status == Status.APPLIED)
        self.rows.touched[batch.rows[applied, 0]] = True
        amount = self.layout.amount_column
        self.metrics.add(
            clock[applied],
            columns.event_type[applied],
            columns.properties[applied, 0],
            columns.event_time[applied],
            batch.rows[applied, 0],
            columns.properties[applied, amount] if amount is not None else np.full(len(applied), np.nan),
        )
        return self.metrics.close(clock, columns.offset)

    def _shown(self, entity: int, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Features, tags and stages of rows of one entity, as users see them."""
        shown = self.layout.entities[entity]
        features, tags = len(shown.features), len(shown.features) + len(shown.tags)
        types = [self.layout.profile_types[name] for name in shown.profile_names]
        profiles = []
        for values in self._read(entity, rows).tolist():
            texts = list(map(text_of, values, types))
            profiles.append(
                {
                    "features": dict(zip(shown.features, texts[:features], strict=True)),
                    "tags": dict(zip(shown.tags, texts[features:tags], strict=True)),
                    "stages": dict(zip(shown.journeys, texts[tags:], strict=True)),
                }
            )
        return profiles

    def _read(self, entity: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Profile values, float64[rows, names]."""
        registers = self.layout.entities[entity].registers
        assert registers is not None
        values = np.empty((len(rows), len(registers)))
        out = new_out(0, self.layout.registers, 0, 1)
        kind = 1 if entity else 0
        engine.read_rows(self.layout.plan, self.rows.state, kind, rows, entity, registers, values, out)
        return values

    def _snapshots(self, as_of: int, offset: int) -> list[Snapshot]:
        """Snapshots of all that changed since the last; nothing is pending afterwards."""
        numbers = self.rows.state.numbers
        refs = np.sort(self.rows.state.pending[: numbers[PENDING]])
        numbers[PENDING] = 0
        customers = shard_rows.rows_of(refs[refs >> 62 == 0])
        instances = shard_rows.rows_of(refs[refs >> 62 == 1])
        engine.clear_changed(self.rows.state, 0, customers)
        engine.clear_changed(self.rows.state, 1, instances)
        found = [self._snapshot(0, customers, as_of, offset)]
        for entity in self.layout.entities[1:]:
            own = instances[self.rows.instance_entity[instances] == entity.number]
            found.append(self._snapshot(entity.number, own, as_of, offset))
        return [snapshot for snapshot in found if snapshot.customer_ids]

    def _snapshot(self, entity: int, rows: NDArray[np.int64], as_of: int, offset: int) -> Snapshot:
        values = self._read(entity, rows)
        shown = self.layout.entities[entity]
        features, tags = len(shown.features), len(shown.tags)
        names = [self.rows.name_of(1 if entity else 0, row) for row in rows.tolist()]
        return Snapshot(
            entity=shown.name,
            as_of=as_of,
            offset=offset,
            customer_ids=[customer for customer, _ in names],
            entity_ids=[key for _, key in names],
            features=values[:, :features],
            tags=values[:, features : features + tags],
            stages=values[:, features + tags :],
        )


class _Step:
    """What one batch puts out, drained from the engine's buffers as they fill."""

    def __init__(self, shard: Shard, columns: Columns, out: Out) -> None:
        self.shard, self.columns, self.out = shard, columns, out
        self.transitions: list[Transition] = []
        self.decisions: list[Decision] = []
        self.snapshots: list[Snapshot] = []

    def drain(self) -> None:
        """Turn what is in the buffers into records, and empty them."""
        transitions, candidates = self.out.counts[:SEQ].tolist()
        rows = self.shard.rows
        for values in self.out.transitions[:transitions].tolist():
            self.transitions.append(rows.transition(values, self.columns))
        for values in self.out.candidates[:candidates].tolist():
            seq = int(values[CandidateColumn.SEQ])
            candidate = rows.candidate(values, self.columns)
            catalogue = self.shard.layout.catalogue
            decision = decide(catalogue.name, catalogue.version, candidate, seq)
            if decision.acted:
                rows.note_action(values, candidate.rule.acted_cell, candidate.clock)
            self.decisions.append(decision)
        self.out.counts[TRANSITIONS] = self.out.counts[CANDIDATES] = 0

    def snapshot(self, offset: int) -> None:
        """Take the snapshot of the hour that the clock has reached."""
        numbers = self.shard.rows.state.numbers
        boundary = int(numbers[BOUNDARY])
        self.snapshots += self.shard._snapshots(boundary, offset)
        numbers[BOUNDARY] = boundary + HOUR_MS


def empty_columns(topic: str, partition: int, layout: Layout) -> Columns:
    """Columns of no records."""
    return Columns(
        topic=topic,
        partition=partition,
        offset=np.empty(0, np.int64),
        timestamp=np.empty(0, np.int64),
        event_type=np.empty(0, np.int32),
        event_time=np.empty(0, np.int64),
        event_id=np.empty(0, np.int64),
        customer=np.empty(0, np.int64),
        customers=[],
        properties=np.empty((0, len(layout.event_layout.properties))),
        keys=[],
        events=[],
    )
