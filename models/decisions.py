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
from models.texts import NULL, Ints, Texts, joined

if TYPE_CHECKING:
    from models.catalogue import Catalogue, Rule

_json = msgspec.json.Encoder().encode


class DecisionColumn(IntEnum):
    """Columns of `Decisions.numbers`. Times in ms; OFFSET is that of the record that caused it."""

    RULE = 0
    EVENT_TIME = 1
    DECIDED_AT = 2
    MOMENT = 3
    EXPIRES_AT = 4
    OFFSET = 5
    SEQ = 6


@dataclass(slots=True)
class Decisions:
    """n decisions, in order.

    numbers: int64[n, DecisionColumn]; ids, customers, entity_ids (NULL: the customer itself): texts; gate: that failed,
    NULL where it acts; gates, evidence: JSON.
    """

    numbers: Ints
    ids: Texts
    customers: Texts
    entity_ids: Texts
    gate: Texts
    gates: Texts
    evidence: Texts

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def rule(self) -> Ints:
        """Its number in the catalogue."""
        return self.numbers[:, DecisionColumn.RULE]

    @property
    def acted(self) -> NDArray[np.bool_]:
        """Whether all gates passed."""
        acted: NDArray[np.bool_] = self.gate.size == NULL
        return acted

    def outcomes(self, rules: Sequence[Rule]) -> Iterator[tuple[Rule, str | None]]:
        """The rule of each, and the gate that failed. rules: the catalogue's."""
        for rule, gate in zip(self.rule.tolist(), self.gate.to_list(), strict=True):
            yield rules[rule], None if gate is None else gate.decode()

    @classmethod
    def of(cls, decided: Sequence[Candidate], catalogue: Catalogue, topic: str, partition: int) -> Decisions:
        """Of candidates of which all gates were asked. topic, partition: of the events."""
        if not decided:
            return no_decisions()
        name, version = catalogue.name, catalogue.version
        numbers = [
            (one.rule.number, one.event_time, one.clock, one.moment, one.expires_at, one.offset, one.seq)
            for one in decided
        ]
        return cls(
            numbers=np.array(numbers, np.int64),
            ids=Texts.of([decision_id(name, version, topic, partition, one).encode() for one in decided]),
            customers=Texts.of([one.customer_id.encode() for one in decided]),
            entity_ids=Texts.of([None if one.entity_id is None else one.entity_id.encode() for one in decided]),
            gate=Texts.of([_failed(one) for one in decided]),
            gates=Texts.of([_json(one.gates) for one in decided]),
            evidence=Texts.of([one.evidence for one in decided]),
        )

    @classmethod
    def joined(cls, parts: Sequence[Decisions]) -> Decisions:
        """Those of batches that are joined."""
        texts = zip(*(part.texts() for part in parts), strict=True)
        return cls(np.concatenate([part.numbers for part in parts]), *map(joined, texts))

    def texts(self) -> tuple[Texts, ...]:
        """All of its texts, in the order of its fields."""
        return self.ids, self.customers, self.entity_ids, self.gate, self.gates, self.evidence


def _failed(one: Candidate) -> bytes | None:
    return next((name.encode() for name, passed in one.gates.items() if not passed), None)


def no_decisions() -> Decisions:
    none = Texts.of([])
    return Decisions(np.empty((0, len(DecisionColumn)), np.int64), none, none, none, none, none, none)
