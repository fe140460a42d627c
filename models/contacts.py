"""Contact limits as cells of a customer's row: the clocks of the last contacts, the newest first.

A limit of `most` contacts within a time is reached while its `most`-th last contact is not older than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from models.catalogue import Catalogue, ContactLimit


class Limit(NamedTuple):
    """A limit as a rule meets it: the cell that holds its `most`-th last contact. within: ms."""

    name: str
    cell: int
    within: int


@dataclass
class Ring:
    """Cells first … first + size - 1. definition: whose contacts these are, in words that outlive a catalogue."""

    definition: str
    rules: tuple[str, ...]
    size: int = 0
    first: int = 0


class Contacts:
    """The rings of a catalogue: limits that count the same contacts share one. `reserve` gives cells."""

    def __init__(self, catalogue: Catalogue, reserve: Callable[[int], int]) -> None:
        self.rings: list[Ring] = []
        found: list[tuple[ContactLimit, Ring]] = []
        by_definition: dict[str, Ring] = {}
        for limit in catalogue.contact_limits:
            for key, rules in limit.scopes(catalogue.rules):
                definition = _definition(limit, key)
                ring = by_definition.setdefault(definition, Ring(definition, rules))
                ring.size = max(ring.size, limit.most)
                found.append((limit, ring))
        for ring in by_definition.values():
            ring.first = reserve(ring.size)
            self.rings.append(ring)
        self._limits: dict[str, list[Limit]] = {rule.name: [] for rule in catalogue.rules}
        for limit, ring in found:
            for rule in ring.rules:
                self._limits[rule].append(Limit(limit.name, ring.first + limit.most - 1, limit.within_ms))

    def limits_of(self, rule: str) -> list[Limit]:
        """In the order of the catalogue."""
        return self._limits[rule]

    def rings_of(self, rule: str) -> list[Ring]:
        return [ring for ring in self.rings if rule in ring.rules]


def _definition(limit: ContactLimit, key: str) -> str:
    asked = (limit.kinds, limit.channels, limit.groups, limit.rules, limit.per, key)
    return msgspec.json.encode(asked).decode()
