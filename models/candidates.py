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

IDENTITY: Final = [CandidateColumn.RECORD, CandidateColumn.RULE, CandidateColumn.CUSTOMER, CandidateColumn.INSTANCE]
AS_IT_IS: Final = [CandidateColumn.CLOCK, CandidateColumn.GATES, CandidateColumn.SEQ]
NO_DEADLINE: Final = -1  # before any that can be


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
        record, rule, customer, instance = buffer[:, IDENTITY].astype(np.int64).T
        clock, gates, seq = buffer[:, AS_IT_IS].astype(np.int64).T
        keyed = self._keyed[rule]
        row = np.where(keyed, instance, customer)
        customers, entity_ids = self._rows.names_of(keyed, row)
        deadline, offset = buffer[:, CandidateColumn.DEADLINE], columns.offset[record]
        due = np.where(np.isnan(deadline), NO_DEADLINE, deadline).astype(np.int64)
        caused = [columns.texts(field).take(record) for field in (Field.EVENT_ID, Field.EVENT)]
        found = zip(
            rule.tolist(),
            offset.tolist(),
            customer.tolist(),
            row.tolist(),
            customers.to_list(),
            entity_ids.to_list(),
            np.where(due == NO_DEADLINE, columns.event_time[record], due).tolist(),
            due.tolist(),
            clock.tolist(),
            gates.tolist(),
            buffer[:, CandidateColumn.SCORE].tolist(),
            seq.tolist(),
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
            deadline=None if deadline == NO_DEADLINE else deadline,
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
