"""The rows of a shard: which entity has which row, room for more, and what the engine's buffers say in words."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns, Field
from models.hashing import xxh64
from models.layout import Layout
from models.names import Names, add_all, entity_of, find, find_instances, find_rows, group_of, owner_of
from models.outputs import Snapshot
from models.plan import (
    CLOCK,
    DEDUP_IDS,
    HEAP,
    NO_CLOCK,
    PAGE_ROWS,
    PENDING,
    STATE_NUMBERS,
    SnapshotColumn,
    State,
    TransitionColumn,
)
from models.texts import NULL, Texts
from models.timers import drop_stale
from models.transitions import NO_STAGE, Transitions, no_transitions

FIRST_ROWS = 1024  # for which room is made at first; a multiple of PAGE_ROWS
ADD_ROOM = 1.25  # rows for which `add` makes room, by row that it adds; memory that is not touched costs nothing
Rows64 = NDArray[np.int64]
Array = TypeVar("Array", bound=np.generic)


class Rows:
    """Customers and instances with their rows. `state` holds the arrays; they are replaced when they grow."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.customers, self.instances = Names.empty(FIRST_ROWS), Names.empty(FIRST_ROWS)
        self.touched = np.zeros(FIRST_ROWS, np.bool_)  # customers with events since their profile was last asked for
        templates = [layout.template(entity.number) for entity in layout.entities]
        none = np.empty((0, layout.cells(keyed=True)))
        self.templates = np.stack(templates[:1]), np.stack(templates[1:]) if templates[1:] else none  # of each matrix
        self._started = [0, 0]  # rows of each matrix that hold their template, or more
        numbers = np.zeros(STATE_NUMBERS, np.int64)
        numbers[CLOCK] = NO_CLOCK
        self.state = State(
            customers=np.empty((FIRST_ROWS, layout.cells(keyed=False))),
            instances=np.empty((FIRST_ROWS, layout.cells(keyed=True))),
            owner=np.full(FIRST_ROWS, -1, np.int64),
            entity=np.zeros(FIRST_ROWS, np.int32),
            ids=np.zeros((FIRST_ROWS, DEDUP_IDS + 1), np.int64),
            dirty_customers=np.zeros(FIRST_ROWS // PAGE_ROWS, np.bool_),
            dirty_instances=np.zeros(FIRST_ROWS // PAGE_ROWS, np.bool_),
            pending=np.empty(2 * FIRST_ROWS, np.int64),
            heap_deadline=np.empty(FIRST_ROWS),
            heap_ref=np.empty(FIRST_ROWS, np.int64),
            numbers=numbers,
        )

    def find(self, columns: Columns) -> Rows64:
        """Rows of the customer and of the instances that each record names, int64[n, entities]; new ones are made."""
        rows = np.full((len(columns), len(self.layout.entities)), -1, np.int64)
        declared = columns.event_type >= 0
        ids = columns.texts(Field.CUSTOMER_ID)
        self.customers = self.customers.with_room(len(columns), len(columns.data))  # each id is in its own record
        found = np.full(len(columns), -1, np.int64)
        find_rows(self.customers, ids.data, ids.start, ids.size, columns.customer_hash, declared, found)
        rows[:, 0] = found
        self._start_customers()
        keys = columns.size[Field.KEYS :]
        if keys.size and (keys >= 0).any():
            self.instances = self.instances.with_room(int((keys >= 0).sum()), int(keys.clip(0).sum()))
            find_instances(self.instances, columns.data, columns.start, columns.size, found, int(Field.KEYS), rows)
            self._start_instances()
        return rows

    def matrix(self, kind: int) -> NDArray[np.float64]:
        """The cells of the customers' rows (0) or of the instances' (1)."""
        return self.state.instances if kind else self.state.customers

    @property
    def used_bytes(self) -> int:
        """What the rows that are taken hold, with their names, ids and timers; not the room for more."""
        state = self.state
        used = (
            (self.customers.count, (state.customers, state.ids, self.touched)),
            (self.instances.count, (state.instances, state.owner, state.entity)),
            (int(state.numbers[HEAP]), (state.heap_deadline, state.heap_ref)),
            (int(state.numbers[PENDING]), (state.pending,)),
        )
        names = self.customers.used_bytes + self.instances.used_bytes
        return names + sum(array[:count].nbytes for count, arrays in used for array in arrays)

    def add(self, keyed: bool, names: Texts, groups: Rows64) -> int:
        """Make rows for new names, in order; returns the first. groups: int64[n] (`names.group_of`).

        There is room for some more, so that the next new name does not have everything copied.
        """
        first = (self.instances if keyed else self.customers).count
        rows, size = int(ADD_ROOM * names.count), int(ADD_ROOM * names.size.sum())
        if keyed:
            self.instances = self.instances.with_room(rows, size)
            add_all(self.instances, *names, groups)
            self._start_instances(first + rows)
        else:
            self.customers = self.customers.with_room(rows, size)
            add_all(self.customers, *names, groups)
            self._start_customers(first + rows)
        return first

    def customer_row(self, customer_id: str) -> int:
        """The row of a customer; -1 for one that is not known here."""
        name = np.frombuffer(customer_id.encode(), np.uint8)
        return int(find(self.customers, name, 0, len(name), xxh64(name, 0, len(name)), 0))

    def instance_row(self, entity: int, customer_row: int, entity_id: str) -> int:
        """The row of an instance of an entity; -1 for one that is not known here."""
        name = np.frombuffer(entity_id.encode(), np.uint8)
        (group,) = group_of(entity, np.array([customer_row]))
        return int(find(self.instances, name, 0, len(name), xxh64(name, 0, len(name)), group))

    def _start_customers(self, room: int = 0) -> None:
        """Give rows that are new their room, or room for `room` rows in all, and their template."""
        first, end = self._started[0], self.customers.count
        if end == first:
            return
        self._started[0] = end
        state, rows = self.state, _room(len(self.state.customers), max(end, room))
        if rows > len(state.customers):
            self.touched = _grown(self.touched, rows)
            self.state = state = state._replace(
                customers=_grown(state.customers, rows, zeros=False),
                ids=_grown(state.ids, rows),
                dirty_customers=_grown(state.dirty_customers, rows // PAGE_ROWS),
                pending=_grown(state.pending, rows + len(state.instances), zeros=False),
            )
        state.customers[first:end] = self.templates[0]

    def _start_instances(self, room: int = 0) -> None:
        """The same for instances. Their pages are dirty at once: a row keeps its number, even if no event counts."""
        first, end = self._started[1], self.instances.count
        if end == first:
            return
        self._started[1] = end
        state, rows = self.state, _room(len(self.state.instances), max(end, room))
        if rows > len(state.instances):
            self.state = state = state._replace(
                instances=_grown(state.instances, rows, zeros=False),
                owner=_grown(state.owner, rows),
                entity=_grown(state.entity, rows),
                dirty_instances=_grown(state.dirty_instances, rows // PAGE_ROWS),
                pending=_grown(state.pending, rows + len(state.customers), zeros=False),
            )
        groups = self.instances.group[first:end]
        state.owner[first:end], state.entity[first:end] = owner_of(groups), entity_of(groups)
        state.instances[first:end] = self.templates[1][self.template_numbers(1, first, end)]
        state.dirty_instances[first // PAGE_ROWS : (end - 1) // PAGE_ROWS + 1] = True

    def clear_heap(self) -> None:
        """Make room in a full heap: half of it, or more, is free afterwards."""
        drop_stale(self.layout.plan, self.state)
        if 2 * int(self.state.numbers[HEAP]) > len(self.state.heap_ref):
            self.grow_heap(2 * len(self.state.heap_ref))

    def grow_heap(self, entries: int) -> None:
        """Make the heap hold so many entries, or what it holds already."""
        entries = max(entries, len(self.state.heap_ref))
        self.state = self.state._replace(
            heap_deadline=_grown(self.state.heap_deadline, entries), heap_ref=_grown(self.state.heap_ref, entries)
        )

    def template_numbers(self, kind: int, first: int, end: int) -> Rows64:
        """Which of its matrix' templates each of rows first … end - 1 began as, int64[rows]."""
        return self.state.entity[first:end] - np.int64(1) if kind else np.zeros(end - first, np.int64)

    def names_of(self, keyed: NDArray[np.bool_], rows: Rows64) -> tuple[Texts, Texts]:
        """(customer ids, entity ids) of rows, instances' where `keyed`; the entity id of a customer is NULL."""
        own = np.where(keyed, rows, 0)
        customers = np.where(keyed, self.state.owner[own], rows)
        keys = self.instances
        return self.customers.texts(customers), Texts(
            keys.data, np.where(keyed, keys.start[own], 0), np.where(keyed, keys.size[own], NULL)
        )

    def transitions(self, values: NDArray[np.float64]) -> Transitions:
        """Rows of the engine's buffer, float64[m, TransitionColumn]."""
        if not len(values):
            return no_transitions()
        numbers = np.where(np.isnan(values), NO_STAGE, values).astype(np.int64)
        kinds, rows = numbers[:, TransitionColumn.KIND], numbers[:, TransitionColumn.ROW]
        return Transitions(numbers, *self.names_of(kinds == 1, rows))

    def snapshot(self, rows: NDArray[np.float64], offsets: Rows64) -> Snapshot:
        """Rows of the engine's buffer, float64[m, SnapshotColumn …], which are kept; offsets: int64[records]."""
        head = rows[:, : SnapshotColumn.VALUES].astype(np.int64)
        entities = head[:, SnapshotColumn.ENTITY]
        customers, entity_ids = self.names_of(entities > 0, head[:, SnapshotColumn.ROW])
        return Snapshot(
            entities=entities,
            as_of=head[:, SnapshotColumn.AS_OF],
            offset=offsets[head[:, SnapshotColumn.RECORD]],
            customers=customers,
            entity_ids=entity_ids,
            rows=rows,
        )


def _room(has: int, wanted: int) -> int:
    """Rows to make room for: twice as many, in whole pages; a row is copied once on average."""
    return has if wanted <= has else -(-max(wanted, 2 * has) // PAGE_ROWS) * PAGE_ROWS


def _grown(array: NDArray[Array], rows: int, *, zeros: bool = True) -> NDArray[Array]:
    """A longer copy; what is new is zero, or left as it is: memory that is not touched costs nothing."""
    grown = (np.zeros if zeros else np.empty)((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
