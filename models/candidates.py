"""From what the engine captured to candidates: as much as can be is done for many at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns, Field
from models.decisions import Evidence
from models.expressions import Kind
from models.gates import Candidate
from models.layout import RuleLayout, text_of
from models.plan import CandidateColumn
from models.shard_rows import Rows

WORDS: Final = (Kind.BOOLEAN, Kind.STRING)  # kinds of values of which the engine has numbers
IDENTITY: Final = [CandidateColumn.RECORD, CandidateColumn.RULE, CandidateColumn.CUSTOMER, CandidateColumn.INSTANCE]
Row = list[float]  # of the buffer; NaN is NULL


class Captured:
    """What one rule's predicate read, in a row of the engine's buffer."""

    def __init__(self, rule: RuleLayout) -> None:
        self.rule = rule
        self.stages = rule.journey.stages if rule.journey else ()
        reads = [(name, CandidateColumn.VALUES + register, type_) for name, (register, type_) in rule.reads.items()]
        self._columns = [(name, column) for name, column, _ in reads]
        self._words = [read for read in reads if read[2].kind in WORDS]

    def values(self, row: Row) -> dict[str, float | bool | str | None]:
        """Each name and its value, as users see it."""
        values: dict[str, float | bool | str | None] = {
            name: None if (value := row[column]) != value else value for name, column in self._columns
        }
        for name, column, type_ in self._words:
            values[name] = text_of(row[column], type_)
        return values

    def stage(self, row: Row) -> str | None:
        """Its stage; None where it is in none, or the rule reads none."""
        number = row[CandidateColumn.STAGE]
        return self.stages[int(number)] if number == number and self.stages else None


class Candidates:
    """Makes the candidates of one shard."""

    def __init__(self, rules: list[RuleLayout], rows: Rows) -> None:
        self._captured, self._rows = [Captured(rule) for rule in rules], rows
        self._keyed = np.array([rule.entity > 0 for rule in rules], np.bool_)

    def of(self, buffer: NDArray[np.float64], columns: Columns) -> list[Candidate]:
        """Rows of the engine's buffer, float64[m, CandidateColumn …], in words."""
        if not len(buffer):
            return []
        record, rule, customer, instance = buffer[:, IDENTITY].astype(np.int64).T
        keyed = self._keyed[rule]
        customers, entity_ids = self._rows.names_of(keyed, np.where(keyed, instance, customer))
        found = zip(
            buffer.tolist(),
            columns.offset[record].tolist(),
            columns.event_time[record].tolist(),
            customers.to_list(),
            entity_ids.to_list(),
            columns.texts(Field.EVENT_ID).take(record).to_list(),
            columns.texts(Field.EVENT).take(record).to_list(),
            strict=True,
        )
        return [self._candidate(columns, *one) for one in found]

    def _candidate(
        self,
        columns: Columns,
        row: Row,
        offset: int,
        event_time: int,
        customer_id: bytes,
        entity_id: bytes | None,
        event_id: bytes,
        event: bytes,
    ) -> Candidate:
        captured = self._captured[int(row[CandidateColumn.RULE])]
        rule, deadline = captured.rule, row[CandidateColumn.DEADLINE]
        by_event = deadline != deadline
        customer_row = int(row[CandidateColumn.CUSTOMER])
        return Candidate(
            rule=rule,
            moment=offset,
            customer_row=customer_row,
            row=int(row[CandidateColumn.INSTANCE]) if rule.entity else customer_row,
            customer_id=customer_id.decode(),
            entity_id=None if entity_id is None else entity_id.decode(),
            event_time=event_time if by_event else int(deadline),
            clock=int(row[CandidateColumn.CLOCK]),
            gates_passed=int(row[CandidateColumn.GATES]),
            score=row[CandidateColumn.SCORE],
            seq=int(row[CandidateColumn.SEQ]),
            evidence=Evidence(
                event_id=event_id.decode() if by_event else None,
                event=event.decode() if by_event else None,
                deadline=None if by_event else int(deadline),
                stage=captured.stage(row),
                values=captured.values(row),
                predicate=rule.rule.when or "TRUE",
                topic=columns.topic,
                partition=columns.partition,
                offset=offset,
            ),
        )
