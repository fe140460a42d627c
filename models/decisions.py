"""Decisions as columns; what is published of one is a `published.Decision`, and a `published.Trigger` if it acts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.gates import Candidate, decision_id
from models.texts import NULL, Bytes, Ints, Texts

if TYPE_CHECKING:
    from models.catalogue import Catalogue, Rule

_json = msgspec.json.Encoder().encode


class DecisionColumn(IntEnum):
    """Columns of `Decisions.numbers`. Times in ms."""

    RULE = 0  # its number in the catalogue
    EVENT_TIME = 1
    DECIDED_AT = 2
    MOMENT = 3
    EXPIRES_AT = 4
    SEQ = 5


class DecisionText(IntEnum):
    """Rows of `Decisions.start` and `size`."""

    ID = 0
    CUSTOMER_ID = 1
    ENTITY_ID = 2  # NULL: the customer itself
    GATE = 3  # that failed; NULL where it acts
    GATES = 4  # JSON
    EVIDENCE = 5  # JSON


@dataclass(slots=True)
class Decisions:
    """n decisions, in order.

    numbers: int64[n, DecisionColumn]; data: uint8; start, size: int64[DecisionText, n], spans of `data` (see `Texts`).
    """

    numbers: Ints
    data: Bytes
    start: Ints
    size: Ints

    def __len__(self) -> int:
        return len(self.numbers)

    def texts(self, which: DecisionText) -> Texts:
        """One of its texts, of all."""
        return Texts(self.data, self.start[which], self.size[which])

    @property
    def rule(self) -> Ints:
        """Its number in the catalogue."""
        return self.numbers[:, DecisionColumn.RULE]

    @property
    def acted(self) -> NDArray[np.bool_]:
        """Whether all gates passed."""
        acted: NDArray[np.bool_] = self.size[DecisionText.GATE] == NULL
        return acted

    def triggers(self) -> Decisions:
        """Those that act."""
        acted = self.acted
        if acted.all():
            return self
        start, size = self.start.compress(acted, axis=1), self.size.compress(acted, axis=1)  # in C's order, as all are
        return Decisions(self.numbers[acted], self.data, start, size)

    def outcomes(self, rules: Sequence[Rule]) -> Iterator[tuple[Rule, str | None]]:
        """The rule of each, and the gate that failed. rules: the catalogue's."""
        for rule, gate in zip(self.rule.tolist(), self.texts(DecisionText.GATE).to_list(), strict=True):
            yield rules[rule], None if gate is None else gate.decode()

    @classmethod
    def of(cls, decided: Sequence[Candidate], catalogue: Catalogue, topic: str, partition: int) -> Decisions:
        """Of candidates of which all gates were asked. topic, partition: of the events."""
        name, version = catalogue.name, catalogue.version
        numbers = [(one.rule.number, one.event_time, one.clock, one.moment, one.expires_at, one.seq) for one in decided]
        texts = Texts.of([
            *(decision_id(name, version, topic, partition, one).encode() for one in decided),
            *(one.customer_id.encode() for one in decided),
            *(None if one.entity_id is None else one.entity_id.encode() for one in decided),
            *(_failed(one) for one in decided),
            *(_json(one.gates) for one in decided),
            *(one.evidence for one in decided),
        ])  # fmt: skip
        shape = (len(DecisionText), len(decided))
        matrix = np.array(numbers, np.int64).reshape(-1, len(DecisionColumn))
        return cls(matrix, texts.data, texts.start.reshape(shape), texts.size.reshape(shape))

    @classmethod
    def joined(cls, parts: Sequence[Decisions]) -> Decisions:
        """Those of batches that are joined, at least one."""
        firsts = np.cumsum([0, *(len(part.data) for part in parts[:-1])]).tolist()
        return cls(
            numbers=np.concatenate([part.numbers for part in parts]),
            data=np.concatenate([part.data for part in parts]),
            start=np.concatenate([part.start + first for part, first in zip(parts, firsts, strict=True)], axis=1),
            size=np.concatenate([part.size for part in parts], axis=1),
        )


def _failed(one: Candidate) -> bytes | None:
    return next((name.encode() for name, passed in one.gates.items() if not passed), None)


def no_decisions() -> Decisions:
    none = np.empty((len(DecisionText), 0), np.int64)
    return Decisions(np.empty((0, len(DecisionColumn)), np.int64), np.empty(0, np.uint8), none, none)
