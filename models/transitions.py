"""Transitions as columns, as they come out of the engine; one of them in words is a `decisions.Transition`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns, Field
from models.decisions import Transition
from models.texts import Ints, Texts, joined

if TYPE_CHECKING:
    from models.catalogue import Catalogue

NO_STAGE: Final = -1
NO_TIME: Final = NO_STAGE  # time in stage of an entity that was in none


@dataclass(slots=True)
class Transitions:
    """m transitions, in order. Times in ms.

    record: the row in `Columns` of the record that caused it; journey: number in the catalogue; from_stage (NO_STAGE:
    none), to_stage: numbers in the journey; time_in_stage (NO_TIME: none), entered_at, clock, seq: int64[m];
    by_timeout: bool[m]; customers, entity_ids (NULL: the customer itself): texts.
    """

    record: Ints
    journey: Ints
    from_stage: Ints
    to_stage: Ints
    entered_at: Ints
    time_in_stage: Ints
    by_timeout: NDArray[np.bool_]
    clock: Ints
    seq: Ints
    customers: Texts
    entity_ids: Texts

    def __len__(self) -> int:
        return len(self.record)

    @classmethod
    def joined(cls, parts: Sequence[Transitions], records: Sequence[int]) -> Transitions:
        """Those of batches that are joined, which have so many records each."""
        firsts = np.cumsum([0, *records])
        return cls(
            record=np.concatenate([part.record + first for part, first in zip(parts, firsts.tolist(), strict=False)]),
            customers=joined([part.customers for part in parts]),
            entity_ids=joined([part.entity_ids for part in parts]),
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _NUMBERS},
        )

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
    return Transitions(none, none, none, none, none, none, np.empty(0, np.bool_), none, none, texts, texts)


_NUMBERS: Final = tuple(name for name in Transitions.__slots__ if name not in ("record", "customers", "entity_ids"))
