"""A large lake made of a small one: its rows again and again, under other customers, through the lake's own writer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from models.catalogue import Catalogue
from sinks.compaction import compact
from sinks.day_files import write_days
from sinks.lake import connect
from sinks.rows import RowMaker
from sinks.schemas import DAY, LakeTable
from sinks.writer import Lake

WRITERS = 2
DIGITS = 8  # of a simulated customer's id, C00000001


def multiply(
    small: Path, large: Path, tables: tuple[LakeTable, ...], catalogue: Catalogue, copies: int, commits: int
) -> None:
    """Write the rows of tables `copies` times, day by day, `commits` a day in order of time, and compact."""
    lake, make = Lake(large, catalogue), RowMaker(catalogue)
    with ThreadPoolExecutor(WRITERS) as pool, connect(small) as connection:
        for table in tables:
            place = large / table.name
            delta = DeltaTable(place)
            rows = connection.sql(f"FROM {table.name} ORDER BY {DAY}, {table.time}").to_arrow_table()
            parts = _parts(rows.cast(table.schema), commits)
            for files in pool.map(lambda part: write_days(place, table, _copied(part, copies), make), parts):  # noqa: B023
                delta.create_write_transaction(files, "append", table.schema, [DAY])
    compact(lake.path)


def _parts(rows: pa.Table, commits: int) -> Iterator[pa.Table]:
    """The rows of each commit: so many a day."""
    day = rows[DAY].cast(pa.int32()).to_numpy()
    for one in np.unique(day):
        first, end = np.searchsorted(day, [one, one + 1]).tolist()
        for bounds in np.array_split(np.arange(first, end), commits):
            if len(bounds):
                yield rows.slice(bounds[0], len(bounds)).drop_columns([DAY])


def _copied(rows: pa.Table, copies: int) -> pa.Table:
    """Each row so many times, each for a customer of its own."""
    row, copy = np.tile(np.arange(len(rows)), copies), np.repeat(np.arange(copies), len(rows))
    many = rows.take(row)
    number = pc.utf8_slice_codeunits(rows["customer_id"], 1).cast(pa.int64()).to_numpy()[row] * copies + copy
    suffix = pa.array([f"-{one}" for one in range(copies)]).take(pa.array(copy))
    renamed = {
        "customer_id": _ids(number),
        "event_id": pc.binary_join_element_wise(many["event_id"], suffix, ""),
        "offset": pc.add(pc.multiply(many["offset"], copies), pa.array(copy)),
    }
    for name, column in renamed.items():
        many = many.set_column(many.schema.get_field_index(name), name, column)
    return many


def _ids(numbers: NDArray[np.int64]) -> pa.Array:
    """Customers' ids of numbers."""
    text = np.empty((len(numbers), DIGITS + 1), np.uint8)
    text[:, 0] = ord("C")
    for at in range(DIGITS):
        text[:, at + 1] = ord("0") + numbers // 10 ** (DIGITS - 1 - at) % 10
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * text.shape[1]
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))
