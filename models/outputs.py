"""What a shard makes of a record batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns
from models.decisions import Decision, Transition
from models.metrics import MetricRows


@dataclass(slots=True)
class Snapshot:
    """Features, tags and stages of m entities of one type as of an instant (ms).

    `offset` is that of the record that advanced the clock: all records before it are applied. features: float64[m, F],
    tags: float64[m, G], stages: float64[m, J] (stage numbers), columns as in the layout's Entity; NaN is NULL.
    """

    entity: str
    as_of: int
    offset: int
    customer_ids: list[str]
    entity_ids: list[str | None]
    features: NDArray[np.float64]
    tags: NDArray[np.float64]
    stages: NDArray[np.float64]


@dataclass(slots=True)
class BatchOutput:
    """status: int8[n] (plan.Status); late: bool[n]. Records are first_offset … next_offset - 1."""

    columns: Columns
    status: NDArray[np.int8]
    late: NDArray[np.bool_]
    transitions: list[Transition]
    decisions: list[Decision]
    snapshots: list[Snapshot]
    metrics: MetricRows
    partition: int
    first_offset: int
    next_offset: int
    clock: int
