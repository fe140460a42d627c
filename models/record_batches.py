"""Kafka's record batches (magic 2): the bytes of many records to columns and back, a loop each.

A batch is a header and a payload. The header's bytes, big-endian: base offset 8, length 4, leader epoch 4, magic 1,
CRC 4, attributes 2, last offset delta 4, first timestamp 8, largest timestamp 8, producer id 8, epoch 2, first sequence
4, count 4. The payload is records, each of varints and bytes: length, attributes (one byte), timestamp delta, offset
delta, key, value, headers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import kernel, part
from models.texts import NULL, equal_bytes

HEADER_BYTES: Final = 61
LENGTH_AT: Final = 8
LENGTH_END: Final = 12
MAGIC_AT: Final = 16
ATTRIBUTES_AT: Final = 21
FIRST_TIMESTAMP_AT: Final = 27
MAX_TIMESTAMP_AT: Final = 35
COUNT_AT: Final = 57
MAGIC: Final = 2
APPEND_TIME: Final = 0x08  # attribute: the broker's time, one for all records of the batch

FAIL: Final = -1
_TICK_NAME: Final = np.frombuffer(b"zhice", np.uint8)
_TICK_VALUE: Final = np.frombuffer(b"tick", np.uint8)
_TICK_HEADERS: Final = np.frombuffer(b"\x02\x0azhice\x08tick", np.uint8)  # one header, as it is written


@part
def big_endian(data, at, size):
    """A signed number of 2, 4 or 8 bytes."""
    number = np.int64(data[at]) if data[at] < 0x80 else np.int64(data[at]) - 0x100
    for k in range(1, size):
        number = number << 8 | np.int64(data[at + k])
    return number


@part
def varint(data, at, end):
    """(position behind, value) of a zigzag varint; FAIL if it is broken or goes beyond the end."""
    bits, shift = np.uint64(0), 0
    while at < end and shift < 70:
        byte = np.uint64(data[np.uintp(at)])
        bits |= (byte & np.uint64(0x7F)) << np.uint64(shift)
        at += 1
        if byte < 0x80:
            return at, np.int64(bits >> np.uint64(1)) ^ -np.int64(bits & np.uint64(1))
        shift += 7
    return FAIL, np.int64(0)


@kernel
def read_batches(data, header, start, end, records):
    """Fill in the records of batches; returns how many batches are whole: the next one, if there is one, is broken.

    header, start, end: int64[batches], where in `data` each header, payload and end of the payload is; records: over
    `data`, one row a record.
    """
    row = 0
    for batch in range(len(header)):
        at, head = start[batch], header[batch]
        base, first = big_endian(data, head, 8), big_endian(data, head + FIRST_TIMESTAMP_AT, 8)
        count = big_endian(data, head + COUNT_AT, 4)
        for _ in range(count):
            at = _record(data, at, end[batch], base, first, records, row)
            if at == FAIL:
                return batch
            row += 1
        if at != end[batch]:
            return batch
        if big_endian(data, head + ATTRIBUTES_AT, 2) & APPEND_TIME:
            records.timestamp[row - count : row] = big_endian(data, head + MAX_TIMESTAMP_AT, 8)
    return len(header)


@part
def _record(data, at, end, base, first, records, row):
    """Read one record; the position behind it."""
    at, length = varint(data, at, end)
    stop = at + length
    if at == FAIL or length < 0 or stop > end:
        return FAIL
    at, delta = varint(data, at + 1, stop)
    records.timestamp[row] = first + delta
    at, delta = _next_varint(data, at, stop)
    records.offset[row] = base + delta
    at, records.key_start[row], records.key_size[row] = _bytes(data, at, stop)
    at, records.value_start[row], records.value_size[row] = _bytes(data, at, stop)
    at, tick = _headers(data, at, stop)
    records.tick[row] = tick and records.value_size[row] <= 0
    return at if at == stop else FAIL


@part
def _next_varint(data, at, end):
    return (FAIL, np.int64(0)) if at == FAIL else varint(data, at, end)


@part
def _bytes(data, at, end):
    """(position behind, start, size) of bytes or NULL."""
    at, size = _next_varint(data, at, end)
    if at == FAIL or size > end - at:
        return FAIL, 0, NULL
    return (at, at, NULL) if size < 0 else (at + size, at, size)


@part
def _headers(data, at, end):
    """(position behind, whether one of them makes a tick)."""
    at, count = _next_varint(data, at, end)
    if at == FAIL or count < 0:
        return FAIL, False
    tick = False
    for _ in range(count):
        at, name, name_size = _bytes(data, at, end)
        at, value, value_size = _bytes(data, at, end)
        if at == FAIL or name_size == NULL:
            return FAIL, False
        tick |= equal_bytes(data, name, name_size, _TICK_NAME, 0, len(_TICK_NAME)) and equal_bytes(
            data, value, value_size, _TICK_VALUE, 0, len(_TICK_VALUE)
        )
    return at, tick


@part
def _varint_size(value):
    bits, size = np.uint64(value << 1 ^ value >> 63), 1
    while bits >= 0x80:
        bits >>= np.uint64(7)
        size += 1
    return size


@part
def _put_varint(data, at, value):
    """The position behind a number that is written as a zigzag varint."""
    bits = np.uint64(value << 1 ^ value >> 63)
    while bits >= 0x80:
        data[at] = np.uint8(bits & np.uint64(0x7F) | np.uint64(0x80))
        bits >>= np.uint64(7)
        at += 1
    data[at] = np.uint8(bits)
    return at + 1


@part
def _record_size(records, headers, row, first):
    """Bytes of a record in a batch that begins with row `first`, without those of its length."""
    key, value = records.key_size[row], records.value_size[row]
    return (
        1
        + _varint_size(records.timestamp[row] - records.timestamp[first])
        + _varint_size(row - first)
        + _varint_size(key)
        + max(key, 0)
        + _varint_size(value)
        + max(value, 0)
        + _headers_size(records, headers, row)
    )


@part
def _headers_size(records, headers, row):
    if records.tick[row]:
        return len(_TICK_HEADERS)
    return headers.size[row] if len(headers.size) else 1


@kernel
def batch_end(records, headers, first, limit):
    """(row behind, bytes of payload) of a batch that begins with row `first` and is as large as `limit` allows.

    headers: of each record, as `write_records` has them. A first record that is larger is alone in its batch.
    """
    row, total = first, 0
    while row < len(records.offset):
        size = _record_size(records, headers, row, first)
        size += _varint_size(size)
        if row > first and total + size > limit:
            break
        row, total = row + 1, total + size
    return row, total


@kernel
def write_records(records, headers, first, end, target):
    """Write rows first … end - 1 as the payload of a batch; offsets are those that the broker will give.

    headers: of each record, as they are written with their number before them, or no texts: then only ticks have one.
    """
    at = 0
    for row in range(first, end):
        at = _put_varint(target, at, _record_size(records, headers, row, first))
        target[at] = 0
        at = _put_varint(target, at + 1, records.timestamp[row] - records.timestamp[first])
        at = _put_varint(target, at, np.int64(row - first))
        at = _put_bytes(records.data, records.key_start[row], records.key_size[row], target, at)
        at = _put_bytes(records.data, records.value_start[row], records.value_size[row], target, at)
        if records.tick[row]:
            at = _copy(_TICK_HEADERS, 0, len(_TICK_HEADERS), target, at)
        elif len(headers.size):
            at = _copy(headers.data, headers.start[row], headers.size[row], target, at)
        else:
            target[at] = 0
            at += 1


@part
def _put_bytes(data, start, size, target, at):
    return _copy(data, start, size, target, _put_varint(target, at, size))


@part
def _copy(data, start, size, target, at):
    for k in range(size):
        target[np.uintp(at + k)] = data[np.uintp(start + k)]
    return at + max(size, 0)
