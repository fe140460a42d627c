"""A shard as records: pages and a closing record, as they are written to the compacted state topic and read back.

A closing record is the moment of a checkpoint: pages after the last one belong to a checkpoint that was never
finished. They are not used, and the next checkpoint writes those pages anew: no later closing record covers them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models import engine, pages
from models.metrics import Metrics
from models.plan import DEDUP_IDS, HEAP, PAGE_ROWS, PENDING

if TYPE_CHECKING:
    from models.shard import Shard

CLOSING_KEY = b"checkpoint"
KINDS = (b"c", b"i")  # of pages: customers, instances


class Closing(msgspec.Struct, frozen=True):
    """What the partition as a whole knows at a checkpoint."""

    format: int
    layout: str  # signature of the catalogue whose cells the pages hold
    next_offset: int
    numbers: list[int]
    metrics: bytes  # int64 rows of the open minute


class StateError(RuntimeError):
    """State that does not fit the catalogue; the message says what to do."""


def dump(shard: Shard) -> list[tuple[bytes, bytes]]:
    """Dirty pages and the closing record; marks them clean."""
    state = shard.rows.state
    dirty = {
        KINDS[kind] + str(page).encode()
        for kind, pages_ in enumerate((state.dirty_customers, state.dirty_instances))
        for page in np.flatnonzero(pages_).tolist()
    }
    keys = sorted(dirty | shard.unfinished, key=_order)
    records = [(key, _page(shard, *_order(key))) for key in keys]
    state.dirty_customers[:] = False
    state.dirty_instances[:] = False
    shard.unfinished = set()
    closing = Closing(
        format=pages.PAGE_FORMAT,
        layout=shard.layout.signature,
        next_offset=shard.next_offset,
        numbers=state.numbers.tolist(),
        metrics=shard.metrics.rows.tobytes(),
    )
    return [*records, (CLOSING_KEY, msgspec.msgpack.encode(closing))]


def _order(key: bytes) -> tuple[int, int]:
    """(kind, number) of a page."""
    return KINDS.index(key[:1]), int(key[1:])


def _page(shard: Shard, kind: int, page: int) -> bytes:
    rows, first = shard.rows, page * PAGE_ROWS
    names = rows.instances if kind else rows.customers
    end = min(first + PAGE_ROWS, names.count)
    matrix = rows.state.instances if kind else rows.state.customers
    return pages.pack(
        names.texts(slice(first, end)),
        names.group[first:end].tobytes() if kind else b"",
        matrix[first:end],
        np.ascontiguousarray(rows.templates_of(kind == 1, first, end)),
        b"" if kind else rows.state.ids[first:end].tobytes(),
    )


def restore(shard: Shard, records: Iterable[tuple[bytes, bytes]]) -> Shard:
    """Fill a new shard. Raises StateError, or PageError for a page that cannot be read."""
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
    closing = msgspec.msgpack.decode(committed.pop(CLOSING_KEY), type=Closing)
    if closing.layout != shard.layout.signature:
        raise StateError(
            "the state topic was written with another catalogue; run the worker with that catalogue, "
            "or under another --app name to start anew from the events"
        )
    for key in sorted(committed, key=_order):
        _load(shard, *_order(key), pages.decode(committed[key]))
    shard.next_offset = closing.next_offset
    shard.metrics = Metrics(np.frombuffer(closing.metrics, np.int64).reshape(-1, 6).copy())
    _resume(shard, closing.numbers)
    return shard


def _load(shard: Shard, kind: int, number: int, page: pages.Page) -> None:
    """Pages come in order, customers first, so that rows get the numbers that they had."""
    rows, names = shard.rows, page.texts
    groups = np.frombuffer(page.groups, np.int64) if kind else np.zeros(names.count, np.int64)
    rows.add(kind == 1, names, groups)
    first, end = number * PAGE_ROWS, number * PAGE_ROWS + names.count
    matrix = rows.state.instances if kind else rows.state.customers
    pages.unpack(page, matrix[first:end])
    if kind == 0:
        rows.state.ids[first:end] = np.frombuffer(page.ids, np.int64).reshape(-1, DEDUP_IDS + 1)


def _resume(shard: Shard, numbers: list[int]) -> None:
    """Rebuild the heap and the list of rows that wait for a snapshot."""
    rows, plan = shard.rows, shard.layout.plan
    customers, instances = rows.customers.count, rows.instances.count
    rows.grow_heap((customers + instances) * max(1, len(plan.journey_entity)))
    rows.state.numbers[:] = numbers
    rows.state.numbers[HEAP] = rows.state.numbers[PENDING] = 0
    engine.requeue(plan, rows.state, 0, customers, np.zeros(customers, np.int32))
    engine.requeue(plan, rows.state, 1, instances, rows.state.entity)
