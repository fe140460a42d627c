"""The engine: one loop over the columns of a record batch, in order. docs/semantics.md says what it does.

The loop pauses where Python has something to do (`Pause`) and is then entered again at the same record; the result does
not depend on where a log was cut.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from models import features
from models.jit import kernel, part
from models.journeys import fire, mark_changed, take_event, touch
from models.plan import (
    BOUNDARY,
    CANDIDATES,
    CHANGED,
    CLOCK,
    DEDUP_IDS,
    HEAP,
    LATEST,
    NO_CLOCK,
    PENDING,
    QUEUED,
    SNAPSHOTS,
    TRANSITIONS,
    Place,
    SnapshotColumn,
    Status,
)
from models.prefetch import AHEAD, ask
from models.rules import add_considered, consider, fill, gates_passed, holds, score_of, value_of
from models.timers import cells_of, kind_of, next_deadline, queue, ref_of, row_of
from models.zones import HOUR_MS, number_at


class Pause(IntEnum):
    """Why the loop returned."""

    DONE = 0
    OUT_FULL = 1
    SNAPSHOTS_FULL = 2
    HEAP_FULL = 3
    RELEASE = 4


_TILE: Final = int(Place.TILE)
_SLOT: Final = int(Place.SLOT)
_DONE: Final = int(Pause.DONE)
_OUT_FULL: Final = int(Pause.OUT_FULL)
_SNAPSHOTS_FULL: Final = int(Pause.SNAPSHOTS_FULL)
_HEAP_FULL: Final = int(Pause.HEAP_FULL)
_RELEASE: Final = int(Pause.RELEASE)
_APPLIED: Final = int(Status.APPLIED)
_DUPLICATE: Final = int(Status.DUPLICATE)
_UNKNOWN: Final = int(Status.UNKNOWN)
_NOT_AN_EVENT: Final = int(Status.NOT_AN_EVENT)
_AS_OF: Final = int(SnapshotColumn.AS_OF)
_RECORD: Final = int(SnapshotColumn.RECORD)
_ENTITY: Final = int(SnapshotColumn.ENTITY)
_ROW: Final = int(SnapshotColumn.ROW)
_VALUES: Final = int(SnapshotColumn.VALUES)
LINE_CELLS: Final = 8  # of a cache line
FIRST_CELLS: Final = 32  # of a row, to ask for: those of every row and of its journeys


@part
def no_room(plan, out):
    """Whether the buffers might not hold what one event or one timer causes."""
    transitions = len(out.transitions) - out.counts[TRANSITIONS]
    candidates = len(out.candidates) - out.counts[CANDIDATES]
    return transitions < 2 * len(plan.journey_entity) + 1 or candidates < len(plan.rule_when)


@part
def read_row(plan, state, kind, row, entity, values, first, out):
    """Fill `values` from `first` on with the features, tags and stages of a row."""
    predicate = plan.profile_predicate[entity]
    own = cells_of(state, kind, row)
    customer = state.customers[state.owner[row]] if kind else own
    if plan.program_bounds[predicate] == plan.program_bounds[predicate + 1]:
        fill(plan, predicate, customer, own, out.registers[:0], np.nan, out)
    else:
        value_of(plan, predicate, customer, own, out.registers[:0], np.nan, out)
    bound = plan.profile_bounds[entity]
    for k in range(plan.profile_bounds[entity + 1] - bound):
        values[first + k] = out.registers[plan.profile_registers[bound + k]]


@kernel
def take_snapshots(plan, state, out, record, as_of):
    """Put the rows that changed since the last snapshot into the buffer, which has room; none is pending afterwards."""
    for k in range(state.numbers[PENDING]):
        kind, row = kind_of(state.pending[k]), row_of(state.pending[k])
        entity = state.entity[row] if kind else 0
        snapshot = out.snapshots[out.counts[SNAPSHOTS]]
        out.counts[SNAPSHOTS] += 1
        snapshot[_AS_OF], snapshot[_RECORD], snapshot[_ENTITY], snapshot[_ROW] = as_of, record, entity, row
        read_row(plan, state, kind, row, entity, snapshot, _VALUES, out)
        cells_of(state, kind, row)[CHANGED] = 0.0
        touch(state, kind, row)  # its page must say so, too
    state.numbers[PENDING] = 0


@part
def next_hour(plan, instant):
    """The first instant after another, ms, at which the wall clock of the catalogue's time zone shows a full hour."""
    number = number_at(plan.zone_at, instant)
    offset = plan.zone_offset[number]
    hour = (instant + offset) // HOUR_MS * HOUR_MS + HOUR_MS - offset
    if number + 1 < len(plan.zone_at) and hour >= plan.zone_at[number + 1]:  # the clock is changed before
        changed = plan.zone_at[number + 1]
        hour = changed - (changed + plan.zone_offset[number + 1]) % -HOUR_MS
    return hour


