"""What a line of a file of records says of its record, without decoding the event."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.jit import kernel, routine
from models.json_number import integer
from models.json_scan import (
    FAIL,
    LOWER_N,
    after_null,
    after_space,
    after_value,
    byte,
    field_name,
    first_field,
    next_field,
    plain_text,
)
from models.texts import Ints, Texts, equal_bytes

# columns of `out`
LINE_CUSTOMER_START: Final = 0
LINE_CUSTOMER_SIZE: Final = 1
LINE_EVENT_TIME: Final = 2
LINE_RECEIVED_AT: Final = 3
LINE_HAS_RECEIVED_AT: Final = 4
LINE_COLUMNS: Final = 5

_CUSTOMER_ID: Final = np.frombuffer(b"customer_id", np.uint8)
_EVENT_TIME: Final = np.frombuffer(b"event_time", np.uint8)
_RECEIVED_AT: Final = np.frombuffer(b"received_at", np.uint8)
_RECORD: Final = np.frombuffer(b"$record", np.uint8)

# the fields that are looked at
_CUSTOMER: Final = 0
_EVENT: Final = 1
_RECEIVED: Final = 2
_WRAPPED: Final = 3
_OTHER: Final = 4
_NEEDED: Final = 1 << _CUSTOMER | 1 << _EVENT


class Lines(NamedTuple):
    """What n lines say. `read`: bool[n], False for a line that must be looked at by a full parser: it is wrapped as
    $record, broken, lacks customer_id or event_time, or holds something unusual; its other values mean nothing.

    customer_start, customer_size: the customer_id, a span of the lines' buffer; event_time, received_at (ms; 0 where
    has_received_at is False): int64[n].
    """

    read: NDArray[np.bool_]
    customer_start: Ints
    customer_size: Ints
    event_time: Ints
    received_at: Ints
    has_received_at: NDArray[np.bool_]


def read_lines(lines: Texts) -> Lines:
    """What each line says of its record.

    >>> line = b'{"event_time": 5, "customer_id": "c1", "properties": {}}'
    >>> found = read_lines(Texts.of([line, b"{"]))
    >>> found.read.tolist(), found.event_time[0], line[found.customer_start[0] :][: found.customer_size[0]]
    ([True, False], np.int64(5), b'c1')
    """
    out = np.zeros((LINE_COLUMNS, lines.count), np.int64)
    read = np.zeros(lines.count, np.bool_)
    _read_lines(lines.data, lines.start, lines.size, out, read)
    start, size, event_time, received_at, has_received_at = out
    return Lines(read, start, size, event_time, received_at, has_received_at.astype(np.bool_))


@kernel
def _read_lines(data, start, size, out, read):
    for row in range(len(start)):
        read[row] = envelope(data, start[row], size[row], out, row)


@routine
def envelope(data, start, size, out, row):
    """Reads the object in data[start : start + size] into out[:, row]; whether it was sure of all it read."""
    end, seen = start + size, 0
    out[LINE_RECEIVED_AT, row] = 0
    out[LINE_HAS_RECEIVED_AT, row] = 0
    at, more = first_field(data, start, end)
    while more:
        name, name_size, at = field_name(data, at, end)
        if at == FAIL:
            return False
        field = _field(data, name, name_size)
        if field == _WRAPPED or (field != _OTHER and seen >> field & 1):
            return False
        seen |= 1 << field
        at, more = next_field(data, _after_field(data, at, end, field, out, row), end)
    return at != FAIL and after_space(data, at, end) == end and seen & _NEEDED == _NEEDED


@routine
def _field(data, name, size):
    if equal_bytes(data, name, size, _CUSTOMER_ID, 0, len(_CUSTOMER_ID)):
        return _CUSTOMER
    if equal_bytes(data, name, size, _EVENT_TIME, 0, len(_EVENT_TIME)):
        return _EVENT
    if equal_bytes(data, name, size, _RECEIVED_AT, 0, len(_RECEIVED_AT)):
        return _RECEIVED
    return _WRAPPED if equal_bytes(data, name, size, _RECORD, 0, len(_RECORD)) else _OTHER


@routine
def _after_field(data, at, end, field, out, row):
    """Behind the value of a field, which is kept if it is one that is looked at."""
    if field == _CUSTOMER:
        out[LINE_CUSTOMER_START, row], out[LINE_CUSTOMER_SIZE, row], at = plain_text(data, at, end)
    elif field == _EVENT:
        at, out[LINE_EVENT_TIME, row] = integer(data, at, end)
    elif field == _RECEIVED and byte(data, at, end) == LOWER_N:
        at = after_null(data, at, end)
    elif field == _RECEIVED:
        at, out[LINE_RECEIVED_AT, row] = integer(data, at, end)
        out[LINE_HAS_RECEIVED_AT, row] = 1
    else:
        at = after_value(data, at, end)
    return at
