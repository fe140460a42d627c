"""Batches of a response as columns: the same records as aiokafka gives one at a time."""

from __future__ import annotations

import asyncio
import struct
from typing import Any
from unittest import mock

import aiokafka
import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from hypothesis import given, settings
from hypothesis import strategies as st

from models.records import TICK_HEADER, Record, Records
from streams import fetching
from streams.clients import Reader
from streams.fetching import FetchingError, RecordsThread, deliver_batches, records_of

TP = TopicPartition("events", 3)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
ABORT, COMMIT = struct.pack(">hh", 0, 0), struct.pack(">hh", 0, 1)


def batch_of(
    records: list[Record],
    *,
    base: int = 0,
    codec: int = 0,
    producer: int = -1,
    control: bool = False,
    append_ms: int = 0,
) -> bytes:
    """A batch whose records stand at base + offset; append_ms: the broker's time, if it is not 0."""
    builder = DefaultRecordBatchBuilder(2, codec, int(producer >= 0), producer, 0, 0, 1 << 24)
    for record in records:
        builder.append(record.offset, record.timestamp, record.key, record.value, list(record.headers))
    made = bytearray(builder.build())
    made[0:8] = struct.pack(">q", base)
    attributes = struct.unpack_from(">h", made, 21)[0] | (0x20 if control else 0) | (0x08 if append_ms else 0)
    made[21:23] = struct.pack(">h", attributes)
    if append_ms:
        made[35:43] = struct.pack(">q", append_ms)
    return checked(made)


def checked(made: bytearray) -> bytes:
    """The batch with the checksum that it must have."""
    made[17:21] = struct.pack(">I", fetching_crc(bytes(made[21:])))
    return bytes(made)


def fetching_crc(data: bytes) -> int:
    from aiokafka.record.util import calc_crc32c

    return calc_crc32c(data)


def opened(data: bytes, first: int, aborted: list[tuple[int, int]], isolation: int) -> PartitionRecords:
    return PartitionRecords(TP, fetcher.MemoryRecords(data), aborted, first, None, None, True, isolation)


def one_at_a_time(*response: Any) -> tuple[list[Record], int]:
    """The records as aiokafka gives them, and the offset that it would fetch next."""
    fetched = opened(*response)
    records = [Record(one.offset, one.timestamp, one.key, one.value, one.headers) for one in fetched]
    return [record._replace(headers=tick_only(record)) for record in records], fetched.next_fetch_offset


def tick_only(record: Record) -> tuple[tuple[str, bytes], ...]:
    return (TICK_HEADER,) if not record.value and TICK_HEADER in record.headers else ()


def in_batches(*response: Any) -> tuple[list[Record], int]:
    fetched = opened(*response)
    fetching._give_batches(fetched)
    batches = list(fetched)
    if not batches:
        return [], fetched.next_fetch_offset
    records = records_of(batches)
    assert records.data.flags.writeable  # else each kernel would be compiled for read-only arrays as well
    return [records.record(row) for row in range(records.count)], fetched.next_fetch_offset


texts = st.none() | st.binary(max_size=200)
headers = st.lists(
    st.sampled_from([TICK_HEADER, ("zhice", b"tock"), ("zhice", None), ("other", b"tick")])
    | st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)),
    max_size=3,
).map(tuple)
times = st.integers(0, 2**41) | st.integers(0, 3)


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, int]], int]:
    """A response: batches with gaps, of several producers, transactional or not, committed or aborted."""
    data, base, aborted = b"", draw(st.integers(0, 2**40)), []
    first, in_first = base, 0
    for _ in range(draw(st.integers(1, 6))):
        producer = draw(st.sampled_from([-1, -1, 7, 8]))
        if producer >= 0 and draw(st.booleans()):
            marker = draw(st.sampled_from([ABORT, COMMIT]))
            data += batch_of([Record(0, 5, marker, b"\0\0\0\0\0\0")], base=base, producer=producer, control=True)
            base += 1
            continue
        if producer >= 0 and draw(st.booleans()):
            aborted.append((producer, base))
        offsets = sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=6)))
        made = [Record(offset, draw(times), draw(texts), draw(texts), draw(headers)) for offset in offsets]
        codec = draw(st.sampled_from(list(CODECS.values())))
        data += batch_of(made, base=base, codec=codec, producer=producer, append_ms=draw(st.sampled_from([0, 0, 99])))
        in_first = in_first if base > first else offsets[-1]
        base += offsets[-1] + 1 + draw(st.integers(0, 2))
    data += data[: draw(st.integers(0, 30))]  # a response may end within a batch
    asked = draw(st.integers(first, first + in_first))  # a broker begins with the batch that holds the offset
    return data, asked, aborted, draw(st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]))


@settings(max_examples=200, deadline=None)
@given(logs())
def test_batches_hold_what_aiokafka_gives_one_at_a_time(
    response: tuple[bytes, int, list[tuple[int, int]], int],
) -> None:
    assert in_batches(*response) == one_at_a_time(*response)


