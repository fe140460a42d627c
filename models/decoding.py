"""From the records of a batch to columns.

A kernel reads the bytes of the usual record without a Python object an event. What it is not sure of, and so whatever
is no event, takes the slow way of `RecordReader`, which yields the same for every event.
"""

from __future__ import annotations

import numpy as np

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
from models.events import MIN_EVENT_TIME_MS, EventLayout, is_possible
from models.records import Record, Records
from models.texts import Bytes, Ints


class Decoder:
    """Decodes whole record batches. Between them it only remembers which name follows which, to spare look-ups."""

    def __init__(self, layout: EventLayout) -> None:
        self.layout = layout
        self._plan = compile_plan(layout)
        self._guesses = new_guesses(self._plan)
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
            timestamp=_possible(records.timestamp),
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
        read_events(self._plan, records, self._guesses, decoded)
        return decoded

    def _read_slowly(
        self, topic: str, partition: int, records: Records, slow: Ints, decoded: Decoded
    ) -> tuple[Bytes, list[BadRow]]:
        """Fills the rows `slow`: (the buffer, longer by what is in no record as it is read; the bad rows)."""
        rows, bad_rows = _Rows(records), list[BadRow]()
        for row in slow.tolist():
            record = records.record(row)
            try:
                reading = self._reader.read(record)
            except ValueError:  # msgspec's and Unicode's errors are
                bad_rows.append(_bad_row(topic, partition, record, self._reader.failure(record)))
            else:
                rows.add(row, record.value or b"", reading)
        decoded.event_type[slow] = BAD
        read, data = rows.put(decoded)
        finish_rows(self._plan, data, read, decoded)
        return data, bad_rows


class _Rows:
    """Events for single rows of a batch, put into its arrays together: setting one cell at a time is slow."""

    def __init__(self, records: Records) -> None:
        self._value_start = records.value_start
        self._data = records.data
        self._more = bytearray()
        # Flat lists of numbers: a tuple each would be one more object for the garbage collector to look at.
        self._types: list[int] = []  # row, event type, event time
        self._received: list[int] = []  # row, received_at
        self._cells: list[float] = []  # row, column, value
        self._spans: list[int] = []  # row, text, start, size

    def add(self, row: int, value: bytes, reading: Reading) -> None:
        """The event of a record with this value."""
        event = reading.event
        self._types += (row, reading.event_type, event.event_time)
        if event.received_at is not None:
            self._received += (row, event.received_at)
        for column, cell in reading.cells:
            self._cells += (row, column, cell)
        start = int(self._value_start[row])
        ids = (event.event_id, event.event, event.customer_id, event.channel, event.session_id, event.device_id)
        for number, text in enumerate(ids):
            if text is not None:
                self._add_text(row, number, start, value, text.encode())
        for number, key in enumerate(reading.keys, Field.KEYS):
            if key is not None:
                self._add_text(row, number, start, value, key.encode())
        for number, raw in ((Field.CONTEXT, event.context), (Field.PROPERTIES, event.properties)):
            if raw:
                self._add_text(row, number, start, value, bytes(raw))

    def _add_text(self, row: int, number: int, start: int, value: bytes, text: bytes) -> None:
        """A text is where the value holds the same bytes; behind the records' data if JSON has it with escapes."""
        at = value.find(text)
        if at < 0:
            at, start = len(self._more), len(self._data)
            self._more += text
        self._spans += (row, number, start + at, len(text))

    def put(self, decoded: Decoded) -> tuple[Ints, Bytes]:
        """Fills the rows: (which they are; the records' data and, behind it, what is in no record as it is read)."""
        rows, types, times = _columns(self._types, 3)
        decoded.event_type[rows], decoded.numbers[TIME, rows] = types, times
        received_rows, received = _columns(self._received, 2)
        decoded.numbers[RECEIVED, received_rows], decoded.has_received_at[received_rows] = received, True
        cell_rows, columns, cells = np.array(self._cells, np.float64).reshape(-1, 3).T
        decoded.properties[cell_rows.astype(np.int64), columns.astype(np.int64)] = cells
        text_rows, numbers, starts, sizes = _columns(self._spans, 4)
        decoded.spans[:, numbers, text_rows] = starts, sizes
        return rows, np.concatenate([self._data, np.frombuffer(self._more, np.uint8)]) if self._more else self._data


def _possible(timestamp: Ints) -> Ints:
    """The times of records, but for those that no record can have, which would move the clock: these move nothing."""
    possible = is_possible(timestamp)
    return timestamp if possible.all() else np.where(possible, timestamp, MIN_EVENT_TIME_MS)


def _columns(flat: list[int], columns: int) -> Ints:
    """int64[columns, rows] of rows one behind the other; in C's order, as the arrays of all kernels are."""
    return np.ascontiguousarray(np.array(flat, np.int64).reshape(-1, columns).T)


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
