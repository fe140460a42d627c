"""Parquet files of a table, of one day each, and the actions by which a Delta log adds them.

Rows are sorted here by day and then as the table says, and each day is written as it is. Delta's own writer would split
and copy them once more (docs/decisions/0032).
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import ColumnProperties, WriterProperties
from deltalake.transaction import AddAction
from numpy.typing import NDArray

from models.zones import DAY_MS, local_ms
from sinks.arrays import required, whole
from sinks.durable import sync
from sinks.rows import RowMaker
from sinks.schemas import DAY, FEATURES, LakeTable

EPOCH: Final = date(1970, 1, 1)
ROW_GROUP: Final = 131_072  # rows
AT_ONCE: Final = 65_536  # values of a column that are encoded at once
WRITE_BYTES: Final = 1 << 18  # at once: Parquet writes each page and each header of one by itself
FEW_ROWS: Final = 500  # up to which Zstandard costs more to begin, for each column, than it saves in the file's blocks
WRITERS: Final = os.cpu_count() or 1  # threads that write files at once

# Texts that hardly repeat, and numbers that grow: neither is worth a dictionary.
PLAIN: Final = frozenset(("event_id", "session_id", "device_id", "context", "properties", "id", "evidence"))
GROWING: Final = frozenset(("event_time", "received_at", "record_time", "offset"))
# Of a hundred columns of small numbers, writing costs more than space: statistics only where rows are sorted.
HEAD: Final = ("as_of", "customer_id", "entity", "entity_id", "partition", "offset")

# The same for Delta's own writer, which merges files.
_NONE: Final = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
_DELTA: Final = ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
_WHOLE: Final = ColumnProperties(dictionary_enabled=True, statistics_enabled="CHUNK")
PARQUET: Final = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    max_row_group_size=ROW_GROUP,
    column_properties={**dict.fromkeys(PLAIN, _NONE), **dict.fromkeys(GROWING, _DELTA)},
)
SNAPSHOTS: Final = WriterProperties(
    compression="SNAPPY", default_column_properties=_NONE, column_properties=dict.fromkeys(HEAD, _WHOLE)
)


def write_days(
    place: Path, table: LakeTable, rows: pa.Table, make: RowMaker, *, durable: bool = False
) -> list[AddAction]:
    """Write rows (without `day`) into files below a table's folder. Raises OSError; no file is then left.

    Those that are `durable` are on the disk when this returns.
    """
    options = _options(table, rows.schema)
    files = [(_action(day), of_day) for day, of_day in _days(table, whole(rows), make)]

    def write(action: AddAction, of_day: pa.Table) -> None:
        file = place / action.path
        file.parent.mkdir(exist_ok=True)
        with pa.BufferedOutputStream(pa.OSFile(os.fspath(file), "wb"), WRITE_BYTES) as stream:
            pq.write_table(required(of_day), stream, **options, **_compression(table, of_day))
        if durable:
            sync(file)
        action.size, action.modification_time = file.stat().st_size, time.time_ns() // 1_000_000
        action.stats = _statistics(table, of_day)

    actions = [action for action, _ in files]
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(write, *zip(*files, strict=True)):
                pass
        if durable:
            sync(place, *{(place / action.path).parent for action in actions})
    except BaseException:
        remove(place, actions)
        raise
    return actions


def _action(day: date) -> AddAction:
    return AddAction(f"{DAY}={day}/{uuid.uuid4()}.parquet", 0, {DAY: str(day)}, 0, True, "{}")


def remove(place: Path, actions: list[AddAction]) -> None:
    """Remove the files of actions that no log has taken."""
    for action in actions:
        (place / action.path).unlink(missing_ok=True)


def _days(table: LakeTable, rows: pa.Table, make: RowMaker) -> Iterator[tuple[date, pa.Table]]:
    """The day and the rows of each file, sorted as the table says.

    Rows are gathered once for all days, which are slices of them: of many small files gathering each costs most.
    """
    time_ms = rows[table.time].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
    day = local_ms(time_ms, make.catalogue.time_zone) // DAY_MS
    ranks = {name: _ranks(rows[name]) for name in table.sort}
    keys = [*reversed(ranks.values()), day]
    if table.apart:
        keys.append(ranks[table.apart])
    order = np.lexsort(keys)
    for some in np.split(order, _changes(ranks[table.apart][order])) if table.apart else [order]:
        sorted_rows, sorted_day = make.taken(table.name, rows, some), day[some]
        for first, end in pairwise([0, *_changes(sorted_day), len(some)]):
            yield EPOCH + timedelta(days=int(sorted_day[first])), sorted_rows.slice(first, end - first)


def _changes(values: NDArray[Any]) -> list[int]:
    """Where another value follows."""
    changes: list[int] = (np.flatnonzero(np.diff(values)) + 1).tolist()
    return changes


def _ranks(column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers that sort as the values do."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64()).to_numpy()
    encoded = column.chunk(0).dictionary_encode()
    values = encoded.dictionary.cast(pa.string())  # views cannot be sorted
    rank = np.empty(len(values), np.int64)
    rank[pc.sort_indices(values).to_numpy()] = np.arange(len(rank))
    return rank[encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)] if len(rank) else np.zeros(len(column))


def _options(table: LakeTable, schema: pa.Schema) -> dict[str, Any]:
    """How Parquet is written, but for its compression."""
    always = {"row_group_size": ROW_GROUP, "write_batch_size": AT_ONCE, "store_schema": False}
    if table.name == FEATURES:
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        dictionaries = sorted({*texts, *HEAD})
        return always | {"use_dictionary": dictionaries, "write_statistics": list(HEAD)}
    names = [name for name in schema.names if name not in PLAIN]
    return always | {
        "use_dictionary": [name for name in names if name not in GROWING],
        "column_encoding": {name: "DELTA_BINARY_PACKED" for name in names if name in GROWING},
        "write_statistics": names,
    }


def _compression(table: LakeTable, rows: pa.Table) -> dict[str, Any]:
    """Of one file."""
    if table.name == FEATURES or rows.num_rows <= FEW_ROWS:
        return {"compression": "snappy"}
    return {"compression": "zstd", "compression_level": 1}


def _statistics(table: LakeTable, rows: pa.Table) -> str:
    """What Delta's log says of a file: rows, and the range of the table's time."""
    range_ = pc.min_max(rows[table.time])
    return json.dumps(
        {
            "numRecords": rows.num_rows,
            "minValues": {table.time: _text(range_["min"])},
            "maxValues": {table.time: _text(range_["max"])},
        }
    )


def _text(instant: pa.TimestampScalar) -> str:
    """An instant as Delta's protocol writes it."""
    return f"{np.datetime64(instant.value, 'us')}Z"
