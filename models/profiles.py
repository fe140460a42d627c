"""Profiles: features, tags and stages of entities as users see them, made of many rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models import engine
from models.expressions import Kind, Type
from models.layout import OTHER_TEXT, Entity, Layout
from models.plan import CLOCK, new_out, new_snapshots
from models.shard_rows import Rows
from models.texts import Texts

READ: Final = 100  # customers whose values are read at once
PARTS: Final = ("features", "tags", "stages")
_TRUTH: Final = np.array([False, True, None], object)


class Profiles:
    """Of the customers of one shard."""

    def __init__(self, layout: Layout, rows: Rows) -> None:
        self.layout, self.rows = layout, rows
        self._shapes = [Shape(entity, layout.profile_types) for entity in layout.entities]

    def of(self, customers: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
        """The profiles of customers, rows in ascending order, each as of the moment at which it is made.

        An entity that came after the first was made is not in them.
        """
        owners = self.rows.state.owner[: self.rows.instances.count]
        instances = np.flatnonzero(np.isin(owners, customers))
        instances = instances[np.argsort(owners[instances], kind="stable")]
        owned_by = owners[instances]
        for first in range(0, len(customers), READ):
            some = customers[first : first + READ]
            own = slice(*np.searchsorted(owned_by, (some[0], some[-1] + 1)))
            yield from self._made(some, instances[own])

    def _made(self, customers: NDArray[np.int64], instances: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
        """The profiles of some customers and of their instances: all values are read first."""
        state, clock = self.rows.state, int(self.rows.state.numbers[CLOCK])
        entities: dict[int, list[dict[str, Any]]] = {row: [] for row in customers.tolist()}
        for entity in self.layout.entities[1:]:
            own = instances[state.entity[instances] == entity.number]
            for row, id_, shown in self._shown(entity, own, self.rows.instances.texts(own)):
                entities[int(state.owner[row])].append({"entity": entity.name, "entity_id": id_, **shown})
        read = list(self._shown(self.layout.entities[0], customers, self.rows.customers.texts(customers)))
        for row, id_, shown in read:
            yield {"customer_id": id_, "as_of": clock, **shown, "entities": entities[row]}

    def _shown(self, entity: Entity, rows: NDArray[np.int64], ids: Texts) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """(row, id, features, tags and stages) of rows of one entity."""
        layout = self.layout
        values = np.empty((len(rows), len(entity.profile_names)))
        out = new_out(0, layout.registers, len(layout.rules), 0, new_snapshots(0, layout.profile_values))
        engine.read_rows(layout.plan, self.rows.state, int(entity.number > 0), rows, entity.number, values, out)
        texts = ((text or b"").decode() for text in ids.to_list())
        return zip(rows.tolist(), texts, self._shapes[entity.number].shown(values), strict=True)


class Shape:
    """What the values of an entity's row mean: `parts` by name, in the order of the values."""

    def __init__(self, entity: Entity, types: Mapping[str, Type]) -> None:
        names = entity.profile_names
        kinds = [types[name].kind for name in names]
        self._parts = tuple(map(tuple, (entity.features, entity.tags, entity.journeys)))
        self._booleans = np.flatnonzero([kind is Kind.BOOLEAN for kind in kinds])
        self._words = {
            number: np.array([*types[names[number]].values, OTHER_TEXT, None], object)
            for number, kind in enumerate(kinds)
            if kind is Kind.STRING
        }
        self._bounds = list(pairwise(np.cumsum([0, *map(len, self._parts)]).tolist()))

    def shown(self, values: NDArray[np.float64]) -> Iterator[dict[str, dict[str, Any]]]:
        """Of each row of values, float64[rows, names]: features, tags and stages; None for NULL."""
        for row in self._cells(values).tolist():
            yield {
                part: dict(zip(names, row[first:end], strict=True))
                for part, names, (first, end) in zip(PARTS, self._parts, self._bounds, strict=True)
            }

    def _cells(self, values: NDArray[np.float64]) -> NDArray[Any]:
        null = np.isnan(values)
        cells = values.astype(object)
        cells[null] = None
        own = self._booleans
        cells[:, own] = _TRUTH[np.where(null[:, own], 2, values[:, own] != 0)]
        for number, words in self._words.items():
            column = np.where(values[:, number] < 0, len(words) - 2, values[:, number])
            cells[:, number] = words[np.where(null[:, number], len(words) - 1, column).astype(np.int64)]
        return cells
