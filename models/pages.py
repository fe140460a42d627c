"""Pages: 64 rows of a shard as bytes. Only cells that differ from an empty row are kept, behind a bitmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cells import Cells
from models.jit import kernel
from models.texts import Bytes, Ints, Texts, starts_of

PAGE_FORMAT = 1


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Rows of a matrix, one behind the other. `bits`: a bit a cell, set where `values` holds it.

    names, sizes (int32[rows]): what each row is about, a customer's id or an instance's key; groups: int64[rows], whose
    (`names.group_of`), empty for customers; ids: int64[rows, DEDUP_IDS + 1], empty for instances.
    """

    format: int
    width: int  # cells of a row
    names: memoryview
    sizes: memoryview
    groups: memoryview
    bits: memoryview
    values: memoryview
    ids: memoryview


class Stack(NamedTuple):
    """The rows of pages of one matrix, one page behind the other.

    ends: int64[pages], the rows up to the end of each; groups: int64[rows] or empty; ids: int64[rows, DEDUP_IDS + 1] or
    empty; bits begin anew at a byte for each page.
    """

    names: Texts
    ends: Ints
    groups: Ints
    bits: Bytes
    values: Ints
    ids: Ints


class Closing(msgspec.Struct, frozen=True):
    """What the partition as a whole knows at a checkpoint."""

    format: int
    cells: Cells  # what the cells of the pages mean
    rows: tuple[int, int]  # customers and instances; pages behind them are left over
    next_offset: int
    numbers: list[int]
    metrics: bytes = b""  # int64 rows of the open minute, where they have no pages of their own
    metric_rows: int = 0  # in pages
    held: int = 0  # candidates, in pages


Kept = TypeVar("Kept", Page, Closing)


class PageError(ValueError):
    """A page that this version cannot read."""


@kernel
def _pack(rows, templates, bits, values):
    """Note the cells of rows (int64 views) that differ from their templates; returns how many there are."""
    count, cell = 0, 0
    for row in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            if rows[row, k] != templates[row, k]:
                bits[cell >> 3] |= np.uint8(1 << (cell & 7))
                values[count] = rows[row, k]
                count += 1
            cell += 1
    return count


@kernel
def _unpack(rows, ends, bits, values):
    """Put the noted cells of a stack over rows that hold their templates."""
    row, count, cell = 0, 0, 0
    for end in ends:
        while row < end:
            for k in range(rows.shape[1]):
                if bits[cell >> 3] & (1 << (cell & 7)):
                    rows[row, k] = values[count]
                    count += 1
                cell += 1
            row += 1
        cell = (cell + 7) // 8 * 8


def pack(names: Texts, groups: bytes, rows: NDArray[np.float64], templates: NDArray[np.float64], ids: bytes) -> bytes:
    """One page. rows, templates: float64[n, cells], C-contiguous."""
    bits = np.zeros((rows.size + 7) // 8, np.uint8)
    values = np.empty(rows.size, np.int64)
    count = _pack(rows.view(np.int64), templates.view(np.int64), bits, values)
    page = Page(
        format=PAGE_FORMAT,
        width=rows.shape[1],
        names=names.packed().data,
        sizes=memoryview(names.size.astype(np.int32).tobytes()),
        groups=memoryview(groups),
        bits=bits.data,
        values=memoryview(values[:count].tobytes()),
        ids=memoryview(ids),
    )
    return msgspec.msgpack.encode(page)


def read(blob: bytes, type_: type[Kept]) -> Kept:
    """Read a page or a closing record. Raises PageError."""
    try:
        found = msgspec.msgpack.decode(blob, type=type_)
    except msgspec.DecodeError as error:
        raise PageError(f"a record of the state is damaged, or of a newer version: {error}") from None
    if found.format != PAGE_FORMAT:
        raise PageError(f"a record of the state has format {found.format}; this version reads {PAGE_FORMAT}")
    return found


def stack(pages: Sequence[Page]) -> Stack:
    """Pages of one matrix, in their order; at least one."""
    sizes = _joined([page.sizes for page in pages]).view(np.int32).astype(np.int64)
    return Stack(
        names=Texts(_joined([page.names for page in pages]), starts_of(sizes), sizes),
        ends=np.cumsum([len(page.sizes) // 4 for page in pages]),
        groups=_joined([page.groups for page in pages]).view(np.int64),
        bits=_joined([page.bits for page in pages]),
        values=_joined([page.values for page in pages]).view(np.int64),
        ids=_joined([page.ids for page in pages]).view(np.int64),
    )


def _joined(parts: Sequence[memoryview]) -> Bytes:
    return np.frombuffer(bytearray().join(parts), np.uint8)


def unpack(stacked: Stack, rows: NDArray[np.float64]) -> None:
    """Fill rows: float64[n, width], which hold their templates."""
    _unpack(rows.view(np.int64), stacked.ends, stacked.bits, stacked.values)
