"""Pages: 64 rows of a shard as bytes. Only cells that differ from an empty row are kept, behind a bitmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.cells import Cells
from models.errors import UserError
from models.jit import kernel
from models.plan import PAGE_ROWS
from models.texts import Bytes, Ints, Texts, starts_of

FORMATS: Final = (1, 2)  # that are read; in the first a cell holds one tile (`Block.shared`), which a migration changes
PAGE_FORMAT: Final = FORMATS[-1]


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


Cells64 = NDArray[np.float64]
Kept = TypeVar("Kept", Page, Closing)


class PageError(UserError):
    """A page that this version cannot read."""


@kernel
def _pack(rows, templates, numbers, words, values):
    """Note the cells of rows (int64 views) that differ from their templates; returns how many there are.

    numbers: int64[rows], of their templates; words: uint64, a bit a cell.
    """
    count, cell, word = 0, 0, np.uint64(0)
    for row in range(rows.shape[0]):
        template = templates[numbers[row]]
        for k in range(rows.shape[1]):
            value = rows[row, k]
            differs = value != template[k]
            values[count] = value  # written over by the next that differs, if this one does not
            count += differs
            word |= np.uint64(differs) << np.uint64(cell & 63)
            cell += 1
            if cell & 63 == 0:
                words[(cell >> 6) - 1] = word
                word = np.uint64(0)
    if cell & 63:
        words[cell >> 6] = word
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


class Packer:
    """Packs pages of one matrix. It keeps its buffers: memory that is new for each page costs more than the packing."""

    def __init__(self, templates: Cells64) -> None:
        """templates: float64[k, cells], C-contiguous."""
        self._templates = templates.view(np.int64)
        cells = PAGE_ROWS * templates.shape[1]
        self._words, self._values = np.empty(cells // 64, np.uint64), np.empty(cells, np.int64)

    def pack(self, names: Texts, groups: bytes, rows: Cells64, numbers: Ints, ids: bytes) -> bytes:
        """One page. rows: float64[n, cells], C-contiguous; numbers: int64[n], of their templates."""
        count = _pack(rows.view(np.int64), self._templates, numbers, self._words, self._values)
        page = Page(
            format=PAGE_FORMAT,
            width=rows.shape[1],
            names=names.packed().data,
            sizes=memoryview(names.size.astype(np.int32).tobytes()),
            groups=memoryview(groups),
            bits=self._words.view(np.uint8)[: (rows.size + 7) // 8].data,
            values=self._values[:count].data,
            ids=memoryview(ids),
        )
        return msgspec.msgpack.encode(page)


# Made in one thread: partitions are restored in several, and two that meet a type of msgspec first may crash it.
_DECODERS: Final[dict[type, msgspec.msgpack.Decoder[Any]]] = {
    one: msgspec.msgpack.Decoder(one) for one in (Page, Closing)
}


def read(blob: bytes, type_: type[Kept]) -> Kept:
    """Read a page or a closing record. Raises PageError."""
    try:
        found: Kept = _DECODERS[type_].decode(blob)
    except msgspec.DecodeError as error:
        raise PageError(f"a record of the state is damaged, or of a newer version: {error}") from None
    if found.format not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        raise PageError(f"a record of the state has format {found.format}; this version reads {known}")
    return found


def stack(pages: Sequence[Page], width: int) -> Stack:
    """Pages of one matrix whose rows have `width` cells, in their order; at least one. Raises PageError."""
    if other := next((page.width for page in pages if page.width != width), None):
        raise PageError(f"a page of the state has rows of {other} cells, not {width}: it is of another catalogue")
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
