"""Many byte strings in one buffer: what is read of records is kept as spans, and copied only where it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.jit import kernel, part

NULL: Final = -1  # size of a text that is NULL

VIEW_BYTES: Final = 12  # of a text in Arrow's view of it
VIEW_PREFIX: Final = 4  # bytes of a longer one

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


class Texts(NamedTuple):
    """n texts in UTF-8 (or any bytes): text i is data[start[i] : start[i] + size[i]]; a size of NULL means none.

    data: uint8; start, size: int64[n].
    """

    data: Bytes
    start: Ints
    size: Ints

    @classmethod
    def of(cls, values: Iterable[bytes | None]) -> Texts:
        """Texts that hold these values, one after another.

        >>> Texts.of([b"a", None, b"bc"]).to_list()
        [b'a', None, b'bc']
        """
        values = list(values)
        size = np.array([NULL if value is None else len(value) for value in values], np.int64)
        # a buffer that may be written to, as others are: for read-only arrays each kernel would be compiled once more
        data = np.frombuffer(bytearray().join(value for value in values if value), np.uint8)
        return cls(data, starts_of(size), size)

    @property
    def count(self) -> int:  # type: ignore[override]
        """How many texts there are (len() is that of a tuple)."""
        return len(self.size)

    def take(self, which: NDArray[np.int64] | slice) -> Texts:
        """Some of the texts, in the same buffer."""
        return Texts(self.data, self.start[which], self.size[which])

    def value(self, number: int) -> bytes | None:
        """One text."""
        return value_at(self.data, self.start[number], self.size[number])

    def text(self, number: int) -> str | None:
        """One text as a string."""
        value = self.value(number)
        return None if value is None else value.decode()

    def to_list(self) -> list[bytes | None]:
        """All texts."""
        data, spans = self.data.data, zip(self.start.tolist(), self.size.tolist(), strict=True)
        return [None if size == NULL else data[start : start + size].tobytes() for start, size in spans]

    def packed(self) -> Bytes:
        """The texts copied one behind the other, uint8[total]; a NULL takes no room."""
        packed = np.empty(int(np.maximum(self.size, 0).sum()), np.uint8)
        copy_spans(self.data, self.start, self.size, packed)
        return packed


def value_at(data: Bytes, start: int | np.int64, size: int | np.int64) -> bytes | None:
    """data[start : start + size]; None for a size of NULL."""
    return None if size == NULL else data[start : start + size].tobytes()


def starts_of(size: Ints) -> Ints:
    """Where each text starts when texts of these sizes lie one behind the other."""
    ends = np.cumsum(np.maximum(size, 0))
    return ends - np.maximum(size, 0)


def joined(parts: Sequence[Texts]) -> Texts:
    """Texts one behind the other, of at least one part. They are copied into one buffer if they are not in one.

    >>> joined([Texts.of([b"a", None]), Texts.of([b"bc"])]).to_list()
    [b'a', None, b'bc']
    """
    some = [part for part in parts if part.count] or parts[:1]
    runs = [_of_one_buffer(list(run)) for _, run in groupby(some, key=lambda part: id(part.data))]
    if len(runs) == 1:
        return runs[0]
    size = np.concatenate([run.size for run in runs])
    return Texts(np.concatenate([run.packed() for run in runs]), starts_of(size), size)


def _of_one_buffer(parts: Sequence[Texts]) -> Texts:
    start, size = (np.concatenate(columns) for columns in zip(*(part[1:] for part in parts), strict=True))
    return Texts(parts[0].data, start, size)


@kernel
def copy_spans(data, start, size, target):
    """Copy data[start[i] : start[i] + size[i]] one behind the other into target."""
    at = 0
    for i in range(len(start)):
        first = start[i]
        for k in range(size[i]):
            target[at + k] = data[first + k]
        at += max(size[i], 0)


@kernel
def fill_views(data, start, size, views):
    """Make Arrow's view of each text, in uint8[n, 16], zeros; returns how many have more bytes than a view holds.

    A view is the size, then up to 12 bytes, or the first 4, a buffer's number (0) and where the text starts in it.
    """
    long = 0
    for i in range(len(start)):
        if size[i] <= 0:
            continue
        _put_int32(views, i, 0, size[i])
        for k in range(size[i] if size[i] <= VIEW_BYTES else VIEW_PREFIX):
            views[i, 4 + k] = data[start[i] + k]
        if size[i] > VIEW_BYTES:
            _put_int32(views, i, 12, start[i])
            long += 1
    return long


@part
def _put_int32(views, row, at, value):
    for k in range(4):
        views[row, at + k] = np.uint8((value >> (8 * k)) & 0xFF)


@part
def equal_bytes(data, start, size, other, other_start, other_size):
    """Whether two spans hold the same bytes."""
    if size != other_size:
        return False
    for k in range(size):
        if data[start + k] != other[other_start + k]:
            return False
    return True
