"""A shard: the state of one partition, and what becomes of its record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models import engine, metrics, shard_state
from models.candidates import Candidates
from models.columns import Columns, Field
from models.decisions import Decisions, no_decisions
from models.engine import Pause
from models.gates import Candidate
from models.judge import Judge
from models.layout import Layout
from models.metrics import Metrics
from models.outputs import BatchOutput
from models.plan import (
    CANDIDATES,
    CLOCK,
    NO_CLOCK,
    PENDING,
    SNAPSHOTS,
    TRANSITIONS,
    Batch,
    Out,
    new_out,
    new_snapshots,
    renewed,
)
from models.profiles import Profiles
from models.records import Records
from models.shard_rows import Rows

ROOM = 4096  # rows of the buffers for transitions and candidates
LAST_OFFSET = 2**63 - 1
SNAPSHOT_ROWS = 4096  # of a block, which is written row by row and kept as it is

_decode = msgspec.json.Decoder().decode


class Shard:
    """One row an entity, in two matrices (customers, instances); see docs/semantics.md for what is done to them."""

    def __init__(self, layout: Layout, topic: str, partition: int) -> None:
        self.layout, self.topic, self.partition = layout, topic, partition
        self.rows = Rows(layout)
        self._profiles = Profiles(layout, self.rows)
        self.candidates = Candidates(layout.rules, self.rows, topic, partition)
        self.judge = Judge(layout, self.rows)
        self.metrics = Metrics()
        self.next_offset = 0
        self.migration: list[str] = []  # what a restore made of another catalogue's state
        self.unfinished: set[bytes] = set()  # pages of a checkpoint that was never finished; written anew by the next
        self._snapshots = new_snapshots(0, layout.profile_values)  # what is left of a block
        room = max(ROOM, 2 * len(layout.catalogue.journeys) + 1, len(layout.rules) + 1)
        self._buffers = new_out(layout.registers, len(layout.rules), layout.rings, room, self._snapshots)

    @property
    def clock(self) -> int:
        """ms; NO_CLOCK before the first record."""
        return int(self.rows.state.numbers[CLOCK])

    def process(self, columns: Columns) -> BatchOutput:
        """Apply the records of a batch, which follow those applied before: no offset is below `next_offset`."""
        first_clock = self.clock
        batch = self._batch(columns)
        step = _Step(self, columns, batch, self.new_out(len(columns)))
        at, pause = 0, Pause.OUT_FULL
        while pause != Pause.DONE:
            at, pause = engine.run(self.layout.plan, self.rows.state, batch, step.out, at, step.next_release)
            step.drain(at)
            if pause == Pause.SNAPSHOTS_FULL:
                step.out = step.out._replace(snapshots=self._new_snapshots())
            elif pause == Pause.HEAP_FULL:
                self.rows.clear_heap()
            elif pause == Pause.RELEASE:
                step.release()
        self._snapshots = step.out.snapshots
        if len(columns):
            self.next_offset = int(columns.offset[-1]) + 1
        return self._output(step, self._count(columns, batch, step.out, first_clock))

    def new_out(self, records: int) -> Out:
        """Buffers for what the engine puts out about a batch of `records`."""
        return renewed(self._buffers, records, self._snapshots)

    def _new_snapshots(self) -> NDArray[np.float64]:
        """A block that holds all rows that wait for a snapshot."""
        return new_snapshots(max(SNAPSHOT_ROWS, self.pending), self.layout.profile_values)

    def _output(self, step: _Step, closed: metrics.MetricRows) -> BatchOutput:
        columns = step.columns
        return BatchOutput(
            columns=columns.without_properties(),
            status=step.out.status,
            late=step.out.late,
            transitions=self.rows.transitions(_joined(step.transitions)),
            decisions=self._decisions(step.decided),
            snapshots=[self.rows.snapshot(rows, columns.offset) for rows in step.snapshots],
            metrics=closed,
            partition=self.partition,
            first_offset=int(columns.offset[0]) if len(columns) else self.next_offset,
            next_offset=self.next_offset,
            clock=self.clock,
        )

    def _decisions(self, decided: list[Candidate]) -> Decisions:
        return Decisions.of(decided, self.layout.catalogue, self.topic, self.partition) if decided else no_decisions()

    def finish(self, *, end: bool = True) -> BatchOutput:
        """The last snapshot, as of the clock; at the `end` of a log also the metrics of the open minute."""
        output = self.process(empty_columns(self.topic, self.partition, self.layout))
        out = self.new_out(0)._replace(snapshots=self._new_snapshots())
        engine.take_snapshots(self.layout.plan, self.rows.state, out, 0, self.clock)
        taken = out.snapshots[: out.counts[SNAPSHOTS]]
        output.snapshots = [self.rows.snapshot(taken, np.array([self.next_offset]))] if len(taken) else []
        if end:
            output.metrics = self.metrics.close_all(self.next_offset)
        return output

    @property
    def pending(self) -> int:
        """Rows that changed since their last snapshot."""
        return int(self.rows.state.numbers[PENDING])

    def profile(self, customer_id: str) -> dict[str, Any] | None:
        """Features, tags and stages of a customer and of their instances; None for one that is not known here."""
        row = self.rows.customer_row(customer_id)
        if row < 0:
            return None
        (value,) = next(self._profiles.of(np.array([row]))).values.to_list()
        profile: dict[str, Any] = _decode(value or b"")
        return profile

    def changed_profiles(self) -> Iterator[Records]:
        """The profiles of customers that took events since the last call, some at once, as of the moment at which they
        are made.

        An entity that came after the first was made is not in them: its customer has changed again.
        """
        rows = np.flatnonzero(self.rows.touched)
        self.rows.touched[rows] = False
        return self._profiles.of(rows)

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
            event_id=columns.id_hash,
            rows=self.rows.find(columns),
            properties=columns.properties,
        )

    def _count(self, columns: Columns, batch: Batch, out: Out, first_clock: int) -> metrics.MetricRows:
        if not len(columns):
            return metrics.no_metrics()
        amount = self.layout.amount_column
        self.metrics.add(batch, out.status, first_clock, -1 if amount is None else amount, self.rows.touched)
        return self.metrics.close(columns.timestamp, first_clock, columns.offset)


class _Step:
    """What one batch puts out, drained from the engine's buffers as they fill."""

    def __init__(self, shard: Shard, columns: Columns, batch: Batch, out: Out) -> None:
        self.shard, self.columns, self.batch, self.out = shard, columns, batch, out
        self.transitions: list[NDArray[np.float64]] = []
        self.snapshots: list[NDArray[np.float64]] = []
        self.decided: list[Candidate] = []
        self.next_release = shard.judge.next_release(shard.clock if shard.clock != NO_CLOCK else self._clock(0))
        self._at = 0  # records before it are done
        self._open: list[Candidate] = []  # of moments that are not over

    def drain(self, at: int) -> None:
        """Take what is in the buffers, and empty them; records before `at` are done."""
        counts = self.out.counts
        self.transitions.append(self.out.transitions[: counts[TRANSITIONS]].copy())
        if taken := int(counts[SNAPSHOTS]):  # these rows are long: they stay where they are, others follow them
            self.snapshots.append(self.out.snapshots[:taken])
            self.out = self.out._replace(snapshots=self.out.snapshots[taken:])
        self._open += self.shard.candidates.of(self.out.candidates[: counts[CANDIDATES]], self.columns)
        counts[TRANSITIONS] = counts[CANDIDATES] = counts[SNAPSHOTS] = 0
        self._decide(at)

    def _decide(self, at: int) -> None:
        judge, end = self.shard.judge, self._offset(at)
        over = [one for one in self._open if one.moment < end]
        self._open = self._open[len(over) :]
        self.decided += judge.decide(over)
        judge.note_goals(self.columns, self.batch, self.out.status, self._at, at)
        self._at = at

    def release(self) -> None:
        """Quiet hours end before the next record: what was held until then becomes a part of its moment."""
        clock = self._clock(self._at)
        self._open += self.shard.judge.release(clock, self._offset(self._at), self.out)
        self.next_release = self.shard.judge.next_release(clock)

    def _offset(self, record: int) -> int:
        offsets = self.columns.offset
        return int(offsets[record]) if record < len(offsets) else LAST_OFFSET

    def _clock(self, record: int) -> int:
        """The clock at a record, ms, which is the next."""
        stamps = self.columns.timestamp
        return max(self.shard.clock, int(stamps[record])) if len(stamps) else self.shard.clock


def _joined(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def empty_columns(topic: str, partition: int, layout: Layout) -> Columns:
    """Columns of no records."""
    texts = int(Field.KEYS) + len(layout.event_layout.keyed)
    none = np.empty(0, np.int64)
    return Columns(
        topic=topic,
        partition=partition,
        offset=none,
        timestamp=none,
        event_type=np.empty(0, np.int32),
        event_time=none,
        received_at=none,
        has_received_at=np.empty(0, np.bool_),
        id_hash=none,
        customer_hash=none,
        data=np.empty(0, np.uint8),
        start=np.empty((texts, 0), np.int64),
        size=np.empty((texts, 0), np.int64),
        properties=np.empty((0, len(layout.event_layout.properties))),
    )
