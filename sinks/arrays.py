"""Arrow columns of which rows are gathered without their bytes: texts stay where records have them.

A text is a view, 16 bytes that say where it lies (Arrow's string_view); what repeats is a number in a dictionary. Arrow
writes both to Parquet as strings, but takes and filters no views: that is done here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.texts import NULL, Texts, fill_views

LONGEST: Final = np.iinfo(np.int32).max  # bytes of a buffer that views can tell apart
VIEW: Final = pa.string_view()


def strings(texts: Texts) -> pa.Array:
    """Texts as views of their buffer. Raises ValueError for a buffer of more than 2 GiB."""
    if len(texts.data) > LONGEST:
        raise ValueError(f"{len(texts.data)} bytes of text in one buffer, at most {LONGEST}")
    views = np.zeros((texts.count, 2), np.uint64)
    long = fill_views(texts.data, texts.start, texts.size, views.view(np.uint8).reshape(-1, 16))
    buffers = [bitmap(texts.size != NULL), pa.py_buffer(views)]
    return pa.Array.from_buffers(VIEW, texts.count, [*buffers, pa.py_buffer(texts.data)] if long else buffers)


def vocabulary(values: Iterable[str]) -> pa.DictionaryArray:
    """What `named` numbers stand for; the same name may stand in several places."""
    return pa.array(values, pa.string()).dictionary_encode()


def named(numbers: NDArray[Any], words: pa.DictionaryArray) -> pa.Array:
    """Names by number; NULL for a negative one."""
    known = numbers >= 0
    indices = words.indices.to_numpy()[np.where(known, numbers, 0)]
    buffers = [bitmap(known), pa.py_buffer(indices)]
    return pa.DictionaryArray.from_arrays(pa.Array.from_buffers(pa.int32(), len(indices), buffers), words.dictionary)


def repeated(name: str, rows: int) -> pa.Array:
    """One name in each row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([name]))


def whole(rows: pa.Table) -> pa.Table:
    """The same rows, each column in one chunk, but for lists: a take from many chunks costs three times as much."""
    columns = [column if _is_list(column) else column.combine_chunks() for column in rows.columns]
    return pa.Table.from_arrays(columns, names=rows.column_names)


def required(rows: pa.Table) -> pa.Table:
    """The same rows; columns without NULLs say so, and Parquet need not write of each value that it is one."""
    columns = zip(rows.column_names, rows.columns, strict=True)
    fields = [pa.field(name, column.type, nullable=column.null_count > 0) for name, column in columns]
    return pa.Table.from_arrays(rows.columns, schema=pa.schema(fields))


def taken(rows: pa.Table, order: NDArray[np.int64]) -> pa.Table:
    """Rows of a table of one chunk, in this order."""
    chosen = pa.array(order)
    whole = [column.chunk(0) for column in rows.columns]  # `combine_chunks` would copy even a single one
    columns = [_views(column, order) if column.type == VIEW else column.take(chosen) for column in whole]
    return pa.Table.from_arrays(columns, names=rows.column_names)


def kept(rows: pa.Table, where: pa.ChunkedArray) -> pa.Table:
    """The rows where a column of booleans is true."""
    return taken(rows.combine_chunks(), np.flatnonzero(where.to_numpy()))


def _is_list(column: pa.ChunkedArray) -> bool:
    return pa.types.is_fixed_size_list(column.type)


def _views(column: pa.Array, order: NDArray[np.int64]) -> pa.Array:
    valid, views, *data = column.buffers()
    first, end = column.offset, column.offset + len(column)
    found = np.frombuffer(views, np.uint64).reshape(-1, 2)[first:end].take(order, axis=0)
    valid_bits = bitmap(column.is_valid().take(pa.array(order)).to_numpy(zero_copy_only=False)) if valid else None
    return pa.Array.from_buffers(VIEW, len(order), [valid_bits, pa.py_buffer(found), *data])


def bitmap(valid: NDArray[np.bool_]) -> pa.Buffer | None:
    """Which values are not NULL; None where all are."""
    return None if valid.all() else bits(valid)


def bits(flags: NDArray[np.bool_]) -> pa.Buffer:
    """Booleans as Arrow has them."""
    return pa.py_buffer(np.packbits(flags, bitorder="little"))
