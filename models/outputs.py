"""What a shard makes of a record batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns, Field
from models.decisions import Decisions
from models.metrics import MetricRows
from models.texts import Ints, Texts
from models.transitions import Transitions

ROW_BYTES: Final = 512  # of what came with records, that count as a row of the lake


@dataclass(slots=True)
class Snapshot:
    """Features, tags and stages of m entities, each as of an instant (ms).

    entities: their numbers; as_of, offset: int64[m]; `offset` is that of the record that advanced the clock: all
    records before it are applied. customers, entity_ids: texts. rows: float64[m, plan.SnapshotColumn …] as the engine
    wrote them: values as the entity's `profile_names`, stages as numbers, NaN is NULL; behind them is what was there.
    """

    entities: Ints
    as_of: Ints
    offset: Ints
    customers: Texts
    entity_ids: Texts
    rows: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.as_of)


@dataclass(slots=True)
class BatchOutput:
    """columns: without properties; status: int8[n] (plan.Status); late: bool[n]. Records are first_offset …
    next_offset - 1.
    """

    columns: Columns
    status: NDArray[np.int8]
    late: NDArray[np.bool_]
    transitions: Transitions
    decisions: Decisions
    snapshots: list[Snapshot]
    metrics: MetricRows
    partition: int
    first_offset: int
    next_offset: int
    clock: int

    @property
    def rows(self) -> int:
        """How many rows it brings the lake, but for bad rows, which count as records, and triggers as decisions.

        Large records count as more, by their bytes: what waits for a commit is limited by rows.
        """
        records = max(len(self.columns), self._record_bytes // ROW_BYTES)
        snapshots = sum(map(len, self.snapshots))
        return records + len(self.transitions) + len(self.decisions) + snapshots + len(self.metrics)

    @property
    def _record_bytes(self) -> int:
        """Of what may be long in records."""
        texts = np.maximum(self.columns.size[Field.CONTEXT : Field.KEYS], 0)
        return int(texts.sum()) + sum(len(row.key or b"") + len(row.value or b"") for row in self.columns.bad_rows)

    @classmethod
    def joined(cls, parts: Sequence[BatchOutput]) -> BatchOutput:
        """Outputs of one partition, at least one, each of which follows the one before, as one."""
        if len(parts) == 1:
            return parts[0]
        columns = [part.columns for part in parts]
        return cls(
            columns=Columns.joined(columns),
            status=np.concatenate([part.status for part in parts]),
            late=np.concatenate([part.late for part in parts]),
            transitions=Transitions.joined([part.transitions for part in parts], [len(one) for one in columns]),
            decisions=Decisions.joined([part.decisions for part in parts]),
            snapshots=[one for part in parts for one in part.snapshots],
            metrics=MetricRows.joined([part.metrics for part in parts]),
            partition=parts[0].partition,
            first_offset=parts[0].first_offset,
            next_offset=parts[-1].next_offset,
            clock=parts[-1].clock,
        )
