"""Transitions as columns, as they come out of the engine; one of them in words is a `published.Transition`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns, Field
from models.plan import TransitionColumn
from models.published import Transition
from models.texts import Ints, Texts, joined

if TYPE_CHECKING:
    from models.catalogue import Catalogue

NO_STAGE: Final = -1
NO_TIME: Final = NO_STAGE  # time in stage of an entity that was in none


@dataclass(slots=True)
class Transitions:
    """m transitions, in order.

    numbers: int64[m, TransitionColumn], as the engine wrote them, with NO_STAGE or NO_TIME for NaN; times in ms.
    customers, entity_ids (NULL: the customer itself): texts.
    """

    numbers: NDArray[np.int64]
    customers: Texts
    entity_ids: Texts

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def record(self) -> Ints:
        """The row in `Columns` of the record that caused each."""
        return self.numbers[:, TransitionColumn.RECORD]

    @property
    def journey(self) -> Ints:
        """Its number in the catalogue."""
        return self.numbers[:, TransitionColumn.JOURNEY]

    @property
    def from_stage(self) -> Ints:
        """A number in the journey, or NO_STAGE."""
        return self.numbers[:, TransitionColumn.FROM]

    @property
    def to_stage(self) -> Ints:
        return self.numbers[:, TransitionColumn.TO]

    @property
    def entered_at(self) -> Ints:
        return self.numbers[:, TransitionColumn.ENTERED_AT]

    @property
    def time_in_stage(self) -> Ints:
        """NO_TIME where it was in none."""
        return self.numbers[:, TransitionColumn.TIME_IN_STAGE]

    @property
    def by_timeout(self) -> NDArray[np.bool_]:
        timeouts: NDArray[np.bool_] = self.numbers[:, TransitionColumn.BY_TIMEOUT] != 0
        return timeouts

    @property
    def clock(self) -> Ints:
        return self.numbers[:, TransitionColumn.CLOCK]

    @property
    def seq(self) -> Ints:
        return self.numbers[:, TransitionColumn.SEQ]

    @classmethod
    def joined(cls, parts: Sequence[Transitions], records: Sequence[int]) -> Transitions:
        """Those of batches that are joined, which have so many records each."""
        numbers = np.concatenate([part.numbers for part in parts])
        firsts = np.cumsum([0, *records[:-1]])
        numbers[:, TransitionColumn.RECORD] += np.repeat(firsts, [len(part) for part in parts])
        return cls(numbers, joined([part.customers for part in parts]), joined([part.entity_ids for part in parts]))

    def structs(self, catalogue: Catalogue, columns: Columns) -> Iterator[Transition]:
        """Each in words."""
        for number in range(len(self)):
            journey = catalogue.journeys[int(self.journey[number])]
            from_, spent = int(self.from_stage[number]), int(self.time_in_stage[number])
            record, timeout = int(self.record[number]), bool(self.by_timeout[number])
            yield Transition(
                customer_id=self.customers.text(number) or "",
                entity=journey.entity,
                entity_id=self.entity_ids.text(number),
                journey=journey.name,
                from_stage=None if from_ == NO_STAGE else journey.stages[from_],
                to_stage=journey.stages[int(self.to_stage[number])],
                entered_at=int(self.entered_at[number]),
                time_in_stage_ms=None if spent == NO_TIME else spent,
                cause="timeout" if timeout else "event",
                event_id=None if timeout else columns.text(Field.EVENT_ID, record),
                clock=int(self.clock[number]),
                partition=columns.partition,
                offset=int(columns.offset[record]),
                seq=int(self.seq[number]),
            )


def no_transitions() -> Transitions:
    none = np.empty(0, np.int64)
    texts = Texts(np.empty(0, np.uint8), none, none)
    return Transitions(np.empty((0, len(TransitionColumn)), np.int64), texts, texts)
