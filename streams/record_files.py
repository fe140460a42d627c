"""Files of records: Kafka's timestamp, key and value of each, in time order.

`.parquet` has just these three columns. `.jsonl` has one record a line: a plain event stands for itself (its key is the
customer_id, its timestamp `received_at`, or else `event_time`); any other record is wrapped as
{"$record": {"timestamp": ms, "key": base64, "value": base64}}, so that broken bytes survive.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

SimBatch = tuple[NDArray[np.int64], list[bytes], list[bytes]]  # timestamps (ms), keys, values
BATCH_RECORDS = 50_000


class RecordFileError(ValueError):
    """A file that holds no records; the message names the line."""


class Wrapped(msgspec.Struct):
    timestamp: int
    key: bytes | None
    value: bytes | None


class _Line(msgspec.Struct):
    customer_id: str | None = None
    event_time: int | None = None
    received_at: int | None = None
    record: Wrapped | None = msgspec.field(name="$record", default=None)


_decode = msgspec.json.Decoder(_Line).decode


def read_records(path: Path) -> Iterator[SimBatch]:
    """The records of a file, in batches. Raises RecordFileError."""
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
    elif path.suffix in (".jsonl", ".ndjson"):
        yield from _read_lines(path)
    else:
        raise RecordFileError(f"{path}: a file of records ends in .jsonl, .ndjson or .parquet; for others give --sql")


def _read_parquet(path: Path) -> Iterator[SimBatch]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_RECORDS, columns=["timestamp", "key", "value"]):
            timestamps, keys, values = batch.columns
            yield timestamps.to_numpy(), keys.to_pylist(), values.to_pylist()


def _read_lines(path: Path) -> Iterator[SimBatch]:
    number = 0
    with path.open("rb") as file:
        while lines := [line.rstrip() for line in islice(file, BATCH_RECORDS)]:
            records: list[tuple[int, Any, Any]] = []
            try:
                records.extend(map(_record, lines))
            except (ValueError, UnicodeDecodeError) as error:
                place = f"{path}:{number + len(records) + 1}"
                raise RecordFileError(f"{place}: {error}; wrap what is no event as $record") from None
            number += len(lines)
            timestamps, keys, values = zip(*records, strict=True)
            yield np.array(timestamps, np.int64), list(keys), list(values)


def _record(line: bytes) -> tuple[int, Any, Any]:
    event = _decode(line)
    if event.record is not None:
        return event.record.timestamp, event.record.key, event.record.value
    timestamp = event.received_at if event.received_at is not None else event.event_time
    if timestamp is None or event.customer_id is None:
        raise ValueError("an event needs customer_id and event_time")
    return timestamp, event.customer_id.encode(), line


def count_records(path: Path) -> int:
    """How many records a file has."""
    if path.suffix == ".parquet":
        return int(pq.ParquetFile(path).metadata.num_rows)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
