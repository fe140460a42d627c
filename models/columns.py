"""A record batch as columns: what the decoder makes, the engine reads and the lake writes.

Arrays have one row a record, in offset order; ticks and bad rows keep their row, so that the clock advances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.bad_rows import BadRow
    from models.events import Event

UNKNOWN = -1  # event_type of a valid event that the catalogue does not declare
TICK = -2  # event_type of a tick
BAD = -3  # event_type of a bad row


@dataclass(slots=True)
class KeyColumn:
    """The key of one keyed entity: `index[i]` points into `values`; -1 where record i does not carry it."""

    index: NDArray[np.int64]
    values: list[str]


@dataclass(slots=True)
class Columns:
    """n records of one partition.

    Shapes: offset, timestamp (ms), event_time (ms; 0 where there is none), event_id (64-bit hash), customer (index into
    `customers`, -1 where there is none): int64[n]; event_type (number in the catalogue, or UNKNOWN, TICK, BAD):
    int32[n]; properties: float64[n, P], NaN = NULL, columns as `Layout.properties`. `events[i]` is the decoded
    event or None.
    """

    topic: str
    partition: int
    offset: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    event_type: NDArray[np.int32]
    event_time: NDArray[np.int64]
    event_id: NDArray[np.int64]
    customer: NDArray[np.int64]
    customers: list[str]
    properties: NDArray[np.float64]
    keys: list[KeyColumn]
    events: list[Event | None]
    bad_rows: list[BadRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offset)
