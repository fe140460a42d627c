"""What each cell of a row means, in words that outlive a catalogue: kept with the state, compared by a migration."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from models.catalogue import Journey
from models.compiler import Accumulator
from models.features import tiles_in_a_cell
from models.plan import JOURNEY_CELLS, ROW_CELLS

if TYPE_CHECKING:
    from models.layout import Entity, Layout

ROW: Final = "row"  # kinds of blocks
JOURNEY: Final = "journey"
ACCUMULATOR: Final = "accumulator"
RULE: Final = "rule"
CONTACTS: Final = "contacts"


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Cells first … first + count - 1 of a row. Two blocks of one kind and name hold the same thing.

    name: of a journey or a rule, or the definition of an accumulator or of whose contacts these are; stages and
    timers: of a journey; tiles: of an accumulator's ring, 0 for a lifetime; shared: how many of them are in one cell.
    """

    kind: str
    name: str
    first: int
    count: int
    stages: tuple[str, ...] = ()
    timers: str = ""
    tiles: int = 0
    shared: int = 1


class EntityCells(msgspec.Struct, frozen=True, array_like=True):
    """The cells of one entity. features: name to (definition of its accumulator, window in tiles)."""

    name: str
    blocks: tuple[Block, ...]
    template: bytes  # float64[cells]: a row that has seen no event
    features: dict[str, tuple[str, int]]


class Cells(msgspec.Struct, frozen=True, array_like=True):
    """All that the numbers in a state stand for, in order of number."""

    entities: tuple[EntityCells, ...]
    event_types: tuple[str, ...]
    channels: tuple[str, ...]

    @property
    def signature(self) -> str:
        """Tells cells apart: 16 bytes, hex."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=16).hexdigest()


def cells_of_layout(layout: Layout) -> Cells:
    """The cells of a compiled catalogue."""
    return Cells(
        entities=tuple(_entity(layout, entity) for entity in layout.entities),
        event_types=layout.event_layout.event_types,
        channels=layout.event_layout.channels,
    )


def _entity(layout: Layout, entity: Entity) -> EntityCells:
    names = [_definition(layout, accumulator) for accumulator in layout.accumulators]
    of_feature, tiles = layout.plan.feature_acc.tolist(), layout.plan.feature_tiles.tolist()
    return EntityCells(
        name=entity.name,
        blocks=tuple(_blocks(layout, entity.number, names)),
        template=layout.template(entity.number).tobytes(),
        features={
            feature.name: (names[of_feature[number]], tiles[number])
            for number, feature in enumerate(layout.catalogue.features)
            if feature.entity == entity.name
        },
    )


def _blocks(layout: Layout, entity: int, names: list[str]) -> Iterator[Block]:
    yield Block(ROW, "", 0, ROW_CELLS)
    for number, journey in enumerate(layout.catalogue.journeys):
        if layout.entity_number[journey.entity] == entity:
            first = int(layout.plan.journey_cell[number])
            timers = _timers(layout, journey)
            yield Block(JOURNEY, journey.name, first, JOURNEY_CELLS, journey.stages, timers)
    for accumulator, name in zip(layout.accumulators, names, strict=True):
        if accumulator.entity == entity:
            tiles, shared = accumulator.tiles, tiles_in_a_cell(accumulator.aggregate, accumulator.tiles)
            yield Block(ACCUMULATOR, name, accumulator.cell, accumulator.cells, tiles=tiles, shared=shared)
    for rule in layout.rules:
        if rule.entity == entity:
            yield Block(RULE, rule.rule.name, rule.acted_cell, 1)
    if entity == 0:
        for ring in layout.policies.contacts.rings:
            yield Block(CONTACTS, ring.definition, ring.first, ring.size)


def _timers(layout: Layout, journey: Journey) -> str:
    """How long each stage's timers run, in order of stage."""
    first, plan = layout.stage_number(f"{journey.name}.{journey.stages[0]}"), layout.plan
    bounds = plan.timer_bounds[first : first + len(journey.stages) + 1].tolist()
    stages = [plan.timer_after_ms[a:b].tolist() for a, b in pairwise(bounds)]
    return msgspec.json.encode(stages).decode()


def _definition(layout: Layout, accumulator: Accumulator) -> str:
    """What an accumulator adds up, and what the numbers of its strings stand for."""
    values = layout.declared_values(accumulator.value)
    parts = (
        accumulator.aggregate.name.lower(),
        sorted(accumulator.on),
        accumulator.where,
        accumulator.value,
        accumulator.tile_ms,
        values,
    )
    return msgspec.json.encode(parts).decode()