@part
def advance(plan, state, out, record, timestamp):
    """Advance the clock to a record's timestamp and do what is due; returns why it paused."""
    clock = max(state.numbers[CLOCK], timestamp)
    if state.numbers[CLOCK] == NO_CLOCK:
        state.numbers[BOUNDARY] = next_hour(plan, clock)
    state.numbers[CLOCK] = clock
    while True:
        due, boundary = next_deadline(plan, state), state.numbers[BOUNDARY]
        if boundary <= clock and boundary <= due:
            if state.numbers[PENDING] > len(out.snapshots) - out.counts[SNAPSHOTS]:
                return _SNAPSHOTS_FULL
            if state.numbers[PENDING] > 0:
                take_snapshots(plan, state, out, record, boundary)
                state.numbers[BOUNDARY] = next_hour(plan, boundary)
                continue
            state.numbers[BOUNDARY] = next_hour(plan, int(min(due, clock)))
        elif due <= clock:
            if no_room(plan, out):
                return _OUT_FULL
            fire(plan, state, out, record)
        else:
            return _DONE


@part
def is_duplicate(state, customer, event_id):
    """Whether the id is among the customer's last; if not, it is remembered."""
    ids = state.ids[customer]
    count = ids[DEDUP_IDS]
    for k in range(min(count, DEDUP_IDS)):
        if ids[k] == event_id:
            return True
    ids[count % DEDUP_IDS] = event_id
    ids[DEDUP_IDS] = count + 1
    return False


@part
def value_taken(plan, out, acc, cells, properties):
    """What an accumulator takes of an event; NaN for nothing."""
    column, expression = plan.acc_column[acc], plan.acc_value[acc]
    if column >= 0:
        return properties[column]
    return value_of(plan, expression, cells, cells, properties, np.nan, out) if expression >= 0 else 1.0


@part
def take_group(plan, out, group, cells, properties, time):
    """One event, all accumulators of a row that it may feed; true when it is late for one of them.

    Those with the same predicate follow one another: it is worked out once.
    """
    late, counts, where = False, True, -1
    newest = cells[LATEST] == time
    for k in range(plan.event_acc_bounds[group], plan.event_acc_bounds[group + 1]):
        acc = plan.event_acc[k]
        if plan.acc_where[acc] != where:
            where = plan.acc_where[acc]
            counts = holds(plan, where, cells, cells, properties, np.nan, out)
        value = value_taken(plan, out, acc, cells, properties) if counts else np.nan
        if value != value:
            continue
        ring = plan.acc_ring[acc]
        if ring < 0:
            features.merge(plan.acc_aggregate[acc], cells, plan.acc_cell[acc], value, time)
            continue
        place = features.place_of(plan, out.places, ring, time)
        age = 0 if newest else features.tile_of(plan, out.places, ring, int(cells[LATEST])) - place[_TILE]
        if age < plan.ring_tiles[ring]:
            features.take(plan, acc, cells, value, time, place[_TILE], place[_SLOT])
        late |= age >= plan.acc_least_tiles[acc]
    return late


@part
def take_features(plan, state, batch, out, record):
    """Update the rows that the event names; true when it is late for a feature."""
    late = False
    entities = batch.rows.shape[1]
    time, properties = batch.event_time[record], batch.properties[record]
    for entity in range(entities):
        row = batch.rows[record, entity]
        if row < 0:
            continue
        kind = 1 if entity else 0
        cells = cells_of(state, kind, row)
        mark_changed(state, kind, row, cells)
        if not cells[LATEST] >= time:
            cells[LATEST] = time
        group = batch.event_type[record] * entities + entity
        late |= take_group(plan, out, group, cells, properties, time)
    return late


