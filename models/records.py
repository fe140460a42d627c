"""Records of one partition, as they came, as columns over one buffer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.texts import Bytes, Ints, Texts, starts_of

TICK_HEADER: Final = ("zhice", b"tick")


class Record(NamedTuple):
    """One record, with aiokafka's names; `timestamp` in ms."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class AnyRecord(Protocol):
    """What `Records.of` reads: a Record, or a Kafka client's."""

    offset: Any
    timestamp: Any
    key: Any
    value: Any
    headers: Any


class Records(NamedTuple):
    """n records in offset order. Key and value are spans of `data` (see `Texts`), NULL where the record has none.

    data: uint8; offset, timestamp (ms), key_start, key_size, value_start, value_size: int64[n]; tick: bool[n], set for
    a record that only carries time.
    """

    data: Bytes
    offset: Ints
    timestamp: Ints
    key_start: Ints
    key_size: Ints
    value_start: Ints
    value_size: Ints
    tick: NDArray[np.bool_]

    @classmethod
    def of(cls, records: Iterable[AnyRecord]) -> Records:
        """Columns of single records."""
        records = list(records)
        count = len(records)
        texts = Texts.of([*(record.key for record in records), *(record.value for record in records)])
        return cls(
            data=texts.data,
            offset=np.array([record.offset for record in records], np.int64),
            timestamp=np.array([record.timestamp for record in records], np.int64),
            key_start=texts.start[:count],
            key_size=texts.size[:count],
            value_start=texts.start[count:],
            value_size=texts.size[count:],
            tick=np.array([is_tick(record) for record in records], np.bool_),
        )

    @classmethod
    def blank(cls, data: Bytes, count: int) -> Records:
        """So many records over a buffer, to be filled in: empty keys and values."""
        zeros = np.zeros((6, count), np.int64)
        return cls(data, zeros[0], zeros[1], zeros[2], zeros[3], zeros[4], zeros[5], np.zeros(count, np.bool_))

    @property
    def count(self) -> int:  # type: ignore[override]
        """How many records there are (len() is that of a tuple)."""
        return len(self.offset)

    @property
    def events(self) -> int:
        """How many are no ticks."""
        return self.count - int(np.count_nonzero(self.tick))

    @property
    def keys(self) -> Texts:
        return Texts(self.data, self.key_start, self.key_size)

    @property
    def values(self) -> Texts:
        return Texts(self.data, self.value_start, self.value_size)

    def take(self, which: NDArray[np.int64] | slice) -> Records:
        """Some of the records, in the same buffer."""
        return Records(self.data, *(column[which] for column in self[1:]))  # type: ignore[arg-type]

    def packed(self) -> Records:
        """The same over a buffer that holds nothing else.

        >>> two = Records.of([Record(0, 0, b"a", b"12"), Record(1, 0, None, b"345")])
        >>> two.take(slice(1, 2)).packed().data.tobytes()
        b'345'
        """
        keys, values = self.keys.packed(), self.values.packed()
        key_start, value_start = starts_of(self.key_size), len(keys) + starts_of(self.value_size)
        return self._replace(data=np.concatenate([keys, values]), key_start=key_start, value_start=value_start)

    def since(self, offset: int) -> Records:
        """The records from this offset on."""
        if not self.count or self.offset[0] >= offset:
            return self
        return self.take(slice(int(np.searchsorted(self.offset, offset)), None))

    def record(self, number: int) -> Record:
        """One record; of headers only the one that makes a tick is known."""
        headers = (TICK_HEADER,) if self.tick[number] else ()
        key, value = self.keys.value(number), self.values.value(number)
        return Record(int(self.offset[number]), int(self.timestamp[number]), key, value, headers)


def is_tick(record: AnyRecord) -> bool:
    """Whether a record only carries time."""
    return not record.value and TICK_HEADER in (tuple(header) for header in record.headers)