def test_a_response_is_unpacked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.1 MB were 2.4 GB of events: the worker took them at once, lost its heartbeats, and ended at each start."""
    unpacked: list[int] = []

    def counted(data: bytes) -> bytes:
        unpacked.append(len(payload := fetching.zstd_decode(data)))
        return payload

    monkeypatch.setattr(fetching, "DECODERS", {CODECS["zstd"]: counted})
    monkeypatch.setattr(fetching, "UNPACKED_BYTES", 250_000)
    made = [[Record(n, n, b"k", b"v" * 50_000) for n in range(2)] for _ in range(10)]
    batches = [batch_of(records, base=2 * number, codec=CODECS["zstd"]) for number, records in enumerate(made)]
    found: list[Record] = []
    for first in (0, 6, 12, 18):  # three batches each time, and the last one
        assert len(found) == first
        records, next_offset = in_batches(b"".join(batches[first // 2 :]), first, [], READ_COMMITTED)
        found += records
        assert next_offset == len(found)
    assert [record.offset for record in found] == list(range(20))
    assert len(unpacked) == 10


def test_parts_keep_their_own_bytes_only() -> None:
    log = [Record(n, n, b"k%d" % n, None if n == 3 else b"v" * 1_000) for n in range(10)]
    parts = fetching.parts_of(Records.of(log).take(np.arange(10)), 4)
    assert [one for part in parts for one in map(part.record, range(part.count))] == log
    shared = Records.of(log).data.nbytes
    assert [part.count for part in parts] == [4, 4, 2] and all(part.data.nbytes < shared for part in parts)
    assert all(part.data.base is None for part in parts)
    (whole,) = fetching.parts_of(records := Records.of(log), 10)
    assert whole is records
    assert fetching.parts_of(Records.of([]), 10) == []


@pytest.mark.parametrize(
    ("sizes", "most", "counts"),
    [
        ([10] * 6, None, [6]),
        ([10] * 6, 4, [4, 2]),
        ([40] * 6, 4, [2, 2, 2]),
        ([50, 50, 1], 9, [2, 1]),
        ([500, 1, 500, 500], 9, [1, 1, 1, 1]),
        ([99, 500], 1, [1, 1]),
    ],
)
def test_parts_are_limited_by_bytes(
    sizes: list[int], most: int | None, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch may become more than Arrow has in a column: then its partition was never worked through."""
    monkeypatch.setattr(fetching, "PART_BYTES", 100)
    log = [Record(n, n, None, b"v" * size) for n, size in enumerate(sizes)]
    parts = fetching.parts_of(Records.of(log), most)
    assert [part.count for part in parts] == counts
    assert [one for part in parts for one in map(part.record, range(part.count))] == log


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_each_codec(codec: int) -> None:
    made = [Record(n, n, b"k%d" % n, b"v" * n, (TICK_HEADER,) if n == 0 else ()) for n in range(500)]
    data = batch_of(made, base=10, codec=codec)
    records, next_offset = in_batches(data * 1, 110, [], READ_UNCOMMITTED)
    assert records == [record._replace(offset=record.offset + 10) for record in made[100:]]
    assert next_offset == 510


def test_a_batch_that_compaction_emptied_moves_the_offset() -> None:
    made = bytearray(batch_of([Record(0, 1, b"k", b"v"), Record(1, 1, b"k", b"v")], base=4))[:61]
    made[8:12], made[57:61] = struct.pack(">i", 61 - 12), struct.pack(">i", 0)
    assert in_batches(checked(made), 4, [], READ_UNCOMMITTED) == ([], 6)


@settings(max_examples=200, deadline=None)
@given(st.integers(21, 400), st.integers(0, 255), st.booleans())
def test_broken_bytes_are_an_error_or_other_records_never_a_crash(at: int, byte: int, fix_crc: bool) -> None:
    made = bytearray(batch_of([Record(n, 5, b"key", b"value" * 10, (TICK_HEADER,)) for n in range(5)]))
    at = min(at, len(made) - 1)
    changed, made[at] = made[at] != byte, byte
    if fix_crc and not made[22] & 0x07:
        made[17:21] = struct.pack(">I", fetching_crc(bytes(made[21:])))
    try:
        found, _ = in_batches(bytes(made), 0, [], READ_UNCOMMITTED)
    except CorruptRecordException:
        assert changed
    else:
        assert not changed or fix_crc
        assert len(found) <= 5


@pytest.mark.parametrize("count", [-1, 4, 6, 2**31 - 1])
def test_a_count_that_is_wrong_is_an_error(count: int) -> None:
    made = bytearray(batch_of([Record(n, 5, b"key", b"value") for n in range(5)]))
    made[57:61] = struct.pack(">i", count)
    if count < 0:
        assert in_batches(checked(made), 0, [], READ_UNCOMMITTED) == ([], 5)
        return
    with pytest.raises(CorruptRecordException):
        in_batches(checked(made), 0, [], READ_UNCOMMITTED)


def test_an_old_format_is_an_error() -> None:
    made = bytearray(batch_of([Record(0, 5, b"key", b"value" * 20)]))
    made[16] = 1
    with pytest.raises(CorruptRecordException, match="older"):
        in_batches(bytes(made), 0, [], READ_UNCOMMITTED)


def test_a_thread_that_was_left_ends_without_a_word() -> None:
    """A broker kept it until its worker was gone; the loop of that one is closed, and nobody waits."""

    async def left() -> RecordsThread:
        return RecordsThread(mock.Mock())

    thread = asyncio.run(left())
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        AIOKafkaConsumerThread.set_shutdown(thread)
    thread.set_shutdown()
    thread.thread_loop.close()


def test_another_aiokafka_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka, "__version__", "0.15.0")
    with pytest.raises(FetchingError, match=r"0\.15\.0"):
        deliver_batches(object())


def test_this_aiokafka_is_the_one_that_is_meant() -> None:
    assert aiokafka.__version__ == fetching.AIOKAFKA
    assert np.uint8(2) == fetching.MAGIC


def test_the_consumer_of_faust_ends_as_a_reader() -> None:
    with mock.patch.object(AIOKafkaConsumerThread, "_create_worker_consumer"):
        consumer = RecordsThread._create_worker_consumer(object.__new__(RecordsThread), mock.Mock())
    assert isinstance(consumer, Reader)
