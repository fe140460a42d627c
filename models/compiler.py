"""Parts of the layout: predicates with their inputs, accumulators shared by features, and CSR groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Feature
from models.expressions import Type, compile_ops, parse
from models.features import accumulator_cells
from models.plan import Aggregate, Input
from models.programs import Op, link
from models.windows import DAY_MS

Ops = list[tuple[int, float]]


def csr(groups: Sequence[Iterable[int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Bounds and items of groups laid out one after another.

    >>> bounds, items = csr([[1, 2], [], [3]])
    >>> bounds.tolist(), items.tolist()
    ([0, 2, 2, 3], [1, 2, 3])
    """
    lists = [list(group) for group in groups]
    bounds = np.cumsum([0, *map(len, lists)], dtype=np.int32)
    return bounds, np.array([item for items in lists for item in items], dtype=np.int32)


@dataclass(frozen=True)
class Column:
    """Where the value of a name comes from: an input, or a tag's expression over other names."""

    type: Type
    input: tuple[Input, int] | None = None
    expression: str = ""


@dataclass
class Predicates:
    """Compiles expressions; a predicate's number is that of its program and of its inputs; each is there once."""

    programs: list[Ops] = field(default_factory=list)
    inputs: list[list[tuple[Input, int, int]]] = field(default_factory=list)
    registers: int = 1
    _numbers: dict[tuple[object, ...], int] = field(default_factory=dict)

    def add(self, text: str, columns: Mapping[str, Column]) -> tuple[int, dict[str, int]]:
        """Compile one expression; returns its number and the register of every name it reads, through tags too."""
        program = _Program(columns)
        program.run(text)
        return self._append(program)

    def add_profile(self, names: Sequence[str], columns: Mapping[str, Column]) -> tuple[int, dict[str, int]]:
        """A program that leaves each of `names` in a register."""
        program = _Program(columns)
        for name in names:
            program.need(name)
        return self._append(program)

    def _append(self, program: _Program) -> tuple[int, dict[str, int]]:
        number = self._numbers.setdefault((tuple(program.ops), tuple(program.inputs)), len(self.programs))
        if number == len(self.programs):
            self.programs.append(program.ops)
            self.inputs.append(program.inputs)
        self.registers = max(self.registers, len(program.register_of))
        return number, program.register_of

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of `Plan` that hold programs and inputs."""
        ops, args, bounds = link(self.programs)
        flat = np.array([entry for inputs in self.inputs for entry in inputs], np.int32).reshape(-1, 3)
        return {
            "ops": ops,
            "args": args,
            "program_bounds": bounds,
            "input_bounds": np.cumsum([0, *map(len, self.inputs)], dtype=np.int32),
            "input_kind": flat[:, 0].copy(),
            "input_index": flat[:, 1].copy(),
            "input_register": flat[:, 2].copy(),
        }


class _Program:
    """One program under construction: each name is loaded once, tags are computed before they are read."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = columns
        self.types = {name: column.type for name, column in columns.items()}
        self.register_of: dict[str, int] = {}
        self.inputs: list[tuple[Input, int, int]] = []
        self.ops: Ops = []

    def run(self, text: str) -> None:
        expression = parse(text, self.types)
        for name in expression.names:
            self.need(name)
        self.ops += compile_ops(expression, self.register_of)

    def need(self, name: str) -> None:
        if name in self.register_of:
            return
        column = self.columns[name]
        if column.input is None:
            self.run(column.expression)
        register = self.register_of[name] = len(self.register_of)
        if column.input is None:
            self.ops.append((int(Op.STORE), float(register)))
        else:
            self.inputs.append((*column.input, register))


@dataclass
class Accumulator:
    """The cells of features which differ at most in their window."""

    entity: int
    aggregate: Aggregate
    on: tuple[str, ...]
    where: str | None
    value: str | None
    tile_ms: int  # 0: lifetime
    windows: list[int] = field(default_factory=list)  # in tiles
    cell: int = 0

    @property
    def tiles(self) -> int:
        return max(self.windows, default=0)

    @property
    def ring(self) -> tuple[int, int]:
        """How long a tile is, ms, and how many there are."""
        return self.tile_ms, self.tiles

    @property
    def cells(self) -> int:
        return accumulator_cells(self.aggregate, self.tiles)


def accumulators(
    features: Sequence[Feature], entity_number: Mapping[str, int], event_number: Mapping[str, int]
) -> tuple[list[Accumulator], list[int], list[int]]:
    """Accumulators, and for each feature the number of its own and its window in tiles (0: lifetime).

    Those that the same events feed follow one another, and of them those under the same predicate: they lie side by
    side in a row, and what is the same for several is worked out once.
    """
    by_key: dict[tuple[object, ...], Accumulator] = {}
    own, tiles_of_feature = [], []
    for feature in features:
        tile_ms = feature.tile_ms or 0
        entity, aggregate = entity_number[feature.entity], Aggregate[feature.aggregate.upper()]
        key = (entity, aggregate, tuple(sorted(feature.on)), feature.where, feature.value, tile_ms)
        new = Accumulator(entity, aggregate, tuple(feature.on), feature.where, feature.value, tile_ms)
        own.append(by_key.setdefault(key, new))
        tiles = feature.window_ms // tile_ms if feature.window_ms else 0
        if tiles:
            own[-1].windows.append(tiles)
        tiles_of_feature.append(tiles)
    fed_by = {on: [event_number[event] for event in on] for on in {a.on for a in by_key.values()}}
    found = sorted(by_key.values(), key=lambda a: (fed_by[a.on], a.where or "", a.ring, a.aggregate))
    number_of = {id(accumulator): number for number, accumulator in enumerate(found)}
    return found, [number_of[id(accumulator)] for accumulator in own], tiles_of_feature


def ring_arrays(found: Sequence[Accumulator]) -> dict[str, NDArray[Any]]:
    """The arrays of `Plan` about rings that differ, and which of them each accumulator has."""
    rings = sorted({a.ring for a in found if a.tiles})
    return {
        "acc_ring": np.array([rings.index(a.ring) if a.tiles else -1 for a in found], np.int32),
        "ring_tile_ms": np.array([tile_ms for tile_ms, _ in rings], np.int64),
        "ring_tiles": np.array([tiles for _, tiles in rings], np.int64),
        "ring_local": np.array([tile_ms % DAY_MS == 0 for tile_ms, _ in rings], np.bool_),
    }
