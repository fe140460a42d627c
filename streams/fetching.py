"""Fetching without an object a record: what aiokafka's consumer fetched becomes columns, batch by batch.

aiokafka makes a ConsumerRecord of every record, which costs more than all that Zhice does with it. Here its fetcher
goes through the batches of a response as ever (checksums, control batches, aborted transactions, positions), but gets
one thing for each batch, the batch itself; a kernel then reads all of them at once. Where it reaches into aiokafka:

- `aiokafka.consumer.fetcher.MemoryRecords` is replaced by a subclass that keeps the bytes of the response. This
  holds for every consumer of the process, and changes nothing for one that does not ask;
- the dict `_records` of a consumer's `_fetcher`, where results wait to be taken: `deliver_batches` replaces it by one
  that makes each `PartitionRecords` go through `Batches`, and give a batch where it would have made a record.

`AIOKAFKA` is the version that this was written for; any other is refused when a consumer is asked to deliver batches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import aiokafka
import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Transport
from faust.types import TP
from mode.threads import ServiceThread, WorkerThread

from models.record_batches import COUNT_AT, HEADER_BYTES, LENGTH_AT, LENGTH_END, MAGIC, MAGIC_AT, read_batches
from models.records import Records
from models.texts import Bytes, Ints
from streams import clients

AIOKAFKA: Final = "0.14.0"
THREAD_STOP_S: Final = 3.0
MIN_RECORD_BYTES: Final = 7  # of a record on the wire
UNPACKED_BYTES: Final = 32 << 20  # of a response for one partition, beyond which its other batches are fetched again
PART_BYTES: Final = 64 << 20  # of keys and values that go through the worker together; Arrow has 2 GiB a column
FETCH_WAIT_MS: Final = 100  # of a fetch that brings nothing; until it is over a broker gets no other one
DECODERS: Final[Mapping[int, Callable[[bytes], bytes]]] = {
    1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode,
}  # fmt: skip


class FetchingError(RuntimeError):
    """This aiokafka is not the one that streams/fetching.py reaches into."""


def deliver_batches(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that was started give `Batch`es in place of records: `fetched_records`, getmany. For good.

    Raises FetchingError.
    """
    if aiokafka.__version__ != AIOKAFKA:
        raise FetchingError(f"aiokafka is {aiokafka.__version__}; fetching needs {AIOKAFKA}: install requirements.lock")
    consumer._fetcher._records = _Results(consumer._fetcher._records)


class _LeftThread(WorkerThread):
    """A thread that nothing waits for without end: while a broker refuses it or is away, it does not stop."""

    def __init__(self, service: ServiceThread, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True

    def stop(self) -> None:
        self.is_stopped.wait(THREAD_STOP_S)


class RecordsThread(AIOKafkaConsumerThread):
    """Faust's consumer thread, where a fetch gives `Records`: for each partition some, of at most so many records."""

    Worker = _LeftThread

    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        """Faust reads uncommitted records: events that a worker sent on, or a producer took back, would come twice.

        And its assignor moves partitions that could stay, and need no restore then. One assignor only: aiokafka joins
        its group once for each, and each join makes all others join again. It has one fetch at a time on its way to a
        broker; one for a partition that is at its end holds up all others, with Faust for 1.5 s. And it ends as a
        `Reader` does.
        """
        consumer = super()._create_worker_consumer(transport)
        consumer.__class__ = clients.Reader
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        consumer._partition_assignment_strategy = [StickyPartitionAssignor]
        return consumer

    def set_shutdown(self) -> None:
        """Nobody waits for it where the loop of the worker is closed: the thread was left, and ends later."""
        try:
            super().set_shutdown()
        except RuntimeError:
            if not self.parent_loop.is_closed():
                raise

    async def on_start(self) -> None:
        await super().on_start()
        deliver_batches(self._ensure_consumer())

    async def seek_assigned(self, tp: TP, offset: int, is_wanted: Callable[[], bool]) -> bool:
        """Go on at an offset; false if it is not wanted any more, or the partition is not assigned at present.

        All of it in the consumer's thread. From another one, as Faust's seek, it would come in the middle of a fetch,
        whose position then may win.
        """

        async def seek() -> bool:
            consumer = self._ensure_consumer()
            if is_assigned := is_wanted() and tp in consumer.assignment():
                consumer.seek(tp, offset)
            return is_assigned

        return bool(await self.call_thread(seek))

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, list[Records]]:
        fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        return {tp: parts_of(records_of(batches), max_records) for tp, batches in fetched.items()}


def parts_of(records: Records, most: int | None) -> list[Records]:
    """The records in parts of at most so many, and PART_BYTES; each has its own buffer, if there are several."""
    firsts = _firsts(records, most or records.count)
    if len(firsts) <= 1:
        return [records][: len(firsts)]
    return [records.take(slice(*ends)).packed() for ends in pairwise([*firsts, records.count])]


