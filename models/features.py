"""Aggregates over tiles: how an accumulator takes an event and how a feature is read.

A ring is one cell for its newest tile and then `tiles` tiles of one cell (two, value and time, for first and last);
two tiles of counts share a cell, `low + high * 2**COUNT_BITS`, which a float64 holds exactly. A lifetime is a single
tile without the newest-tile cell.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import kernel, part
from models.plan import LATEST, Aggregate

_COUNT: Final = int(Aggregate.COUNT)
_SUM: Final = int(Aggregate.SUM)
_MIN: Final = int(Aggregate.MIN)
_MAX: Final = int(Aggregate.MAX)
_FIRST: Final = int(Aggregate.FIRST)
_LAST: Final = int(Aggregate.LAST)
_DISTINCT: Final = int(Aggregate.DISTINCT)

COUNT_BITS: Final = 26
MOST_COUNT: Final = (1 << COUNT_BITS) - 1  # events of an entity in one tile; what comes on top is not counted
COUNTS_A_CELL: Final = 2


def tiles_in_a_cell(aggregate: int, tiles: int) -> int:
    """How many tiles of a ring of so many (0: lifetime) share a cell."""
    return COUNTS_A_CELL if tiles and aggregate == _COUNT else 1


def tile_cells(aggregate: int, tiles: int) -> int:
    """Cells of so many tiles of a ring, or of the one of a lifetime (0)."""
    width = 2 if aggregate in (_FIRST, _LAST) else 1
    return -(-max(tiles, 1) // tiles_in_a_cell(aggregate, tiles)) * width


def accumulator_cells(aggregate: int, tiles: int) -> int:
    """Cells of an accumulator with so many tiles (0: lifetime)."""
    return (1 if tiles else 0) + tile_cells(aggregate, tiles)


@kernel
def empty_tile(aggregate):
    """What the cells of a tile hold over no events."""
    if aggregate == _COUNT or aggregate == _SUM or aggregate == _DISTINCT:
        return 0.0
    return np.nan


@part
def zone_offset(plan, time):
    """The zone's offset at an instant, ms."""
    low, high = 0, len(plan.zone_at)
    while high - low > 1:
        middle = (low + high) // 2
        if plan.zone_at[middle] <= time:
            low = middle
        else:
            high = middle
    return plan.zone_offset[low]


@part
def tile_of(plan, acc, time):
    """The number of the accumulator's tile in which an instant lies."""
    if plan.acc_local[acc]:
        time = time + zone_offset(plan, time)
    return time // plan.acc_tile_ms[acc]


@part
def count_in(cells, first, tile):
    """The count in a tile of a ring whose tiles begin at `first`."""
    pair = int(cells[first + tile // 2])
    return pair >> COUNT_BITS if tile & 1 else pair & MOST_COUNT


@part
def put_count(cells, first, tile, count):
    """Put a count into a tile of a ring whose tiles begin at `first`."""
    at = first + tile // 2
    pair = int(cells[at])
    if tile & 1:
        cells[at] = float((pair & MOST_COUNT) | (count << COUNT_BITS))
    else:
        cells[at] = float((pair >> COUNT_BITS << COUNT_BITS) | count)


@part
def merge(aggregate, cells, at, value, time):
    """Merge one value into the tile at `at`, which shares its cells with no other."""
    if aggregate == _COUNT:
        cells[at] += 1.0
    elif aggregate == _SUM:
        cells[at] += value
    elif aggregate == _MIN:
        if not cells[at] <= value:
            cells[at] = value
    elif aggregate == _MAX:
        if not cells[at] >= value:
            cells[at] = value
    elif aggregate == _FIRST:
        if not cells[at + 1] <= time:
            cells[at] = value
            cells[at + 1] = time
    elif aggregate == _LAST:
        if not cells[at + 1] > time:
            cells[at] = value
            cells[at + 1] = time
    elif 0 <= value:  # DISTINCT: a declared value is a bit
        cells[at] = float(int(cells[at]) | (1 << int(value)))


@part
def roll(plan, acc, cells, tile):
    """Make `tile` the ring's newest, emptying the tiles that it passes."""
    cell, tiles = plan.acc_cell[acc], plan.acc_tiles[acc]
    aggregate = plan.acc_aggregate[acc]
    width = 2 if aggregate == _FIRST or aggregate == _LAST else 1
    newest = cells[cell]
    steps = min(tiles, tile - int(newest)) if newest == newest else 0  # all are empty before the first event
    empty = empty_tile(aggregate)
    for step in range(steps):
        passed = (tile - step) % tiles
        if aggregate == _COUNT:
            put_count(cells, cell + 1, passed, 0)
        else:
            for k in range(width):
                cells[cell + 1 + passed * width + k] = empty
    if not newest >= tile:
        cells[cell] = tile


@part
def take(plan, acc, cells, value, time):
    """Add an event's value to an accumulator; true when the event is late for a feature that reads it."""
    aggregate, cell, tiles = plan.acc_aggregate[acc], plan.acc_cell[acc], plan.acc_tiles[acc]
    if tiles == 0:
        merge(aggregate, cells, cell, value, time)
        return False
    tile = tile_of(plan, acc, time)
    age = tile_of(plan, acc, int(cells[LATEST])) - tile
    if age >= tiles:
        return True
    roll(plan, acc, cells, tile)
    slot = tile % tiles
    if aggregate == _COUNT:
        put_count(cells, cell + 1, slot, min(count_in(cells, cell + 1, slot) + 1, MOST_COUNT))
    else:
        width = 2 if aggregate == _FIRST or aggregate == _LAST else 1
        merge(aggregate, cells, cell + 1 + slot * width, value, time)
    return age >= plan.acc_least_tiles[acc]


@part
def finish(aggregate, total):
    """The value of a feature, from its merged tile."""
    if aggregate == _DISTINCT:
        bits, count = int(total), 0
        while bits:
            bits &= bits - 1
            count += 1
        return float(count)
    return total


@part
def read_ring(plan, acc, window_tiles, cells):
    """Merge the tiles of the window that ends with the row's largest event time, from oldest to newest."""
    aggregate, cell, tiles = plan.acc_aggregate[acc], plan.acc_cell[acc], plan.acc_tiles[acc]
    total = empty_tile(aggregate)
    newest = cells[cell]
    if newest != newest:
        return total
    last = int(newest)
    first = tile_of(plan, acc, int(cells[LATEST])) - window_tiles + 1
    first = max(first, last - tiles + 1)
    slot = first % tiles - 1
    for _ in range(first, last + 1):
        slot = slot + 1 if slot + 1 < tiles else 0
        if aggregate == _COUNT:
            total += count_in(cells, cell + 1, slot)
            continue
        if aggregate == _FIRST or aggregate == _LAST:
            value = cells[cell + 1 + slot * 2]
            if value == value and (aggregate == _LAST or total != total):
                total = value
            continue
        value = cells[cell + 1 + slot]
        if aggregate == _SUM:
            total += value
        elif aggregate == _MIN:
            if not total <= value and value == value:
                total = value
        elif aggregate == _MAX:
            if not total >= value and value == value:
                total = value
        else:
            total = float(int(total) | int(value))
    return total


@part
def read(plan, feature, cells):
    """The value of a feature for a row; NaN is NULL."""
    acc = plan.feature_acc[feature]
    aggregate = plan.acc_aggregate[acc]
    if plan.acc_tiles[acc] == 0:
        return finish(aggregate, cells[plan.acc_cell[acc]])
    return finish(aggregate, read_ring(plan, acc, plan.feature_tiles[feature], cells))
