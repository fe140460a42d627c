"""A shard as records: pages and a closing record, as they are written to the compacted state topic and read back.

A closing record is the moment of a checkpoint: pages after the last one belong to a checkpoint that was never
finished. They are not used, and the next checkpoint writes those pages anew: no later closing record covers them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from models import engine, pages
from models.gates import Candidate
from models.held import HELD_ROWS, packed, resumed, unpacked
from models.metrics import COLUMNS as METRIC_COLUMNS
from models.metrics import Metrics
from models.migration import GONE, Migration
from models.names import entity_of, group_of, owner_of
from models.plan import CLOCK, DEDUP_IDS, HEAP, PAGE_ROWS, PENDING
from models.waiting import Waiting

if TYPE_CHECKING:
    from models.shard import Shard

CLOSING_KEY = b"checkpoint"
KINDS = (b"c", b"i", b"m", b"h")  # of pages: customers, instances, rows of the open minute's metrics, held candidates
METRICS, HELD = KINDS.index(b"m"), KINDS.index(b"h")
METRIC_ROWS = 8_192  # of one page: 384 KiB
MIGRATED_AT_ONCE = 64  # pages: their old rows are in memory beside the new ones


def dump(shard: Shard) -> list[tuple[bytes, bytes]]:
    """Dirty pages and the closing record; marks them clean."""
    state = shard.rows.state
    dirty = {
        _key(kind, page)
        for kind, pages_ in enumerate((state.dirty_customers, state.dirty_instances))
        for page in np.flatnonzero(pages_).tolist()
    }
    grown = _keys(METRICS, shard.metrics.saved, len(shard.metrics.rows), METRIC_ROWS)  # in one minute only added to
    held = _keys(HELD, shard.judge.held.saved, len(shard.judge.held), HELD_ROWS)
    keys = sorted(dirty.union(shard.unfinished, grown, held), key=_order)
    packers = [pages.Packer(templates) for templates in shard.rows.templates]
    records = [(key, _page(shard, packers, *_order(key))) for key in keys]
    state.dirty_customers[:] = False
    state.dirty_instances[:] = False
    shard.unfinished = set()
    shard.metrics.saved, shard.judge.held.saved = len(shard.metrics.rows), len(shard.judge.held)
    closing = pages.Closing(
        format=pages.PAGE_FORMAT,
        cells=shard.layout.cell_map,
        rows=(shard.rows.customers.count, shard.rows.instances.count),
        next_offset=shard.next_offset,
        numbers=state.numbers.tolist(),
        metric_rows=len(shard.metrics.rows),
        held=len(shard.judge.held),
    )
    return [*records, (CLOSING_KEY, msgspec.msgpack.encode(closing))]


def _keys(kind: int, first: int, end: int, page_rows: int) -> list[bytes]:
    """The pages that hold rows first … end - 1."""
    return [_key(kind, page) for page in range(first // page_rows, -(-end // page_rows))]


def _key(kind: int, page: int) -> bytes:
    return KINDS[kind] + str(page).encode()


def _order(key: bytes) -> tuple[int, int]:
    """(kind, number) of a page."""
    return KINDS.index(key[:1]), int(key[1:])


def _page(shard: Shard, packers: list[pages.Packer], kind: int, page: int) -> bytes:
    if kind == METRICS:
        return shard.metrics.rows[page * METRIC_ROWS : (page + 1) * METRIC_ROWS].tobytes()
    if kind == HELD:
        return packed(shard.judge.held[page * HELD_ROWS : (page + 1) * HELD_ROWS])
    rows, first = shard.rows, page * PAGE_ROWS
    names = rows.instances if kind else rows.customers
    end = min(first + PAGE_ROWS, names.count)
    matrix = rows.state.instances if kind else rows.state.customers
    return packers[kind].pack(
        names.texts(slice(first, end)),
        names.group[first:end].tobytes() if kind else b"",
        matrix[first:end],
        rows.template_numbers(kind, first, end),
        b"" if kind else rows.state.ids[first:end].tobytes(),
    )


def restore(shard: Shard, records: Iterable[tuple[bytes, bytes]]) -> Shard:
    """Fill a new shard; state of another catalogue is migrated. Raises PageError for what cannot be read."""
    committed: dict[bytes, bytes] = {}
    open_: dict[bytes, bytes] = {}
    for key, value in records:
        open_[key] = value
        if key == CLOSING_KEY:
            committed |= open_
            open_ = {}
    shard.unfinished = set(open_)
    if not committed:
        return shard
    closing = pages.read(committed.pop(CLOSING_KEY), pages.Closing)
    migration = None
    if closing.cells.signature != shard.layout.cell_map.signature:
        migration = Migration(closing.cells, shard.layout, closing.numbers[CLOCK])
        shard.migration = list(migration.report())
    metrics = _metrics(closing, committed)
    numbered = sorted((*_order(key), value) for key, value in committed.items())
    for kind, rows in enumerate(closing.rows):
        own = [value for of, number, value in numbered if of == kind and number * PAGE_ROWS < rows]
        at_once = MIGRATED_AT_ONCE if migration else max(1, len(own))
        width = len(migration.template(kind)) if migration and own else shard.layout.cells(keyed=kind == 1)
        for first in range(0, len(own), at_once):
            read = [pages.read(value, pages.Page) for value in own[first : first + at_once]]
            _load(shard, kind, pages.stack(read, width), migration)
    if migration is None:
        shard.rows.state.dirty_instances[:] = False  # rows that are made are dirty; these are as they were written
    shard.judge.held = Waiting(_held(shard, closing, committed), 0 if migration else closing.held)
    shard.next_offset = closing.next_offset
    shard.metrics = Metrics(migration.metrics(metrics) if migration else metrics.copy())
    _resume(shard, closing.numbers)
    return shard


def _metrics(closing: pages.Closing, committed: dict[bytes, bytes]) -> NDArray[np.int64]:
    """The rows of the open minute. Raises PageError."""
    if not closing.metric_rows:  # none, or as the first format had them
        return np.frombuffer(closing.metrics, np.int64).reshape(-1, METRIC_COLUMNS)
    blob = b"".join(committed.get(key, b"") for key in _keys(METRICS, 0, closing.metric_rows, METRIC_ROWS))
    row_bytes = METRIC_COLUMNS * np.dtype(np.int64).itemsize
    if len(blob) < closing.metric_rows * row_bytes:
        raise pages.PageError("a record of the state is damaged: rows of the open minute are missing")
    return np.frombuffer(blob, np.int64, closing.metric_rows * METRIC_COLUMNS).reshape(-1, METRIC_COLUMNS)


def _held(shard: Shard, closing: pages.Closing, committed: dict[bytes, bytes]) -> list[Candidate]:
    """The candidates that waited; those of rules that are gone are left out, and counted. Raises PageError."""
    try:
        blobs = [committed[key] for key in _keys(HELD, 0, closing.held, HELD_ROWS)]
    except KeyError as key:
        raise pages.PageError(f"a record of the state is damaged: page {key} is missing") from None
    kept, gone = resumed(unpacked(blobs)[: closing.held], shard.layout, shard.rows)
    for rule, count in sorted(gone.items()):
        shard.migration.append(f"rule {rule}: gone, with {count} candidates that were held")
    return kept


def _load(shard: Shard, kind: int, stack: pages.Stack, migration: Migration | None) -> None:
    """Pages come in order, customers first, so that rows get the numbers that they had.

    As many as may be at once: each call of a kernel beside other partitions waits for the interpreter's lock.
    """
    rows, names = shard.rows, stack.names
    groups = stack.groups if kind else np.zeros(names.count, np.int64)
    first = _load_rows(shard, kind, stack, groups, migration)
    if kind == 0:
        rows.state.ids[first : first + names.count] = stack.ids.reshape(-1, DEDUP_IDS + 1)


def _load_rows(
    shard: Shard, kind: int, stack: pages.Stack, groups: NDArray[np.int64], migration: Migration | None
) -> int:
    """Returns the first row. Under a migration rows of entities that are gone are left out, and all pages are dirty."""
    rows, names = shard.rows, stack.names
    if migration is None:
        first = rows.add(kind == 1, names, groups)
        pages.unpack(stack, rows.matrix(kind)[first : first + names.count])
        return first
    entities = entity_of(groups)
    old = np.stack([migration.template(entity) for entity in entities.tolist()])
    pages.unpack(stack, old)
    kept = np.flatnonzero(migration.entity[entities] != GONE)
    numbers = migration.entity[entities[kept]]
    first = rows.add(kind == 1, names.take(kept), group_of(numbers, owner_of(groups[kept])))
    for entity in np.unique(entities[kept]).tolist():
        own = np.flatnonzero(entities[kept] == entity)
        target = rows.matrix(kind)[first + own]
        migration.rows(entity, old[kept[own]], target)
        rows.matrix(kind)[first + own] = target
    for dirty in (rows.state.dirty_customers, rows.state.dirty_instances):
        dirty[: -(-(first + len(kept)) // PAGE_ROWS)] = True
    return first


def _resume(shard: Shard, numbers: list[int]) -> None:
    """Rebuild the heap and the list of rows that wait for a snapshot."""
    rows, plan = shard.rows, shard.layout.plan
    customers, instances = rows.customers.count, rows.instances.count
    rows.grow_heap((customers + instances) * max(1, len(plan.journey_entity)))
    rows.state.numbers[:] = numbers
    rows.state.numbers[HEAP] = rows.state.numbers[PENDING] = 0
    engine.requeue(plan, rows.state, 0, customers, np.zeros(customers, np.int32))
    engine.requeue(plan, rows.state, 1, instances, rows.state.entity)
