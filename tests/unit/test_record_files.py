"""Files of records: every line comes out as msgspec reads it, wherever a block ends; errors name the line."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams import record_files
from streams.record_files import RecordFileError, count_records, read_records

Row = tuple[int, bytes | None, bytes | None]  # timestamp (ms), key, value


def wrapped(timestamp: int, key: bytes | None, value: bytes | None) -> bytes:
    texts = [None if one is None else base64.b64encode(one).decode() for one in (key, value)]
    return json.dumps({"$record": {"timestamp": timestamp, "key": texts[0], "value": texts[1]}}).encode()


def read(path: Path) -> list[Row]:
    """All records of a file; they are in no log."""
    records = [batch.record(row) for batch in read_records(path) for row in range(batch.count)]
    assert all(record.offset == 0 and not record.headers for record in records)
    return [(record.timestamp, record.key, record.value) for record in records]


def write(path: Path, lines: Iterable[bytes], end: bytes = b"\n") -> Path:
    path.write_bytes(b"\n".join(lines) + end)
    return path


PLAIN = b'{"event_id":"e","customer_id":"c1","event_time":5,"properties":{"a":[1,{"customer_id":"no"}]}}'

LINES: list[tuple[bytes, Row]] = [
    (PLAIN, (5, b"c1", PLAIN)),
    (b'{"customer_id":"c","event_time":5,"received_at":1700000000000}', (1_700_000_000_000, b"c", ...)),
    (b'{"customer_id":"c","event_time":5,"received_at":1700000000000000}', (5, b"c", ...)),  # microseconds
    (b'{"customer_id":"c\\u00e9","event_time":5,"received_at":1700000000000000}', (5, "cé".encode(), ...)),
    (b'{"customer_id":"c","received_at":-7}', (-7, b"c", ...)),
    (b'{"customer_id":"c","event_time":5,"received_at":null}', (5, b"c", ...)),
    (b' { "customer_id" : "c" ,\t"event_time" : 5 } ', (5, b"c", b' { "customer_id" : "c" ,\t"event_time" : 5 }')),
    (b'{"customer_id":"c","event_time":5}\r\x0b\x0c\t ', (5, b"c", b'{"customer_id":"c","event_time":5}')),
    (b'{"customer_id":"c\\u00e9\\n","event_time":5}', (5, "cé\n".encode(), ...)),
    ('{"customer_id":"客户","event_time":5}'.encode(), (5, "客户".encode(), ...)),
    (b'{"customer_id":"a","event_time":5,"customer_id":"b","event_time":6}', (6, b"b", ...)),
    (b'{"customer\\u005fid":"c","event_time":5}', (5, b"c", ...)),
    (b'{"customer_id":"","event_time":9223372036854775807}', (2**63 - 1, b"", ...)),
    (b'{"customer_id":"c","event_time":5,"x":"\xff"}', (5, b"c", ...)),  # no UTF-8: what it is, the decoder says
    (b'{"customer_id":"c","event_time":5,"":1}', (5, b"c", ...)),
    (wrapped(3, b"k", b"\x00\n\xff"), (3, b"k", b"\x00\n\xff")),
    (wrapped(3, None, None), (3, None, None)),
    (wrapped(3, b"", b""), (3, b"", b"")),
]


def rows() -> list[Row]:
    return [(timestamp, key, line if value is ... else value) for line, (timestamp, key, value) in LINES]


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 200, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_record_a_line_wherever_a_block_ends(
    block_bytes: int, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "BLOCK_BYTES", block_bytes)
    assert read(write(tmp_path / "log.jsonl", [line for line, _ in LINES], end)) == rows()


def test_a_file_without_a_line_has_no_records(tmp_path: Path) -> None:
    assert read(write(tmp_path / "log.ndjson", [], b"")) == []


BLANKS = [b"", b" ", b"\r", b" \t\r"]


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b"", b"\n\n", b"\r\n\r\n\r\n", b"\n "])
@pytest.mark.parametrize("begin", [b"", record_files.BOM, b"\n", record_files.BOM + b"\n"])
def test_blank_lines_and_the_byte_order_mark_are_skipped(
    block_bytes: int, end: bytes, begin: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "BLOCK_BYTES", block_bytes)
    lines = [one for number, (line, _) in enumerate(LINES) for one in (line, *BLANKS[: number % 4])]
    path = write(tmp_path / "log.jsonl", lines, end)
    path.write_bytes(begin + path.read_bytes())
    assert read(path) == rows()


@pytest.mark.parametrize("block_bytes", [1, 64, 1 << 20])
@pytest.mark.parametrize("begin", [b"", record_files.BOM])
def test_blank_lines_count_in_the_number_of_a_broken_one(
    block_bytes: int, begin: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "BLOCK_BYTES", block_bytes)
    path = write(tmp_path / "log.jsonl", [begin + PLAIN, b"", b" \r", wrapped(1, b"k", b"v"), b"", PLAIN, b"broken"])
    with pytest.raises(RecordFileError, match=r"log\.jsonl:7: "):
        read(path)


@pytest.mark.parametrize("bytes_", [record_files.BOM, record_files.BOM + b"\n", b"\n", b" \n\t\n \r\n\n", b" "])
def test_a_file_of_blank_lines_has_no_records(bytes_: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "log.jsonl").write_bytes(bytes_)
    assert read(path) == []


def test_a_long_end_of_white_space_does_not_have_all_lines_looked_at_for_each_of_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces, looked_at = record_files._SPACE, []

    class Spaces:
        def __getitem__(self, bytes_: NDArray[np.uint8]) -> NDArray[np.bool_]:
            looked_at.append(len(bytes_))
            return spaces[bytes_]

    monkeypatch.setattr(record_files, "_SPACE", Spaces())
    assert read(write(tmp_path / "log.jsonl", [PLAIN + b" " * 1000, PLAIN])) == [(5, b"c1", PLAIN)] * 2
    assert sum(looked_at) <= 4  # each line twice


def test_a_byte_order_mark_elsewhere_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordFileError, match=r"log\.jsonl:2: "):
        read(write(tmp_path / "log.jsonl", [PLAIN, record_files.BOM + PLAIN]))


BROKEN = [
    b"{}",
    b"[]",
    b"no JSON",
    b'{"customer_id":"c"}',
    b'{"event_time":5}',
    b'{"customer_id":null,"event_time":5}',
    b'{"customer_id":5,"event_time":5}',
    b'{"customer_id":"c","event_time":"5"}',
    b'{"customer_id":"c","event_time":5.5}',
    b'{"customer_id":"c","event_time":9223372036854775808}',
    b'{"customer_id":"c","event_time":5',
    b'{"customer_id":"c","event_time":5,}',
    b'{"customer_id":"c","event_time":5}}',
    b'{"customer_id":"c","event_time":5}{}',
    b'{"customer_id":"c","event_time":05}',
    b'{"customer_id":"c\xff","event_time":5}',
    b'{"$record":{"timestamp":1,"key":"no base64","value":null}}',
    b'{"$record":{"timestamp":9223372036854775808,"key":null,"value":null}}',
]


@pytest.mark.parametrize("line", BROKEN)
@pytest.mark.parametrize("block_bytes", [8, 1 << 20])
def test_a_line_that_is_no_record_is_named(
    line: bytes, block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "BLOCK_BYTES", block_bytes)
    path = write(tmp_path / "log.jsonl", [PLAIN, wrapped(1, b"k", b"v"), line, PLAIN])
    with pytest.raises(RecordFileError, match=r"log\.jsonl:3: .*; wrap what is no event as \$record"):
        read(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.tuples(
    st.sampled_from(["customer_id", "event_time", "received_at", "other"]) | st.text(max_size=5),
    st.integers(-5, 2**64) | st.text(max_size=4) | json_values,
)
lines = st.one_of(
    st.builds(lambda pairs: json_of(pairs, ascii=False), st.lists(fields, max_size=6)),
    st.builds(lambda pairs: json_of(pairs, ascii=True), st.lists(fields, max_size=6)),
    st.builds(
        lambda customer, time, pairs: json_of([*pairs, ("customer_id", customer), ("event_time", time)], ascii=False),
        st.text(max_size=4),
        st.integers(0, 2**41),
        st.lists(fields, max_size=3),
    ),
)


def json_of(pairs: list[tuple[str, object]], *, ascii: bool) -> bytes:
    """An object as JSON; a name may come twice."""
    texts = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=ascii)}" for name, value in pairs]
    return ("{" + ", ".join(texts) + "}").encode("utf-8", "surrogatepass")


def flipped(line: bytes, at: int, byte: int) -> bytes:
    """The line with one byte changed, if any."""
    return line if at >= len(line) or byte == 10 else line[:at] + bytes([byte]) + line[at + 1 :]


@settings(max_examples=500, deadline=None)
@given(line=st.builds(flipped, lines, st.integers(0, 400), st.integers(0, 255)))
def test_a_line_is_read_as_msgspec_reads_it(line: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write(tmp_path_factory.getbasetemp() / "one.jsonl", [line])
    try:
        expected = [record_files._record(line.rstrip())]
    except (ValueError, msgspec.MsgspecError):
        with pytest.raises(RecordFileError):
            read(path)
    else:
        assert read(path) == expected


@pytest.mark.parametrize("text", [pa.binary(), pa.large_binary()])
def test_parquet_of_any_width_with_nulls_in_batches(
    text: pa.DataType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "BATCH_RECORDS", 3)
    made: list[Row] = [
        (n, [None, b"", b"k%d" % n][n % 3], [b"v%d" % n, None, b"", b"\x00" * n][n % 4]) for n in range(11)
    ]
    write_parquet(tmp_path / "log.parquet", made, text)
    assert read(tmp_path / "log.parquet") == made


def write_parquet(path: Path, made: list[Row], text: pa.DataType) -> None:
    timestamps, keys, values = zip(*made, strict=True)
    pq.write_table(
        pa.table({"timestamp": pa.array(timestamps), "key": pa.array(keys, text), "value": pa.array(values, text)}),
        path,
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai"])
def test_parquet_with_times_of_any_unit(unit: str, zone: str | None, tmp_path: Path) -> None:
    per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pa.array([1_740_819_600 * per_s, 1_740_819_601 * per_s + per_s // 10**3], pa.timestamp(unit, zone))
    pq.write_table(pa.table({"timestamp": times, "key": ["a", "b"], "value": ["x", "y"]}), tmp_path / "log.parquet")
    after_ms = 0 if unit == "s" else 1
    assert read(tmp_path / "log.parquet") == [
        (1_740_819_600_000, b"a", b"x"), (1_740_819_601_000 + after_ms, b"b", b"y"),
    ]  # fmt: skip


def test_of_a_microsecond_the_millisecond_counts(tmp_path: Path) -> None:
    times = pa.array([1_740_819_600_123_999], pa.timestamp("us"))
    pq.write_table(pa.table({"timestamp": times, "key": ["a"], "value": ["x"]}), tmp_path / "log.parquet")
    assert read(tmp_path / "log.parquet") == [(1_740_819_600_123, b"a", b"x")]


def test_a_row_without_a_timestamp_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "BATCH_RECORDS", 3)
    write_parquet(tmp_path / "log.parquet", [(None if n == 4 else n, b"k", b"v") for n in range(7)], pa.binary())
    with pytest.raises(RecordFileError, match=r"log\.parquet: row 5 has no timestamp"):
        read(tmp_path / "log.parquet")


def test_other_parquet_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"time": [1], "key": [b"k"]}), tmp_path / "log.parquet")
    for use in (read, count_records):
        with pytest.raises(RecordFileError, match=r"log\.parquet: needs the columns .* has no timestamp, value;"):
            use(tmp_path / "log.parquet")
    pq.write_table(pa.table({"timestamp": ["noon"], "key": [b"k"], "value": [b"v"]}), tmp_path / "log.parquet")
    with pytest.raises(RecordFileError, match=r"log\.parquet: timestamp is string, not a time or ms; .*noon"):
        read(tmp_path / "log.parquet")


def test_parquet_that_is_broken_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "log.parquet", [(n, b"k", b"v" * n) for n in range(1000)], pa.binary())
    whole = (tmp_path / "log.parquet").read_bytes()
    for name, bytes_ in (("no", b"no Parquet"), ("one", b"x"), ("empty", b""), ("cut", whole[: len(whole) // 2])):
        (path := tmp_path / f"{name}.parquet").write_bytes(bytes_)
        for use in (read, count_records):
            with pytest.raises(RecordFileError, match=rf"{name}\.parquet is no Parquet file .*, or a broken one: "):
                use(path)
    (path := tmp_path / "holes.parquet").write_bytes(whole[:40] + b"\xff" * 3000 + whole[3040:])
    with pytest.raises(RecordFileError, match=r"holes\.parquet is no Parquet file"):
        read(path)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    for use in (read, count_records):
        with pytest.raises(FileNotFoundError):
            use(tmp_path / "log.parquet")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordFileError, match="ends in"):
        read(tmp_path / "log.csv")


@pytest.mark.parametrize("text", ["\\ud800", "\\ud800x", "\\ud800\\u0041", "\\udc00", "a\\udbff text"])
def test_half_a_surrogate_pair_is_told_as_such(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "log.jsonl").write_text(f'{{"event_time": 1, "customer_id": "{text}"}}\n')
    with pytest.raises(RecordFileError, match=r"log\.jsonl:1: an escape .* is no valid Unicode"):
        list(read_records(path))
