"""A record batch as columns: what the decoder makes, the engine reads and the lake writes.

Arrays have one row a record, in offset order; ticks and bad rows keep their row, so that the clock advances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from models.texts import Bytes, Ints, Texts, value_at

if TYPE_CHECKING:
    from models.bad_rows import BadRow

UNKNOWN: Final = -1  # event_type of a valid event that the catalogue does not declare
TICK: Final = -2  # event_type of a tick
BAD: Final = -3  # event_type of a bad row


class Field(IntEnum):
    """The texts of an event, rows of `Columns.start` and `size`; after them come the keys of the keyed entities."""

    EVENT_ID = 0
    EVENT = 1
    CUSTOMER_ID = 2
    CHANNEL = 3
    SESSION_ID = 4
    DEVICE_ID = 5
    CONTEXT = 6  # JSON text of an object
    PROPERTIES = 7  # JSON text of an object
    KEYS = 8  # the key of keyed entity k is KEYS + k; NULL on event types that do not concern it


@dataclass(slots=True)
class Columns:
    """n records of one partition.

    offset, timestamp (ms), event_time (ms), received_at (ms): int64[n]; has_received_at: bool[n]; event_type (number in
    the catalogue, or UNKNOWN, TICK, BAD): int32[n]; id_hash, customer_hash: int64[n], XXH64 of the texts;
    start, size: int64[KEYS + keyed entities, n], spans of `data` (see `Texts`); properties: float64[n, P], NaN = NULL,
    columns as `EventLayout.properties`. Rows of what is no event hold 0, and NULL texts.
    """

    topic: str
    partition: int
    offset: Ints
    timestamp: Ints
    event_type: NDArray[np.int32]
    event_time: Ints
    received_at: Ints
    has_received_at: NDArray[np.bool_]
    id_hash: Ints
    customer_hash: Ints
    data: Bytes
    start: Ints
    size: Ints
    properties: NDArray[np.float64]
    bad_rows: list[BadRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offset)

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """Record batches of one partition, at least one, each behind the one before, as one."""
        shifts = np.cumsum([0, *(len(part.data) for part in parts)])
        starts = [part.start + shift for part, shift in zip(parts, shifts.tolist(), strict=False)]
        return cls(
            topic=parts[0].topic,
            partition=parts[0].partition,
            start=np.concatenate(starts, axis=1),
            size=np.concatenate([part.size for part in parts], axis=1),
            bad_rows=[row for part in parts for row in part.bad_rows],
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROWS},
        )

    def without_properties(self) -> Columns:
        """The same for the lake, which reads texts: of a record's memory properties are the most."""
        return replace(self, properties=self.properties[:0].copy())

    def text(self, field_: int, record: int) -> str | None:
        """One of the texts of one record."""
        value = value_at(self.data, self.start[field_, record], self.size[field_, record])
        return None if value is None else value.decode()

    def texts(self, field_: int) -> Texts:
        """One of the texts of each record; a `Field`, or KEYS + the number of a keyed entity."""
        return Texts(self.data, self.start[field_], self.size[field_])


# The fields that lie one behind the other when batches are joined.
_ROWS: Final = tuple(
    name for name in Columns.__slots__ if name not in ("topic", "partition", "start", "size", "bad_rows")
)
