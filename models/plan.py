"""The arrays that the engine's loop works on, as named tuples: numba takes them as they are.

`Plan` is the compiled catalogue (read only), `State` one shard, `Batch` one record batch, `Out` what came of it.
CSR means: the entries of group g are `items[bounds[g]:bounds[g + 1]]`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.programs import MAX_STACK

PAGE_ROWS: Final = 64  # rows of a page, the unit of a checkpoint
DEDUP_IDS: Final = 16  # ids of a customer that are remembered

# cells of every row
LATEST: Final = 0  # largest event time, ms; NaN before the first event
CHANGED: Final = 1  # 1 when the row changed since its last snapshot
ROW_CELLS: Final = 2

# cells of a journey, from Plan.journey_cell
STAGE: Final = 0  # number in Journey.stages; NaN before the first
ENTERED: Final = 1  # entered_at, ms
ANCHOR: Final = 2  # ms from which the stage's timers count
TIMER: Final = 3  # which timer of the stage is next
DEADLINE: Final = 4  # when it is due, ms; NaN when there is none
QUEUED: Final = 5  # the deadline under which the heap holds this journey; NaN when it does not
JOURNEY_CELLS: Final = 6

# numbers of a shard, in State.numbers
CLOCK: Final = 0
BOUNDARY: Final = 1  # the next hour at which a snapshot is due, ms
PENDING: Final = 2  # rows in State.pending
HEAP: Final = 3  # entries in the heap
STATE_NUMBERS: Final = 4
NO_CLOCK: Final = -(2**62)

# counts in Out.counts
TRANSITIONS: Final = 0
CANDIDATES: Final = 1
SEQ: Final = 2  # what the record SEQ_RECORD caused so far
SEQ_RECORD: Final = 3
SNAPSHOTS: Final = 4
OUT_COUNTS: Final = 5


class Aggregate(IntEnum):
    """What an accumulator does with its values."""

    COUNT = 0
    SUM = 1
    MIN = 2
    MAX = 3
    FIRST = 4
    LAST = 5
    DISTINCT = 6


class Input(IntEnum):
    """What an input register of a predicate is filled with."""

    PROPERTY = 0
    FEATURE = 1
    STAGE = 2
    TIME_IN_STAGE = 3


class Status(IntEnum):
    """What became of a record."""

    APPLIED = 0
    DUPLICATE = 1
    UNKNOWN = 2
    NOT_AN_EVENT = 3


class Plan(NamedTuple):
    """The catalogue as arrays. A predicate q (-1: none) is program q with the inputs of CSR group q."""

    ops: NDArray[np.int32]
    args: NDArray[np.float64]
    program_bounds: NDArray[np.int32]
    input_bounds: NDArray[np.int32]
    input_kind: NDArray[np.int32]
    input_index: NDArray[np.int32]
    input_register: NDArray[np.int32]
    # accumulators: the cells that features share
    acc_aggregate: NDArray[np.int32]
    acc_cell: NDArray[np.int32]
    acc_least_tiles: NDArray[np.int64]  # of the shortest window that reads it
    acc_ring: NDArray[np.int32]  # which of the rings below; -1 for a lifetime
    acc_where: NDArray[np.int32]
    acc_value: NDArray[np.int32]
    acc_column: NDArray[np.int32]  # the property column, where the value is just that
    ring_tile_ms: NDArray[np.int64]  # rings that differ: how long a tile is ...
    ring_tiles: NDArray[np.int64]  # ... and how many there are
    ring_local: NDArray[np.bool_]  # tiles of local days
    event_acc_bounds: NDArray[np.int32]  # group: event type * entities + entity
    event_acc: NDArray[np.int32]
    feature_acc: NDArray[np.int32]
    feature_tiles: NDArray[np.int64]
    feature_entity: NDArray[np.int32]
    # journeys; a stage's global number is journey_stage[j] + number
    journey_entity: NDArray[np.int32]
    journey_cell: NDArray[np.int32]
    journey_stage: NDArray[np.int32]
    event_move_bounds: NDArray[np.int32]  # group: event type * journeys + journey
    event_move: NDArray[np.int32]
    move_from: NDArray[np.bool_]  # [moves, stages of the journey with the most]
    move_to: NDArray[np.int32]
    move_when: NDArray[np.int32]
    stage_restart: NDArray[np.bool_]  # [stages, event types]
    stage_to: NDArray[np.int32]  # where the timeout leads; -1
    timer_bounds: NDArray[np.int32]  # group: stage
    timer_after_ms: NDArray[np.int64]
    timer_rule: NDArray[np.int32]  # -1: the stage's timeout
    entered_bounds: NDArray[np.int32]  # group: stage; rules that listen to entering it
    entered_rules: NDArray[np.int32]
    timeout_bounds: NDArray[np.int32]  # group: stage; rules to consider when its timeout has moved the entity
    timeout_rules: NDArray[np.int32]
    event_rule_bounds: NDArray[np.int32]
    event_rules: NDArray[np.int32]
    rule_entity: NDArray[np.int32]
    rule_journey: NDArray[np.int32]  # whose stage is evidence; -1
    rule_when: NDArray[np.int32]
    rule_gate_bounds: NDArray[np.int32]
    rule_gates: NDArray[np.int32]  # predicates
    rule_factor_bounds: NDArray[np.int32]
    rule_factors: NDArray[np.int32]  # expressions, whose product is the score
    profile_predicate: NDArray[np.int32]  # of each entity: a program that stores all its tags
    profile_bounds: NDArray[np.int32]  # group: entity; registers of its features, tags and stages, in this order
    profile_registers: NDArray[np.int32]
    zone_at: NDArray[np.int64]  # instants, ms, from which ...
    zone_offset: NDArray[np.int64]  # ... this offset holds, ms


class State(NamedTuple):
    """One shard. Row refs: kind << 62 | row << 12 | journey, with kind 0 for customers and 1 for instances."""

    customers: NDArray[np.float64]  # [rows, cells]
    instances: NDArray[np.float64]
    owner: NDArray[np.int64]  # customer row of an instance
    entity: NDArray[np.int32]  # entity number of an instance
    ids: NDArray[np.int64]  # [customer rows, DEDUP_IDS + 1]; the last cell counts
    dirty_customers: NDArray[np.bool_]  # pages
    dirty_instances: NDArray[np.bool_]
    pending: NDArray[np.int64]  # refs of rows that changed since their last snapshot
    heap_deadline: NDArray[np.float64]
    heap_ref: NDArray[np.int64]
    numbers: NDArray[np.int64]


class Batch(NamedTuple):
    """A record batch, decoded: n records. Times are ms; properties: [n, properties], NaN is NULL."""

    timestamp: NDArray[np.int64]
    event_type: NDArray[np.int32]
    event_time: NDArray[np.int64]
    event_id: NDArray[np.int64]
    rows: NDArray[np.int64]  # [n, entities]: the customer's row, then instances; -1
    properties: NDArray[np.float64]


class Out(NamedTuple):
    """Buffers; the loop pauses to have them emptied when they might not hold what one record causes."""

    status: NDArray[np.int8]
    late: NDArray[np.bool_]
    counts: NDArray[np.int64]
    transitions: NDArray[np.float64]  # columns: TransitionColumn
    candidates: NDArray[np.float64]  # columns: CandidateColumn, then the registers that the predicate read
    snapshots: NDArray[np.float64]  # columns: SnapshotColumn, then the values of the entity's profile
    registers: NDArray[np.float64]  # scratch
    stack: NDArray[np.float64]  # scratch
    considered: NDArray[np.int32]  # scratch: the rules that a step considers
    places: NDArray[np.int64]  # scratch: [rings, Place], of the instant that was looked for last


class Place(IntEnum):
    """Where an instant lies in a ring: in a tile that lasts from SINCE to before UNTIL, ms; 0 and 0 for nowhere."""

    SINCE = 0
    UNTIL = 1
    TILE = 2
    SLOT = 3  # of the tile in the ring


class TransitionColumn(IntEnum):
    """Of a row of Out.transitions: an entity that entered a stage. Times are ms."""

    RECORD = 0
    KIND = 1
    ROW = 2
    JOURNEY = 3
    FROM = 4  # NaN: none
    TO = 5
    ENTERED_AT = 6
    TIME_IN_STAGE = 7  # NaN: none
    BY_TIMEOUT = 8
    CLOCK = 9
    SEQ = 10


class CandidateColumn(IntEnum):
    """Of a row of Out.candidates: a rule whose predicate held. Times are ms."""

    RECORD = 0
    RULE = 1
    CUSTOMER = 2  # row
    INSTANCE = 3  # row; -1
    STAGE = 4  # NaN: none
    DEADLINE = 5  # NaN: an event's
    CLOCK = 6
    GATES = 7  # how many gates passed, in order
    SEQ = 8
    SCORE = 9
    VALUES = 10  # the first register


class SnapshotColumn(IntEnum):
    """Of a row of Out.snapshots: what an entity was at an hour."""

    AS_OF = 0  # ms
    RECORD = 1  # that advanced the clock
    ENTITY = 2
    ROW = 3
    VALUES = 4  # the first


def new_snapshots(rows: int, values: int) -> NDArray[np.float64]:
    """Room for snapshots of so many values."""
    return np.empty((rows, SnapshotColumn.VALUES + values))


def new_out(registers: int, rules: int, rings: int, room: int, snapshots: NDArray[np.float64]) -> Out:
    """Buffers for a batch of no records; `room` rows for what comes out, `snapshots` for those."""
    return Out(
        status=np.empty(0, np.int8),
        late=np.empty(0, np.bool_),
        counts=_no_counts(),
        transitions=np.empty((room, len(TransitionColumn)), np.float64),
        candidates=np.empty((room, CandidateColumn.VALUES + registers), np.float64),
        snapshots=snapshots,
        registers=np.empty(max(registers, 1), np.float64),
        stack=np.empty(MAX_STACK, np.float64),
        considered=np.empty(max(rules, 1), np.int32),
        places=np.zeros((rings, len(Place)), np.int64),
    )


def renewed(out: Out, records: int, snapshots: NDArray[np.float64]) -> Out:
    """Buffers for a batch of so many records: what is kept of a batch is new, the rest is used again."""
    status = np.full(records, Status.NOT_AN_EVENT, np.int8)
    return out._replace(status=status, late=np.zeros(records, np.bool_), counts=_no_counts(), snapshots=snapshots)


def _no_counts() -> NDArray[np.int64]:
    counts = np.zeros(OUT_COUNTS, np.int64)
    counts[SEQ_RECORD] = -1
    return counts
