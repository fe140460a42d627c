"""The timers of a shard: a binary heap of (deadline, ref), cleaned lazily.

A journey is in the heap at most once under its `QUEUED` deadline; entries under another one are stale. A deadline that
moved later is put right when its old entry comes up, so that re-arming costs nothing. What is stale goes when it comes
up, or when the heap is full: a stage of years that is left every minute would else leave an entry each time.
"""

from __future__ import annotations

import numpy as np

from models.jit import inlined, kernel, part
from models.plan import ANCHOR, DEADLINE, HEAP, QUEUED, STAGE, TIMER

_ROW_SHIFT = 12
_KIND_SHIFT = 62
_JOURNEYS_MASK = (1 << _ROW_SHIFT) - 1
_ROWS_MASK = (1 << (_KIND_SHIFT - _ROW_SHIFT)) - 1


@part
def ref_of(kind, row, journey):
    return (kind << _KIND_SHIFT) | (row << _ROW_SHIFT) | journey


@part
def kind_of(ref):
    return ref >> _KIND_SHIFT


@part
def row_of(ref):
    return (ref >> _ROW_SHIFT) & _ROWS_MASK


@part
def journey_of(ref):
    return ref & _JOURNEYS_MASK


@inlined
def cells_of(state, kind, row):
    """The cells of a row of either matrix."""
    if kind == 0:
        return state.customers[row]
    return state.instances[row]


@part
def _before(state, a, b):
    if state.heap_deadline[a] != state.heap_deadline[b]:
        return state.heap_deadline[a] < state.heap_deadline[b]
    return state.heap_ref[a] < state.heap_ref[b]


@part
def _swap(state, a, b):
    deadline, ref = state.heap_deadline[a], state.heap_ref[a]
    state.heap_deadline[a], state.heap_ref[a] = state.heap_deadline[b], state.heap_ref[b]
    state.heap_deadline[b], state.heap_ref[b] = deadline, ref


@part
def push(state, deadline, ref):
    """Add an entry; the caller has seen to it that there is room."""
    at = state.numbers[HEAP]
    state.numbers[HEAP] = at + 1
    state.heap_deadline[at] = deadline
    state.heap_ref[at] = ref
    while at > 0 and _before(state, at, (at - 1) // 2):
        _swap(state, at, (at - 1) // 2)
        at = (at - 1) // 2


@part
def pop(state):
    """Drop the first entry."""
    count = state.numbers[HEAP] - 1
    state.numbers[HEAP] = count
    _swap(state, 0, count)
    at = 0
    while True:
        child = 2 * at + 1
        if child >= count:
            return
        if child + 1 < count and _before(state, child + 1, child):
            child += 1
        if not _before(state, child, at):
            return
        _swap(state, at, child)
        at = child


@part
def queue(state, ref, cells, cell):
    """Have the heap know of the journey's deadline, if it does not know of an earlier one."""
    deadline = cells[cell + DEADLINE]
    if deadline == deadline and not cells[cell + QUEUED] <= deadline:
        cells[cell + QUEUED] = deadline
        push(state, deadline, ref)


@part
def set_timer(plan, state, ref, cells, journey, timer):
    """Make `timer` the next timer of the journey's stage."""
    cell = plan.journey_cell[journey]
    stage = plan.journey_stage[journey] + int(cells[cell + STAGE])
    at = plan.timer_bounds[stage] + timer
    cells[cell + TIMER] = timer
    if at < plan.timer_bounds[stage + 1]:
        cells[cell + DEADLINE] = cells[cell + ANCHOR] + plan.timer_after_ms[at]
    else:
        cells[cell + DEADLINE] = np.nan
    queue(state, ref, cells, cell)


@part
def next_deadline(plan, state):
    """The earliest deadline of the shard, ms; infinity where there is none. Its entry is then first in the heap."""
    while state.numbers[HEAP] > 0:
        deadline, ref = state.heap_deadline[0], state.heap_ref[0]
        cells = cells_of(state, kind_of(ref), row_of(ref))
        cell = plan.journey_cell[journey_of(ref)]
        if cells[cell + QUEUED] == deadline:
            if cells[cell + DEADLINE] == deadline:
                return deadline
            cells[cell + QUEUED] = np.nan
            pop(state)
            queue(state, ref, cells, cell)
        else:
            pop(state)
    return np.inf


@kernel
def drop_stale(plan, state):
    """Keep only the entries under which journeys are queued; none moves behind one that is not looked at yet."""
    entries = state.numbers[HEAP]
    state.numbers[HEAP] = 0
    for at in range(entries):
        deadline, ref = state.heap_deadline[at], state.heap_ref[at]
        cells = cells_of(state, kind_of(ref), row_of(ref))
        if cells[plan.journey_cell[journey_of(ref)] + QUEUED] == deadline:
            push(state, deadline, ref)