@part
def consider_rules(plan, state, batch, out, record, count):
    """Consider the first `count` rules of `out.considered`."""
    for k in range(count):
        rule = out.considered[k]
        entity = plan.rule_entity[rule]
        instance_row = batch.rows[record, entity] if entity else -1
        if entity and instance_row < 0:
            continue
        time, customer_row = batch.event_time[record], batch.rows[record, 0]
        properties = batch.properties[record]
        consider(plan, state, out, rule, record, customer_row, instance_row, properties, time, np.nan)


@part
def apply(plan, state, batch, out, record):
    """Apply one event of a declared type."""
    if is_duplicate(state, batch.rows[record, 0], batch.event_id[record]):
        out.status[record] = _DUPLICATE
        return
    out.status[record] = _APPLIED
    out.late[record] = take_features(plan, state, batch, out, record)
    count = 0
    for journey in range(len(plan.journey_entity)):
        count = take_event(plan, state, batch, out, record, journey, count)
    event_type = batch.event_type[record]
    count = add_considered(out.considered, count, plan.event_rule_bounds, plan.event_rules, event_type)
    consider_rules(plan, state, batch, out, record, count)


@part
def ask_for_rows(plan, state, batch, record):
    """Ask for the cells that an event of a declared type looks at first: those of its journeys and accumulators."""
    event_type = batch.event_type[record]
    if event_type < 0:
        return
    entities = batch.rows.shape[1]
    ask(state.ids[batch.rows[record, 0]], 0)
    for entity in range(entities):
        row = batch.rows[record, entity]
        if row < 0:
            continue
        cells = cells_of(state, 1 if entity else 0, row)
        for cell in range(0, FIRST_CELLS, LINE_CELLS):
            ask(cells, cell)
        group = event_type * entities + entity
        for k in range(plan.event_acc_bounds[group], plan.event_acc_bounds[group + 1]):
            ask(cells, plan.acc_cell[plan.event_acc[k]])


@kernel
def run(plan, state, batch, out, first, release):
    """Work through the records from `first`; returns (the record reached, why it paused).

    It pauses before the first record whose clock is not before `release`, ms.
    """
    heap_room = 2 * len(plan.journey_entity) + 1
    records = len(batch.timestamp)
    for record in range(first, records):
        if record + AHEAD < records:
            ask_for_rows(plan, state, batch, record + AHEAD)
        if state.numbers[HEAP] + heap_room > len(state.heap_ref):
            return record, _HEAP_FULL
        if max(state.numbers[CLOCK], batch.timestamp[record]) >= release:
            return record, _RELEASE
        reason = advance(plan, state, out, record, batch.timestamp[record])
        if reason != _DONE:
            return record, reason
        event_type = batch.event_type[record]
        if event_type >= 0:
            if no_room(plan, out):
                return record, _OUT_FULL
            apply(plan, state, batch, out, record)
        else:
            out.status[record] = _UNKNOWN if event_type == -1 else _NOT_AN_EVENT
    return records, _DONE


@kernel
def reconsider(plan, state, out, rules, customers, instances, gates, scores):
    """Gates passed and scores of rules as the rows are now; all int64[n] but scores, float64[n].

    customers, instances: rows; -1 for no instance.
    """
    for k in range(len(rules)):
        customer = state.customers[customers[k]]
        own = state.instances[instances[k]] if instances[k] >= 0 else customer
        gates[k] = gates_passed(plan, rules[k], customer, out)
        scores[k] = score_of(plan, rules[k], customer, own, out)


@kernel
def read_rows(plan, state, kind, rows, entity, values, out):
    """Fill values[row, k] with the k-th feature, tag or stage of each row of one entity."""
    for k in range(len(rows)):
        read_row(plan, state, kind, rows[k], entity, values[k], 0, out)


@kernel
def requeue(plan, state, kind, rows, entities):
    """Rebuild the part of the heap that belongs to rows 0 … rows - 1 of a matrix; entities[row] is a row's type."""
    for row in range(rows):
        cells = cells_of(state, kind, row)
        for journey in range(len(plan.journey_entity)):
            if plan.journey_entity[journey] == entities[row]:
                cell = plan.journey_cell[journey]
                cells[cell + QUEUED] = np.nan
                queue(state, ref_of(kind, row, journey), cells, cell)
        if cells[CHANGED] == 1.0:
            state.pending[state.numbers[PENDING]] = ref_of(kind, row, 0)
            state.numbers[PENDING] += 1
