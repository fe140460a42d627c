"""From the cells of one catalogue to those of another: what did not change is kept, what is new starts empty."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.cells import ACCUMULATOR, CONTACTS, JOURNEY, Block, Cells, EntityCells
from models.features import COUNT_BITS, COUNTS_A_CELL, MOST_COUNT
from models.layout import Layout
from models.metrics import CHANNEL, EVENT_TYPE
from models.plan import ANCHOR, DEADLINE, STAGE, TIMER

Rows = NDArray[np.float64]
GONE = -1  # the number of what the new catalogue does not have


class Migration:
    """How rows that were written under `old` become rows of a layout. clock: ms, of the state."""

    def __init__(self, old: Cells, layout: Layout, clock: int) -> None:
        self.layout, self.clock = layout, clock
        self.old = old.entities
        new = {entity.name: entity for entity in layout.cell_map.entities}
        self.new = [new.get(entity.name) for entity in old.entities]
        self.entity = np.array([layout.entity_number.get(entity.name, GONE) for entity in old.entities], np.int64)
        self._event_type = _renumbered(old.event_types, layout.cell_map.event_types)
        self._channel = _renumbered(old.channels, layout.cell_map.channels)

    def template(self, entity: int) -> Rows:
        """A row of the old entity of this number that has seen no event."""
        return np.frombuffer(self.old[entity].template, np.float64)

    def rows(self, entity: int, rows: Rows, target: Rows) -> None:
        """Put rows of an old entity over rows that hold the new one's template; both float64[n, cells]."""
        new = self.new[entity]
        assert new is not None, "rows of an entity that is gone are left out"
        before = {(block.kind, block.name): block for block in self.old[entity].blocks}
        for block in new.blocks:
            if (found := before.get((block.kind, block.name))) is not None:
                self._block(found, rows, block, target)

    def metrics(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the open minute with the new numbers; those of event types that are gone are left out."""
        rows = rows.copy()
        rows[:, EVENT_TYPE] = self._event_type[rows[:, EVENT_TYPE]]
        declared = rows[:, CHANNEL] >= 0
        rows[declared, CHANNEL] = self._channel[rows[declared, CHANNEL]]
        known: NDArray[np.int64] = rows[rows[:, EVENT_TYPE] != GONE]
        return known

    def report(self) -> Iterator[str]:
        """A line for each feature and journey: what becomes of it."""
        for number, old in enumerate(self.old):
            new = self.new[number]
            if new is None:
                yield f"{old.name}: the catalogue has it no more; its rows are dropped"
            else:
                yield from _compared(old, new)
        known = {entity.name for entity in self.old}
        for entity in self.layout.cell_map.entities:
            if entity.name not in known:
                yield f"{entity.name}: new"

    def _block(self, old: Block, rows: Rows, new: Block, target: Rows) -> None:
        source = rows[:, old.first : old.first + old.count]
        goal = target[:, new.first : new.first + new.count]
        if new.kind == JOURNEY and (old.stages, old.timers) != (new.stages, new.timers):
            self._journey(old, source, new, goal)
        elif new.kind == ACCUMULATOR and (old.tiles, old.shared) != (new.tiles, new.shared):
            _turn_ring(old, source, new, goal)
        elif new.kind == CONTACTS:
            kept = min(old.count, new.count)  # the newest are first
            goal[:, :kept] = source[:, :kept]
        else:
            goal[:] = source

    def _journey(self, old: Block, source: Rows, new: Block, goal: Rows) -> None:
        """Stages by their names; timers run on from when they began, and none is due for the time before the clock."""
        numbers = _renumbered(old.stages, new.stages)
        known = ~np.isnan(source[:, STAGE])
        stage = np.where(known, numbers[np.where(known, source[:, STAGE], 0).astype(np.int64)], GONE)
        kept = stage != GONE
        goal[kept] = source[kept]
        goal[kept, STAGE] = stage[kept]
        plan, first = self.layout.plan, self.layout.stage_number(f"{new.name}.{new.stages[0]}")
        for number in np.unique(stage[kept]).tolist():
            own = stage == number
            bounds = plan.timer_bounds[first + number : first + number + 2]
            due = goal[own, ANCHOR][:, None] + np.append(plan.timer_after_ms[bounds[0] : bounds[1]], np.nan)
            timer = (due <= self.clock).sum(axis=1)
            goal[own, TIMER], goal[own, DEADLINE] = timer, due[np.arange(len(due)), timer]


def _renumbered(old: tuple[str, ...], new: tuple[str, ...]) -> NDArray[np.int64]:
    number = {name: at for at, name in enumerate(new)}
    return np.array([number.get(name, GONE) for name in old], np.int64)


def _turn_ring(old: Block, source: Rows, new: Block, goal: Rows) -> None:
    """The newest tiles of a ring in one of another length, or with another number of tiles in a cell."""
    filled = ~np.isnan(source[:, 0])
    rows, newest = np.arange(np.count_nonzero(filled)), source[filled, 0].astype(np.int64)
    before, after = _tiles(old, source[filled]), _tiles(new, goal[filled])
    for back in range(min(old.tiles, new.tiles)):
        tile = newest - back
        after[rows, tile % new.tiles] = before[rows, tile % old.tiles]
    goal[filled] = np.column_stack([newest, _cells(new, after)])


def _tiles(block: Block, rows: Rows) -> Rows:
    """What is in the tiles of rings: float64[n, tiles, values of a tile]."""
    if block.shared == 1:
        return rows[:, 1:].reshape(len(rows), block.tiles, -1)
    pairs = rows[:, 1:].astype(np.int64)
    tiles = np.stack([pairs & MOST_COUNT, pairs >> COUNT_BITS], axis=2).reshape(len(rows), -1)
    return tiles[:, : block.tiles, None].astype(np.float64)


def _cells(block: Block, tiles: Rows) -> Rows:
    """The cells that hold these tiles: float64[n, cells]."""
    if block.shared == 1:
        return tiles.reshape(len(tiles), -1)
    counts = np.zeros((len(tiles), (block.count - 1) * COUNTS_A_CELL))
    counts[:, : block.tiles] = np.minimum(tiles[:, :, 0], MOST_COUNT)
    return counts[:, ::2] + counts[:, 1::2] * 2.0**COUNT_BITS


def _compared(old: EntityCells, new: EntityCells) -> Iterator[str]:
    tiles = {block.name: block.tiles for block in old.blocks if block.kind == ACCUMULATOR}
    for name, (definition, window) in new.features.items():
        if definition not in tiles:
            yield f"{new.name}: feature {name} starts empty"
        elif window > tiles[definition]:
            yield f"{new.name}: feature {name} starts with the {tiles[definition]} of its {window} tiles that are known"
        else:
            yield f"{new.name}: feature {name} is kept"
    for name in old.features.keys() - new.features.keys():
        yield f"{new.name}: feature {name} is dropped"
    yield from _journeys_compared(old, new)


def _journeys_compared(old: EntityCells, new: EntityCells) -> Iterator[str]:
    before = {block.name: block for block in old.blocks if block.kind == JOURNEY}
    for block in new.blocks:
        if block.kind == JOURNEY:
            found = before.pop(block.name, None)
            same = found is not None and found.stages == block.stages
            fate = "starts empty" if found is None else "is kept" if same else "is kept by the names of its stages"
            yield f"{new.name}: journey {block.name} {fate}"
    for name in before:
        yield f"{new.name}: journey {name} is dropped"
