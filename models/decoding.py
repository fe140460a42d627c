"""From the records of a batch to columns.

A kernel reads the bytes of the usual record without a Python object an event. What it is not sure of, and so whatever
is no event, takes the slow way of `RecordReader`, which yields the same for every event.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.bad_rows import BadRow, Failure
from models.columns import BAD, Columns, Field
from models.decode_kernel import finish_rows, read_events
from models.decode_plan import (
    CUSTOMER_HASH,
    ID_HASH,
    RECEIVED,
    SLOW,
    TIME,
    Decoded,
    compile_plan,
    new_decoded,
    new_guesses,
)
from models.decode_record import Reading, RecordReader
from models.events import EventLayout
from models.records import Record, Records
from models.texts import Bytes


class Decoder:
    """Decodes whole record batches; holds no state between them."""

    def __init__(self, layout: EventLayout) -> None:
        self.layout = layout
        self._plan = compile_plan(layout)
        self._reader = RecordReader(layout)

    def columns(self, topic: str, partition: int, records: Records) -> Columns:
        """The records as columns, one row each; what is no event is a tick or a bad row."""
        decoded = self._read(records)
        slow = np.flatnonzero(decoded.event_type == SLOW)
        data, bad_rows = records.data, list[BadRow]()
        if len(slow):
            data, bad_rows = self._read_slowly(topic, partition, records, slow, decoded)
        return Columns(
            topic=topic,
            partition=partition,
            offset=records.offset,
            timestamp=records.timestamp,
            event_type=decoded.event_type,
            event_time=decoded.numbers[TIME],
            received_at=decoded.numbers[RECEIVED],
            has_received_at=decoded.has_received_at,
            id_hash=decoded.numbers[ID_HASH],
            customer_hash=decoded.numbers[CUSTOMER_HASH],
            data=data,
            start=decoded.spans[0],
            size=decoded.spans[1],
            properties=decoded.properties,
            bad_rows=bad_rows,
        )

    def _read(self, records: Records) -> Decoded:
        """What the kernel reads of the records; the rest is SLOW."""
        decoded = new_decoded(records.count, self.layout)
        read_events(self._plan, records, new_guesses(self._plan), decoded)
        return decoded

    def _read_slowly(
        self, topic: str, partition: int, records: Records, slow: NDArray[np.int64], decoded: Decoded
    ) -> tuple[Bytes, list[BadRow]]:
        """Fills the rows `slow`: (the buffer, longer by what is in no record as it is read; the bad rows)."""
        target, bad_rows = _Rows(records, decoded), list[BadRow]()
        for row in slow.tolist():
            record = records.record(row)
            try:
                reading = self._reader.read(record)
            except ValueError:  # msgspec's and Unicode's errors are
                bad_rows.append(_bad_row(topic, partition, record, self._reader.failure(record)))
            else:
                target.put(row, record.value or b"", reading)
        data = target.buffer()
        decoded.event_type[slow[decoded.event_type[slow] == SLOW]] = BAD
        finish_rows(self._plan, data, slow[decoded.event_type[slow] != BAD], decoded)
        return data, bad_rows


class _Rows:
    """Puts single events into the rows of a batch."""

    def __init__(self, records: Records, decoded: Decoded) -> None:
        self._records = records
        self._decoded = decoded
        self._more = bytearray()

    def put(self, row: int, value: bytes, reading: Reading) -> None:
        """The event of a record with this value."""
        decoded, event = self._decoded, reading.event
        decoded.event_type[row], decoded.numbers[TIME, row] = reading.event_type, event.event_time
        if event.received_at is not None:
            decoded.numbers[RECEIVED, row], decoded.has_received_at[row] = event.received_at, True
        for column, cell in reading.cells:
            decoded.properties[row, column] = cell
        ids = (event.event_id, event.event, event.customer_id, event.channel, event.session_id, event.device_id)
        for number, text in [*enumerate(ids), *enumerate(reading.keys, Field.KEYS)]:
            if text is not None:
                self._put_text(row, number, value, text.encode())
        for number, raw in ((Field.CONTEXT, event.context), (Field.PROPERTIES, event.properties)):
            if raw:
                self._put_text(row, number, value, bytes(raw))

    def _put_text(self, row: int, number: int, value: bytes, text: bytes) -> None:
        """A text is where the value holds the same bytes; behind the records' data if JSON has it with escapes."""
        at, start = value.find(text), int(self._records.value_start[row])
        if at < 0:
            at, start = len(self._more), len(self._records.data)
            self._more += text
        self._decoded.spans[:, number, row] = start + at, len(text)

    def buffer(self) -> Bytes:
        """The records' data, and what was put behind it."""
        if not self._more:
            return self._records.data
        return np.concatenate([self._records.data, np.frombuffer(self._more, np.uint8)])


def _bad_row(topic: str, partition: int, record: Record, failure: Failure) -> BadRow:
    return BadRow(
        reason=failure.reason,
        field=failure.field,
        detail=failure.detail,
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
    )
