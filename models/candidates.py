"""From what the engine captured to candidates: as much as can be is done for many at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns, Field
from models.evidence import EvidenceWriter
from models.gates import Candidate
from models.layout import RuleLayout
from models.plan import CandidateColumn
from models.shard_rows import Rows

NONE: Final = -1  # where the engine has NaN: before any time that can be
_RECORD, _RULE, _CUSTOMER = map(int, (CandidateColumn.RECORD, CandidateColumn.RULE, CandidateColumn.CUSTOMER))
_INSTANCE, _DEADLINE, _CLOCK = map(int, (CandidateColumn.INSTANCE, CandidateColumn.DEADLINE, CandidateColumn.CLOCK))
_GATES, _SEQ = map(int, (CandidateColumn.GATES, CandidateColumn.SEQ))


class Candidates:
    """Makes the candidates of one shard."""

    def __init__(self, rules: list[RuleLayout], rows: Rows, topic: str, partition: int) -> None:
        self._rules, self._rows = rules, rows
        self._keyed = np.array([rule.entity > 0 for rule in rules], np.bool_)
        self._evidence = EvidenceWriter(rules, topic, partition)

    def of(self, buffer: NDArray[np.float64], columns: Columns) -> list[Candidate]:
        """Rows of the engine's buffer, float64[m, CandidateColumn …], in words."""
        if not len(buffer):
            return []
        head = buffer[:, : CandidateColumn.SCORE]  # whole numbers
        numbers = np.where(np.isnan(head), NONE, head).astype(np.int64).T
        record, rule, customer, deadline = numbers[_RECORD], numbers[_RULE], numbers[_CUSTOMER], numbers[_DEADLINE]
        keyed = self._keyed[rule]
        row = np.where(keyed, numbers[_INSTANCE], customer)
        customers, entity_ids = self._rows.names_of(keyed, row)
        offset = columns.offset[record]
        caused = [columns.texts(field).take(record) for field in (Field.EVENT_ID, Field.EVENT)]
        found = zip(
            rule.tolist(),
            offset.tolist(),
            customer.tolist(),
            row.tolist(),
            customers.to_list(),
            entity_ids.to_list(),
            np.where(deadline == NONE, columns.event_time[record], deadline).tolist(),
            deadline.tolist(),
            numbers[_CLOCK].tolist(),
            numbers[_GATES].tolist(),
            buffer[:, CandidateColumn.SCORE].tolist(),
            numbers[_SEQ].tolist(),
            self._evidence.of(buffer, rule, caused, offset).to_list(),
            strict=True,
        )
        return [self._candidate(*one) for one in found]

    def _candidate(
        self,
        rule: int,
        offset: int,
        customer_row: int,
        row: int,
        customer_id: bytes,
        entity_id: bytes | None,
        event_time: int,
        deadline: int,
        clock: int,
        gates_passed: int,
        score: float,
        seq: int,
        evidence: bytes,
    ) -> Candidate:
        return Candidate(
            rule=self._rules[rule],
            offset=offset,
            deadline=None if deadline == NONE else deadline,
            moment=offset,
            customer_row=customer_row,
            row=row,
            customer_id=customer_id.decode(),
            entity_id=None if entity_id is None else entity_id.decode(),
            event_time=event_time,
            clock=clock,
            gates_passed=gates_passed,
            score=score,
            seq=seq,
            evidence=evidence,
        )
