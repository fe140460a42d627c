"""The loop that puts records into the logs of partitions, with a tick in each at every hour (docs/decisions/0007)."""

from __future__ import annotations

from typing import Final

from models.hashing import partition_of
from models.jit import kernel, part
from models.texts import NULL

NO_TICK: Final = -(2**63)  # next tick before the first record


@part
def after(timestamp, tick_ms):
    """The first tick after an instant."""
    return timestamp // tick_ms * tick_ms + tick_ms


@kernel
def place(records, next_tick, tick_ms, numbers, counts):
    """The partition of each record, and how many rows each partition gets.

    numbers: int64[n], filled; counts: int64[partitions], added to. A record without a key goes to partition 0.
    """
    ticks = 0
    for i in range(len(numbers)):
        timestamp = records.timestamp[i]
        if next_tick == NO_TICK:
            next_tick = after(timestamp, tick_ms)
        elif timestamp >= next_tick:
            ticks += (timestamp - next_tick) // tick_ms + 1
            next_tick = after(timestamp, tick_ms)
        number = 0
        if records.key_size[i] != NULL:
            number = partition_of(records.data, records.key_start[i], records.key_size[i], len(counts))
        numbers[i] = number
        counts[number] += 1
    for number in range(len(counts)):
        counts[number] += ticks


@kernel
def fill(records, next_tick, tick_ms, numbers, at, offsets, logs):
    """Put each record into its log, and ticks into all of them; returns the next tick.

    numbers: as `place` has filled it; at: int64[partitions], rows of `logs` that are filled next; offsets:
    int64[partitions], those of the next records. Both advance.
    """
    for i in range(len(numbers)):
        timestamp = records.timestamp[i]
        if next_tick == NO_TICK:
            next_tick = after(timestamp, tick_ms)
        while timestamp >= next_tick:
            _put_ticks(next_tick, at, offsets, logs)
            next_tick += tick_ms
        _put(records, i, at, offsets, numbers[i], logs)
    return next_tick


@part
def _put(records, i, at, offsets, number, logs):
    row = at[number]
    logs.offset[row] = offsets[number]
    logs.timestamp[row] = records.timestamp[i]
    logs.key_start[row] = records.key_start[i]
    logs.key_size[row] = records.key_size[i]
    logs.value_start[row] = records.value_start[i]
    logs.value_size[row] = records.value_size[i]
    logs.tick[row] = False
    at[number] = row + 1
    offsets[number] += 1


@part
def _put_ticks(timestamp, at, offsets, logs):
    for number in range(len(at)):
        row = at[number]
        logs.offset[row] = offsets[number]
        logs.timestamp[row] = timestamp
        logs.key_start[row] = logs.value_start[row] = 0
        logs.key_size[row] = logs.value_size[row] = NULL
        logs.tick[row] = True
        at[number] = row + 1
        offsets[number] += 1
