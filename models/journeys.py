"""Journeys: entering a stage, taking an event, and what is due."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import part
from models.plan import (
    ANCHOR,
    CHANGED,
    CLOCK,
    DEADLINE,
    ENTERED,
    PAGE_ROWS,
    PENDING,
    QUEUED,
    STAGE,
    TIMER,
    TRANSITIONS,
    TransitionColumn,
)
from models.rules import add_considered, consider, holds, next_seq, stage_time
from models.timers import cells_of, journey_of, kind_of, pop, ref_of, row_of, set_timer

_RECORD: Final = int(TransitionColumn.RECORD)
_KIND: Final = int(TransitionColumn.KIND)
_ROW: Final = int(TransitionColumn.ROW)
_JOURNEY: Final = int(TransitionColumn.JOURNEY)
_FROM: Final = int(TransitionColumn.FROM)
_TO: Final = int(TransitionColumn.TO)
_ENTERED_AT: Final = int(TransitionColumn.ENTERED_AT)
_TIME_IN_STAGE: Final = int(TransitionColumn.TIME_IN_STAGE)
_BY_TIMEOUT: Final = int(TransitionColumn.BY_TIMEOUT)
_CLOCK: Final = int(TransitionColumn.CLOCK)
_SEQ: Final = int(TransitionColumn.SEQ)


@part
def touch(state, kind, row):
    """Mark a row's page for the next checkpoint."""
    if kind == 0:
        state.dirty_customers[row // PAGE_ROWS] = True
    else:
        state.dirty_instances[row // PAGE_ROWS] = True


@part
def mark_changed(state, kind, row, cells):
    """Mark a row for the next snapshot and the next checkpoint."""
    touch(state, kind, row)
    if cells[CHANGED] == 0.0:
        cells[CHANGED] = 1.0
        state.pending[state.numbers[PENDING]] = ref_of(kind, row, 0)
        state.numbers[PENDING] += 1


@part
def enter(plan, state, out, record, ref, stage, entered_at, anchor, by_timeout):
    """Put a journey into a stage, record the transition and arm the stage's timers."""
    kind, row, journey = kind_of(ref), row_of(ref), journey_of(ref)
    cells = cells_of(state, kind, row)
    cell = plan.journey_cell[journey]
    transition = out.transitions[out.counts[TRANSITIONS]]
    out.counts[TRANSITIONS] += 1
    transition[_RECORD], transition[_KIND], transition[_ROW], transition[_JOURNEY] = (
        record,
        kind,
        row,
        journey,
    )
    transition[_FROM], transition[_TO] = cells[cell + STAGE], stage
    transition[_ENTERED_AT], transition[_TIME_IN_STAGE] = entered_at, stage_time(cells, cell, entered_at)
    transition[_BY_TIMEOUT], transition[_CLOCK] = by_timeout, state.numbers[CLOCK]
    transition[_SEQ] = next_seq(out, record)
    cells[cell + STAGE], cells[cell + ENTERED], cells[cell + ANCHOR] = stage, entered_at, anchor
    set_timer(plan, state, ref, cells, journey, 0)
    mark_changed(state, kind, row, cells)


@part
def move_for(plan, journey, event_type, stage, customer, own, properties, now, out):
    """The first transition that the event takes out of a stage; -1 where there is none."""
    group = event_type * len(plan.journey_entity) + journey
    for k in range(plan.event_move_bounds[group], plan.event_move_bounds[group + 1]):
        move = plan.event_move[k]
        if plan.move_from[move, stage] and holds(plan, plan.move_when[move], customer, own, properties, now, out):
            return move
    return -1


@part
def take_event(plan, state, batch, out, record, journey, considered):
    """One event, one journey; returns the count of rules to consider, with those that listen to the stages entered."""
    entity = plan.journey_entity[journey]
    row = batch.rows[record, entity]
    if row < 0:
        return considered
    ref = ref_of(1 if entity else 0, row, journey)
    own = cells_of(state, kind_of(ref), row)
    cell = plan.journey_cell[journey]
    now, clock = batch.event_time[record], state.numbers[CLOCK]
    first_stage = plan.journey_stage[journey]
    if own[cell + STAGE] != own[cell + STAGE]:
        enter(plan, state, out, record, ref, 0, now, clock, False)
        considered = add_considered(out.considered, considered, plan.entered_bounds, plan.entered_rules, first_stage)
    stage = int(own[cell + STAGE])
    event_type = batch.event_type[record]
    customer = state.customers[batch.rows[record, 0]]
    move = move_for(plan, journey, event_type, stage, customer, own, batch.properties[record], now, out)
    if move >= 0:
        stage = plan.move_to[move]
        enter(plan, state, out, record, ref, stage, now, clock, False)
        return add_considered(out.considered, considered, plan.entered_bounds, plan.entered_rules, first_stage + stage)
    if plan.stage_restart[first_stage + stage, event_type]:
        own[cell + ANCHOR] = clock
        set_timer(plan, state, ref, own, journey, 0)
    return considered


@part
def fire(plan, state, out, record):
    """Do what the first entry of the heap, which is due, asks for."""
    ref = state.heap_ref[0]
    kind, row, journey = kind_of(ref), row_of(ref), journey_of(ref)
    cells = cells_of(state, kind, row)
    cell = plan.journey_cell[journey]
    deadline = cells[cell + DEADLINE]
    pop(state)
    cells[cell + QUEUED] = np.nan
    touch(state, kind, row)
    customer_row = row if kind == 0 else state.owner[row]
    instance_row = row if kind == 1 else -1
    nothing = out.registers[:0]
    stage = plan.journey_stage[journey] + int(cells[cell + STAGE])
    timer = plan.timer_bounds[stage] + int(cells[cell + TIMER])
    rule = plan.timer_rule[timer]
    if rule >= 0:
        set_timer(plan, state, ref, cells, journey, int(cells[cell + TIMER]) + 1)
        consider(plan, state, out, rule, record, customer_row, instance_row, nothing, deadline, deadline)
        return
    enter(plan, state, out, record, ref, plan.stage_to[stage], deadline, deadline, True)
    for k in range(plan.timeout_bounds[stage], plan.timeout_bounds[stage + 1]):
        rule = plan.timeout_rules[k]
        consider(plan, state, out, rule, record, customer_row, instance_row, nothing, deadline, deadline)
