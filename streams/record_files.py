"""Files of records: Kafka's timestamp, key and value of each, in time order.

`.parquet` has just these three columns; the timestamp is a number of ms or a time, of any unit. `.jsonl` has one record
a line: a plain event stands for itself (its key is the customer_id, its timestamp `received_at`, or else `event_time`,
also where `received_at` is no time that can be); any other record is wrapped as
{"$record": {"timestamp": ms, "key": base64, "value": base64}}, so that broken bytes survive. Blank lines are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.errors import UserError
from models.events import Int64, is_possible
from models.line_kernel import read_lines
from models.records import Records
from models.texts import NULL, Bytes, Ints, Texts

BATCH_RECORDS = 100_000  # of a Parquet file
BLOCK_BYTES = 32 * 1024 * 1024  # of a file of lines: about as many records
LINES = (".jsonl", ".ndjson")  # suffixes of files of lines
NEWLINE = 10
BOM = b"\xef\xbb\xbf"  # which some programs write before the first line
_SPACE = np.array([bytes([byte]).isspace() for byte in range(256)])
COLUMNS = {"timestamp": pa.int64(), "key": pa.large_binary(), "value": pa.large_binary()}


class RecordFileError(UserError):
    """A file that holds no records; the message names the line."""


class Wrapped(msgspec.Struct):
    timestamp: Int64
    key: bytes | None
    value: bytes | None


class _Line(msgspec.Struct):
    customer_id: str | None = None
    event_time: Int64 | None = None
    received_at: Int64 | None = None
    record: Wrapped | None = msgspec.field(name="$record", default=None)


_decode = msgspec.json.Decoder(_Line).decode


def read_records(path: Path) -> Iterator[Records]:
    """The records of a file, in batches; they are in no log yet: each offset is 0, none is a tick.

    Raises RecordFileError.
    """
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
    elif path.suffix in LINES:
        yield from _read_lines(path)
    else:
        raise _of_another_kind(path)


def _of_another_kind(path: Path) -> RecordFileError:
    return RecordFileError(f"{path}: a file of records ends in .jsonl, .ndjson or .parquet; for others give --sql")


def _unplaced(timestamp: Ints, keys: Texts, values: Texts) -> Records:
    """Records without a log; keys and values lie in one buffer. Arrow's own arrays may be read only: kernels would be
    compiled once more for them.
    """
    count = len(timestamp)
    nowhere, no_tick = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    return Records(values.data, nowhere, timestamp, keys.start, keys.size, values.start, values.size, no_tick)


# --- Parquet


def _read_parquet(path: Path) -> Iterator[Records]:
    with _parquet(path) as file:
        done = 0
        for batch in file.iter_batches(BATCH_RECORDS, columns=list(COLUMNS)):
            timestamp, key, value = (_cast(path, name, batch.column(name), type_) for name, type_ in COLUMNS.items())
            if timestamp.null_count:
                row = done + timestamp.is_null().index(True).as_py() + 1
                raise RecordFileError(f"{path}: row {row:,} has no timestamp; every record needs one, in ms")
            yield _unplaced(timestamp.to_numpy().copy(), *_in_one_buffer(_texts(key), _texts(value)))
            done += len(batch)


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """An open file of records. Raises RecordFileError for one that is broken, also where that is found later."""
    needed = ", ".join(COLUMNS)
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise RecordFileError(
                    f"{path}: needs the columns {needed} of records and has no {', '.join(missing)}; "
                    "for other files give --sql"
                )
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the system: no such file, no right to read it
        raise RecordFileError(f"{path} is no Parquet file of records ({needed}), or a broken one: {error}") from None


def _cast(path: Path, name: str, column: pa.Array, type_: pa.DataType) -> pa.Array:
    """A column as the type that it needs; times, of whatever unit, as ms. Raises RecordFileError."""
    try:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms"), safe=False)  # without what is less than a ms
        return column.cast(type_)
    except pa.ArrowException as why:
        wanted = "a time or ms" if name == "timestamp" else "bytes or text"
        raise RecordFileError(f"{path}: {name} is {column.type}, not {wanted}; give --sql ({why})") from None


def _texts(array: pa.Array) -> Texts:
    """The texts of an Arrow array of large_binary, in its own buffer."""
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset :][: len(array) + 1]
    size = np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(bounds), NULL)
    return Texts(np.frombuffer(data or b"", np.uint8), bounds[:-1], size)


def _in_one_buffer(keys: Texts, values: Texts) -> tuple[Texts, Texts]:
    data = np.concatenate([values.data, keys.data])
    return Texts(data, keys.start + len(values.data), keys.size), Texts(data, values.start.copy(), values.size)


# --- lines


def _read_lines(path: Path) -> Iterator[Records]:
    number = 1
    for block, newlines in _blocks(path):
        yield _records(path, number, block, newlines)
        number += len(newlines)


def _blocks(path: Path) -> Iterator[tuple[Bytes, Ints]]:
    """(bytes, where the newlines are), each from the beginning of a line; behind the last newline may be more."""
    rest = np.empty(0, np.uint8)
    with path.open("rb", buffering=0) as file:
        while True:
            block = np.empty(len(rest) + BLOCK_BYTES, np.uint8)
            block[: len(rest)] = rest
            read = file.readinto(memoryview(block)[len(rest) :])
            block = block[: len(rest) + read]
            newlines = np.flatnonzero(block == NEWLINE)
            if not read and len(block):
                newlines = np.array([len(block)])  # the last line has none
            if len(newlines):
                yield block, newlines
            if not read:
                return
            rest = block[newlines[-1] + 1 :] if len(newlines) else block


def _records(path: Path, number: int, data: Bytes, end: Ints) -> Records:
    """The records of lines, which end at newlines; number: of the first line. Blank lines hold none."""
    start = np.concatenate([[0], end[:-1] + 1])
    if number == 1 and data[: len(BOM)].tobytes() == BOM:
        start[0] = len(BOM)
    size, numbers = _stripped(data, start, end - start), np.arange(number, number + len(end))
    if not size.all():
        kept = np.flatnonzero(size)
        start, size, numbers = start[kept], size[kept], numbers[kept]
    values = Texts(data, start, size)
    found = read_lines(values)
    timestamp = np.where(found.has_received_at & is_possible(found.received_at), found.received_at, found.event_time)
    records = _unplaced(timestamp, Texts(data, found.customer_start, found.customer_size), values)
    odd = np.flatnonzero(~found.read)
    return _with_odd(path, numbers, records, odd) if len(odd) else records


def _stripped(data: Bytes, start: Ints, size: Ints) -> Ints:
    """The sizes of lines without white space at their ends. Lines with more than one such byte are looked at singly."""
    size = size - _ends_in_space(data, start, size)
    for row in np.flatnonzero(_ends_in_space(data, start, size)).tolist():
        size[row] = len(data[start[row] :][: size[row]].tobytes().rstrip())
    return size


def _ends_in_space(data: Bytes, start: Ints, size: Ints) -> NDArray[np.bool_]:
    return (size > 0) & _SPACE[data[start + size - 1]]


def _with_odd(path: Path, numbers: Ints, records: Records, odd: NDArray[np.int64]) -> Records:
    """Records of which some lines are left to do: what they hold goes to the end of the buffer."""
    keys, values = [], []
    for row in odd.tolist():
        try:
            records.timestamp[row], key, value = _record(records.values.value(row))
        except ValueError as error:  # msgspec's and Unicode's errors are
            why = _why(records.values.value(row) or b"", error)
            raise RecordFileError(f"{path}:{numbers[row]}: {why}; wrap what is no event as $record") from None
        keys.append(key)
        values.append(value)
    added, first = Texts.of(keys + values), len(records.data)
    records.key_start[odd], records.value_start[odd] = first + added.start.reshape(2, -1)
    records.key_size[odd], records.value_size[odd] = added.size.reshape(2, -1)
    return records._replace(data=np.concatenate([records.data, added.data]))


def _why(line: bytes, error: ValueError) -> str:
    """Why a line cannot be read; of half a surrogate pair msgspec says other things, each time."""
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "an escape from \\ud800 to \\udfff without its other half is no valid Unicode"
    except (ValueError, RecursionError):
        pass  # no JSON in other ways
    return str(error)


def _record(line: bytes) -> tuple[int, Any, Any]:
    event = _decode(line)
    if event.record is not None:
        return event.record.timestamp, event.record.key, event.record.value
    timestamp = event.received_at
    if timestamp is None or (event.event_time is not None and not is_possible(timestamp)):
        timestamp = event.event_time
    if timestamp is None or event.customer_id is None:
        raise ValueError("an event needs customer_id and event_time")
    return timestamp, event.customer_id.encode(), line


def count_records(path: Path) -> int:
    """How many records a file has; of lines, about so many. Raises RecordFileError."""
    if path.suffix == ".parquet":
        with _parquet(path) as file:
            return int(file.metadata.num_rows)
    if path.suffix not in LINES:
        raise _of_another_kind(path)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
