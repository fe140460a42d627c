"""Aggregates over tiles: how an accumulator takes an event and how a feature is read.

A ring is one cell for its newest tile and then `tiles` tiles of one cell (two, value and time, for first and last);
two tiles of counts share a cell, `low + high * 2**COUNT_BITS`, which a float64 holds exactly. A lifetime is a single
tile without the newest-tile cell.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import inlined, kernel, part, routine
from models.plan import LATEST, Aggregate, Place
from models.zones import number_at

_COUNT: Final = int(Aggregate.COUNT)
_SUM: Final = int(Aggregate.SUM)
_MIN: Final = int(Aggregate.MIN)
_MAX: Final = int(Aggregate.MAX)
_FIRST: Final = int(Aggregate.FIRST)
_LAST: Final = int(Aggregate.LAST)
_DISTINCT: Final = int(Aggregate.DISTINCT)

_SINCE, _UNTIL, _TILE, _SLOT = map(int, Place)

NEVER: Final = 2**62  # ms; before it all instants are
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


@routine
def find(zone_at, zone_offset, tile_ms, tiles, local, time, place):
    """Fill in the `Place` of an instant in a ring; zone_at, zone_offset: those of the plan."""
    since, until, offset = -NEVER, NEVER, 0
    if local:
        number = number_at(zone_at, time)
        since, offset = zone_at[number], zone_offset[number]
        until = zone_at[number + 1] if number + 1 < len(zone_at) else until
    tile = (time + offset) // tile_ms
    start = tile * tile_ms - offset
    place[_SINCE], place[_UNTIL] = max(since, start), min(until, start + tile_ms)
    place[_TILE], place[_SLOT] = tile, tile % tiles


@part
def tile_of(plan, places, ring, time):
    """The number of the tile of a ring in which an instant lies."""
    place = places[ring]
    if place[_SINCE] <= time < place[_UNTIL]:
        return place[_TILE]
    if plan.ring_local[ring]:
        time = time + plan.zone_offset[number_at(plan.zone_at, time)]
    return time // plan.ring_tile_ms[ring]


@inlined
def place_of(plan, places, ring, time):
    """The `Place` of an instant in a ring: most often that of the instant before, which `places` has."""
    place = places[ring]
    if not place[_SINCE] <= time < place[_UNTIL]:
        tile_ms, tiles, local = plan.ring_tile_ms[ring], plan.ring_tiles[ring], plan.ring_local[ring]
        find(plan.zone_at, plan.zone_offset, tile_ms, tiles, local, time, place)
    return place


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
    aggregate, cell, tiles = plan.acc_aggregate[acc], plan.acc_cell[acc], plan.ring_tiles[plan.acc_ring[acc]]
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
def take(plan, acc, cells, value, time, tile, slot):
    """Add the value of an event, which is in this tile, to a ring that has it at `slot`."""
    aggregate, cell = plan.acc_aggregate[acc], plan.acc_cell[acc]
    roll(plan, acc, cells, tile)
    if aggregate == _COUNT:
        put_count(cells, cell + 1, slot, min(count_in(cells, cell + 1, slot) + 1, MOST_COUNT))
    else:
        width = 2 if aggregate == _FIRST or aggregate == _LAST else 1
        merge(aggregate, cells, cell + 1 + slot * width, value, time)


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
def read_ring(plan, places, acc, window_tiles, cells):
    """Merge the tiles of the window that ends with the row's largest event time, from oldest to newest."""
    aggregate, cell, ring = plan.acc_aggregate[acc], plan.acc_cell[acc], plan.acc_ring[acc]
    tiles = plan.ring_tiles[ring]
    total = empty_tile(aggregate)
    newest = cells[cell]
    if newest != newest:
        return total
    last = int(newest)
    first = tile_of(plan, places, ring, int(cells[LATEST])) - window_tiles + 1
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
def read(plan, places, feature, cells):
    """The value of a feature for a row; NaN is NULL."""
    acc = plan.feature_acc[feature]
    aggregate = plan.acc_aggregate[acc]
    if plan.acc_ring[acc] < 0:
        return finish(aggregate, cells[plan.acc_cell[acc]])
    return finish(aggregate, read_ring(plan, places, acc, plan.feature_tiles[feature], cells))