def _firsts(records: Records, most: int) -> list[int]:
    """The first record of each part; one that is larger than PART_BYTES is a part by itself."""
    ends = np.cumsum(np.maximum(records.key_size, 0) + np.maximum(records.value_size, 0))
    firsts, first, before = [], 0, 0
    while first < records.count:
        firsts.append(first)
        fit = int(np.searchsorted(ends, before + PART_BYTES, "right"))
        first = min(first + most, max(first + 1, fit))
        before = int(ends[first - 1])
    return firsts


class _Kept(MemoryRecords):  # type: ignore[misc]
    """The batches of a response for one partition, as aiokafka takes them, and their bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


fetcher.MemoryRecords = _Kept


class _Results(OrderedDict[Any, Any]):
    """What was fetched and not yet taken, by partition."""

    def __setitem__(self, tp: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            _give_batches(result._partition_records)
        super().__setitem__(tp, result)


def _give_batches(fetched: PartitionRecords) -> None:
    """Nothing of it has been taken yet."""
    fetched._records = Batches(fetched._records.data, fetched.next_fetch_offset)
    fetched._consumer_record = _itself


def _itself(tp: object, batch: Batch) -> Batch:
    return batch


class Batches:
    """The batches of a response for one partition, in the shape of aiokafka's MemoryRecords.

    They end where those that were gone through have more than UNPACKED_BYTES: a megabyte of a response may become
    gigabytes, and to fetch the others again costs less than to keep them.
    """

    def __init__(self, data: bytes, first_offset: int) -> None:
        self.data, self.first_offset = data, first_offset
        self.unpacked_bytes = 0
        self._batches, self._at = MemoryRecords(data), 0

    def has_next(self) -> bool:
        return self.unpacked_bytes <= UNPACKED_BYTES and bool(self._batches.has_next())

    def next_batch(self) -> Batch:
        start = self._at
        length = self.data[start + LENGTH_AT : start + LENGTH_END]
        self._at = start + LENGTH_END + int.from_bytes(length, "big", signed=True)
        if self._at < start + HEADER_BYTES or self.data[start + MAGIC_AT] != MAGIC:
            raise CorruptRecordException("a record batch that is broken, or older than Kafka 0.11")
        return Batch(self._batches.next_batch(), self, start, self._at)


class Batch:
    """One batch, in the shape of aiokafka's DefaultRecordBatch; gone through, it is a single record: itself."""

    def __init__(self, batch: Any, response: Batches, start: int, end: int) -> None:
        self._batch, self.response, self.start, self.end = batch, response, start, end
        count = response.data[start + COUNT_AT : start + HEADER_BYTES]
        self.count = max(0, int.from_bytes(count, "big", signed=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # the marker in a control batch

    def __iter__(self) -> Iterator[Batch]:
        if self.count:
            self.response.unpacked_bytes += len(self.payload)
            yield self

    @property
    def offset(self) -> int:
        """The last that it covers."""
        return int(self._batch.next_offset) - 1

    @cached_property
    def payload(self) -> bytes:
        """Its records, decompressed; empty for one that is not compressed."""
        codec = self._batch.compression_type
        if not codec:
            return b""
        if codec not in DECODERS:
            raise UnsupportedCodecError(f"Unknown compression codec {codec}")
        return DECODERS[codec](self.response.data[self.start + HEADER_BYTES : self.end])


def records_of(batches: Sequence[Batch]) -> Records:
    """The records of batches of one response, those before the offset that was asked for left out.

    Raises CorruptRecordException, UnsupportedCodecError.
    """
    data, spans = _unpacked(batches)
    count, room = sum(batch.count for batch in batches), int((spans[2] - spans[1]).sum())
    if count * MIN_RECORD_BYTES > room:
        raise CorruptRecordException(f"{count} records in {room} bytes")
    records = Records(data, *(np.empty(count, np.int64) for _ in range(6)), np.empty(count, np.bool_))
    whole = read_batches(data, *spans, records)
    if whole < len(batches):
        raise CorruptRecordException(f"the record batch at offset {batches[whole].base_offset} is broken")
    return records.since(batches[0].response.first_offset)


def _unpacked(batches: Sequence[Batch]) -> tuple[Bytes, tuple[Ints, Ints, Ints]]:
    """The response and behind it what was compressed; in it, each batch's header, payload, and the payload's end."""
    parts, spans = [batches[0].response.data], []
    size = len(parts[0])
    for batch in batches:
        start, end = batch.start + HEADER_BYTES, batch.end
        if payload := batch.payload:
            parts.append(payload)
            start, end = size, size + len(payload)
            size = end
        spans.append((batch.start, start, end))
    header, starts, ends = np.array(spans, np.int64).T.copy()
    return np.frombuffer(bytearray().join(parts), np.uint8), (header, starts, ends)
