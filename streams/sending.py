"""Sending columns: a kernel writes whole record batches, which aiokafka's producer sends as if it had built them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from models.record_batches import ATTRIBUTES_AT, HEADER_BYTES, LENGTH_END, MAGIC, batch_end, write_records
from models.records import Records
from models.texts import Texts

BATCH_BYTES: Final = 1_000_000  # of a batch, at most; Kafka's brokers take 1 MiB
TRANSACTIONAL: Final = 0x10  # attribute
PRODUCER_AT: Final = 43
CRC_AT: Final = 17
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_PRODUCER: Final = struct.Struct(">qhi")
_NO_EPOCH: Final = -1
_NO_PRODUCER: Final = (-1, -1, 0)
NO_HEADERS: Final = Texts.of([])
UNKNOWN_OFFSET: Final = -1  # of a batch that the broker has for long


class WholeBatch(BatchBuilder):  # type: ignore[misc]
    """Rows first … end - 1 of records as a batch; nothing can be added to it."""

    def __init__(
        self, records: Records, headers: Texts, first: int, end: int, payload_bytes: int, transactional: bool
    ) -> None:
        count, times = end - first, records.timestamp[first:end]
        self._closed, self._relative_offset = True, count
        self._buffer = bytearray(HEADER_BYTES + payload_bytes)
        self._checked = False
        length, attributes = len(self._buffer) - LENGTH_END, TRANSACTIONAL if transactional else 0
        self._buffer[:HEADER_BYTES] = _HEADER.pack(
            *(0, length, _NO_EPOCH, MAGIC, 0, attributes, count - 1),
            *(int(times[0]), int(times.max()), *_NO_PRODUCER, count),
        )
        write_records(records, headers, first, end, np.frombuffer(self._buffer, np.uint8)[HEADER_BYTES:])

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        _PRODUCER.pack_into(self._buffer, PRODUCER_AT, producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        if not self._checked:
            crc = calc_crc32c(memoryview(self._buffer)[ATTRIBUTES_AT:])
            struct.pack_into(">I", self._buffer, CRC_AT, crc)
            self._checked = True
        return self._buffer


def batches_of(records: Records, headers: Texts = NO_HEADERS, *, transactional: bool = False) -> Iterator[WholeBatch]:
    """The records in as few batches as fit. Offsets do not matter.

    headers: of each record, as `models.record_batches.write_records` has them; without them only ticks have one.
    """
    first = 0
    while first < records.count:
        end, size = batch_end(records, headers, first, BATCH_BYTES - HEADER_BYTES)
        yield WholeBatch(records, headers, first, end, size, transactional)
        first = end


class MoreRecordsError(RuntimeError):
    """A broker holds more than the log, records of it twice perhaps; the message names the partition."""


async def send_log(producer: AIOKafkaProducer, topic: str, partition: int, log: Records) -> None:
    """Send the log of a partition that nobody else writes to, and wait until it is acknowledged.

    Raises MoreRecordsError if the broker gave it other offsets than the log has, and what sending raises. A broker
    that starts again has forgotten producers whose records are a day old (its `producer.id.expiration.ms`): it may
    take a second time what it was writing when it died.
    """
    firsts, sends, at = [], [], 0
    for batch in batches_of(log):
        firsts.append(int(log.offset[at]))
        sends.append(await producer.send_batch(batch, topic, partition=partition))
        at += batch.record_count()
    for first, sent in zip(firsts, await asyncio.gather(*sends), strict=True):
        if sent.offset not in (first, UNKNOWN_OFFSET):
            raise MoreRecordsError(
                f"partition {partition} of {topic} has more records than were sent: what should have offset "
                f"{first} has {sent.offset}. Does a worker send ticks to it (start it with --tick-ms 0), or did the "
                "broker start again meanwhile?"
            )
