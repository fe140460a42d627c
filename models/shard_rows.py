"""The rows of a shard: which entity has which row, room for more, and what the engine's buffers say in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns
from models.decisions import Evidence, Transition
from models.gates import Candidate
from models.layout import Layout, text_of
from models.plan import CLOCK, DEDUP_IDS, NO_CLOCK, PAGE_ROWS, STATE_NUMBERS, CandidateColumn, State

FIRST_ROWS = 1024  # for which room is made at first; a multiple of PAGE_ROWS
_KIND_SHIFT, _ROW_SHIFT = 62, 12


def rows_of(refs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row numbers of refs (plan.State)."""
    return (refs >> _ROW_SHIFT) & ((1 << (_KIND_SHIFT - _ROW_SHIFT)) - 1)


class Rows:
    """Customers and instances with their rows. `state` holds the arrays; they are replaced when they grow."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.customers: dict[str, int] = {}
        self.customer_ids: list[str] = []
        self.instances: dict[tuple[int, int, str], int] = {}  # (entity, customer row, key)
        self.instance_names: list[tuple[str, str, str]] = []  # (entity, customer, key)
        self.instance_entity = np.zeros(FIRST_ROWS, np.int32)
        self.touched = np.zeros(
            FIRST_ROWS, np.bool_
        )  # customers that took events since their profile was last asked for
        self._templates = [layout.template(entity.number) for entity in layout.entities]
        numbers = np.zeros(STATE_NUMBERS, np.int64)
        numbers[CLOCK] = NO_CLOCK
        self.state = State(
            customers=np.tile(self._templates[0], (FIRST_ROWS, 1)),
            instances=np.empty((FIRST_ROWS, layout.cells(keyed=True))),
            owner=np.full(FIRST_ROWS, -1, np.int64),
            ids=np.zeros((FIRST_ROWS, DEDUP_IDS + 1), np.int64),
            dirty_customers=np.zeros(FIRST_ROWS // PAGE_ROWS, np.bool_),
            dirty_instances=np.zeros(FIRST_ROWS // PAGE_ROWS, np.bool_),
            pending=np.empty(2 * FIRST_ROWS, np.int64),
            heap_deadline=np.empty(FIRST_ROWS),
            heap_ref=np.empty(FIRST_ROWS, np.int64),
            numbers=numbers,
        )

    def find(self, columns: Columns) -> NDArray[np.int64]:
        """Rows of the customer and of the instances that each record names, int64[n, entities]; new ones are made."""
        rows = np.full((len(columns), len(self.layout.entities)), -1, np.int64)
        if columns.customers:
            found = np.array([*map(self.customer, columns.customers), -1], np.int64)
            rows[:, 0] = found[columns.customer]
        if any((key.index >= 0).any() for key in columns.keys):
            self._find_instances(columns, rows)
        return rows

    def _find_instances(self, columns: Columns, rows: NDArray[np.int64]) -> None:
        index = np.stack([key.index for key in columns.keys], axis=1)
        records = np.flatnonzero((index >= 0).any(axis=1))
        customers = rows[records, 0].tolist()
        for record, customer, keys in zip(records.tolist(), customers, index[records].tolist(), strict=True):
            for entity, key in enumerate(keys, start=1):
                if key >= 0:
                    rows[record, entity] = self.instance(entity, customer, columns.keys[entity - 1].values[key])

    def customer(self, customer_id: str) -> int:
        """The row of a customer."""
        row = self.customers.get(customer_id)
        if row is None:
            row = self.customers[customer_id] = len(self.customer_ids)
            self.customer_ids.append(customer_id)
            if row >= len(self.state.customers):
                self._grow_customers()
        return row

    def instance(self, entity: int, customer: int, key: str) -> int:
        """The row of one instance of a keyed entity."""
        row = self.instances.get((entity, customer, key))
        if row is None:
            row = self.instances[entity, customer, key] = len(self.instance_names)
            self.instance_names.append((self.layout.entities[entity].name, self.customer_ids[customer], key))
            if row >= len(self.state.instances):
                self._grow_instances()
            self.state.instances[row] = self._templates[entity]
            self.state.owner[row] = customer
            self.state.dirty_instances[row // PAGE_ROWS] = (
                True  # a row keeps its number, even if no event makes it more
            )
            self.instance_entity[row] = entity
        return row

    def _grow_customers(self) -> None:
        state, more = self.state, len(self.state.customers)
        self.touched = np.concatenate([self.touched, np.zeros(more, np.bool_)])
        self.state = state._replace(
            customers=np.concatenate([state.customers, np.tile(self._templates[0], (more, 1))]),
            ids=np.concatenate([state.ids, np.zeros_like(state.ids)]),
            dirty_customers=np.concatenate([state.dirty_customers, np.zeros_like(state.dirty_customers)]),
            pending=np.concatenate([state.pending, np.empty(more, np.int64)]),
        )

    def _grow_instances(self) -> None:
        state, more = self.state, len(self.state.instances)
        self.instance_entity = np.concatenate([self.instance_entity, np.zeros(more, np.int32)])
        self.state = state._replace(
            instances=np.concatenate([state.instances, np.empty_like(state.instances)]),
            owner=np.concatenate([state.owner, np.full(more, -1, np.int64)]),
            dirty_instances=np.concatenate([state.dirty_instances, np.zeros_like(state.dirty_instances)]),
            pending=np.concatenate([state.pending, np.empty(more, np.int64)]),
        )

    def grow_heap(self, room: int = 0) -> None:
        """Double the heap, or make it hold `room` entries."""
        more = max(len(self.state.heap_ref), room - len(self.state.heap_ref))
        self.state = self.state._replace(
            heap_deadline=np.concatenate([self.state.heap_deadline, np.empty(more)]),
            heap_ref=np.concatenate([self.state.heap_ref, np.empty(more, np.int64)]),
        )

    def templates(self, keyed: bool, first: int, count: int) -> NDArray[np.float64]:
        """Empty rows for `count` rows from `first` of a matrix, float64[count, cells]."""
        if not keyed:
            return np.tile(self._templates[0], (count, 1))
        if not count:
            return np.empty((0, self.state.instances.shape[1]))
        return np.stack([self._templates[entity] for entity in self.instance_entity[first : first + count]])

    def name_of(self, kind: int, row: int) -> tuple[str, str | None]:
        """(customer id, entity id) of a row."""
        if kind == 0:
            return self.customer_ids[row], None
        _, customer, key = self.instance_names[row]
        return customer, key

    def transition(self, values: list[float], columns: Columns) -> Transition:
        """A row of the engine's buffer (plan.TransitionColumn) in words."""
        record, kind, row, number, from_, to, entered_at, time_in_stage, by_timeout, clock, seq = values
        journey = self.layout.catalogue.journeys[int(number)]
        customer, key = self.name_of(int(kind), int(row))
        event = None if by_timeout else columns.events[int(record)]
        return Transition(
            customer_id=customer,
            entity=journey.entity,
            entity_id=key,
            journey=journey.name,
            from_stage=journey.stages[int(from_)] if from_ == from_ else None,
            to_stage=journey.stages[int(to)],
            entered_at=int(entered_at),
            time_in_stage_ms=int(time_in_stage) if time_in_stage == time_in_stage else None,
            cause="timeout" if by_timeout else "event",
            event_id=event.event_id if event else None,
            clock=int(clock),
            partition=columns.partition,
            offset=int(columns.offset[int(record)]),
            seq=int(seq),
        )

    def candidate(self, values: list[float], columns: Columns) -> Candidate:
        """A row of the engine's buffer (plan.CandidateColumn) in words."""
        rule = self.layout.rules[int(values[CandidateColumn.RULE])]
        record, deadline = int(values[CandidateColumn.RECORD]), values[CandidateColumn.DEADLINE]
        event = columns.events[record] if deadline != deadline else None
        kind, row = self.acting_row(values)
        customer, key = self.name_of(kind, row)
        matrix = self.state.instances if kind else self.state.customers
        return Candidate(
            rule=rule,
            customer_id=customer,
            entity=self.layout.entities[rule.entity].name,
            entity_id=key,
            event_time=event.event_time if event else int(deadline),
            clock=int(values[CandidateColumn.CLOCK]),
            gates_passed=int(values[CandidateColumn.GATES]),
            acted_at=float(matrix[row, rule.acted_cell]),
            evidence=Evidence(
                event_id=event.event_id if event else None,
                event=event.event if event else None,
                deadline=None if event else int(deadline),
                stage=_stage(rule.journey.stages if rule.journey else (), values[CandidateColumn.STAGE]),
                values={
                    name: text_of(values[CandidateColumn.VALUES + register], type_)
                    for name, (register, type_) in rule.reads.items()
                },
                predicate=rule.rule.when or "TRUE",
                topic=columns.topic,
                partition=columns.partition,
                offset=int(columns.offset[record]),
            ),
        )

    def acting_row(self, values: list[float]) -> tuple[int, int]:
        """(kind, row) of the entity that a candidate is about."""
        rule = self.layout.rules[int(values[CandidateColumn.RULE])]
        if rule.entity:
            return 1, int(values[CandidateColumn.INSTANCE])
        return 0, int(values[CandidateColumn.CUSTOMER])

    def note_action(self, values: list[float], acted_cell: int, clock: int) -> None:
        """Remember when a rule acted for the entity of a candidate."""
        kind, row = self.acting_row(values)
        (self.state.instances if kind else self.state.customers)[row, acted_cell] = clock


def _stage(stages: tuple[str, ...], number: float) -> str | None:
    return stages[int(number)] if number == number and stages else None
