"""A bank in motion from a seed: Kafka records of its events, in time order; the same seed gives the same bytes.

The whole run is planned in numpy first (who does what when, and what it moves), then written in chunks.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.errors import UserError
from models.windows import DAY_MS, HOUR_MS, MINUTE_MS
from streams import bank_app, bank_loans, bank_money, bank_text
from streams.bank import Bank, Ints, SimulationSettings
from streams.record_files import LINES

__all__ = ["SimulationError", "SimulationSettings", "SimulationStats", "records", "write_file"]

SimBatch = tuple[NDArray[np.int64], list[bytes], list[bytes]]  # timestamps (ms), keys, values
CHUNK_RECORDS = 50_000
SESSIONS = 0.105  # of the events are starts of sessions at will
SNAPSHOTS = 0.06  # at most
LATEST_MS = 12 * DAY_MS  # after its time, that an event comes
BROKEN = -1  # block of a broken record
MAX_DAYS = 3_660  # ten years


class SimulationError(UserError):
    """Nothing can be simulated so; the message says what would do."""

    exit_code = 2  # wrong usage, as for an option that the command line itself refuses


class SimulationStats(NamedTuple):
    """What was written; `events` are good ones, without duplicates."""

    records: int
    events: int
    late: int
    duplicates: int
    broken: int
    customers: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """All records in the order of their timestamps. `received_at` differs from `timestamp` for duplicates only."""

    bank: Bank
    timestamp: Ints
    block: Ints  # BROKEN, or which block
    row: Ints  # in the block; the kind of a broken record
    number: Ints  # of the event; what makes its id
    received_at: Ints
    late: int

    def __len__(self) -> int:
        return len(self.timestamp)


class Chunk(NamedTuple):
    """Some records; `plain` are those that a line of a file can hold as they are."""

    timestamps: Ints
    keys: list[bytes]
    values: list[bytes]
    plain: NDArray[np.bool_]


def records(settings: SimulationSettings) -> Iterator[SimBatch]:
    """The records (timestamps in ms, keys, values) in batches, ordered by timestamp."""
    for chunk in _chunks(plan(settings)):
        yield chunk.timestamps, chunk.keys, chunk.values


def write_file(
    settings: SimulationSettings, path: Path, progress: Callable[[int], None] = lambda records: None
) -> SimulationStats:
    """Write a file of records, .jsonl or .parquet, in place of what is there; calls progress(records) as it goes.

    Raises SimulationError, and OSError if it cannot be written.
    """
    write = {**dict.fromkeys(LINES, _write_lines), ".parquet": _write_parquet}.get(path.suffix)
    if write is None:
        raise SimulationError(f"{path}: a file of records ends in .jsonl, .ndjson or .parquet")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    planned = plan(settings)
    unfinished = path.with_name(path.name + ".part")
    try:
        write(planned, unfinished, progress)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return _stats(planned, path.stat().st_size)


def _stats(planned: Plan, size: int) -> SimulationStats:
    broken = int((planned.block == BROKEN).sum())
    duplicates = int(((planned.timestamp != planned.received_at) & (planned.block != BROKEN)).sum())
    return SimulationStats(
        records=len(planned),
        events=len(planned) - broken - duplicates,
        late=planned.late,
        duplicates=duplicates,
        broken=broken,
        customers=len(np.unique(np.concatenate([block.customer for block in planned.bank.blocks] or [[]]))),
        bytes=size,
    )


def _write_lines(planned: Plan, path: Path, progress: Callable[[int], None]) -> None:
    with path.open("wb") as file:
        for chunk in _chunks(planned):
            lines = chunk.values
            for odd in np.flatnonzero(~chunk.plain).tolist():
                lines[odd] = bank_text.wrapped(int(chunk.timestamps[odd]), chunk.keys[odd], lines[odd])
            lines.append(b"")
            file.write(b"\n".join(lines))
            progress(len(chunk.keys))


def _write_parquet(planned: Plan, path: Path, progress: Callable[[int], None]) -> None:
    schema = pa.schema([("timestamp", pa.int64()), ("key", pa.binary()), ("value", pa.binary())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for chunk in _chunks(planned):
            writer.write_table(pa.table([chunk.timestamps, chunk.keys, chunk.values], schema=schema))
            progress(len(chunk.keys))


# --- the plan


def plan(settings: SimulationSettings) -> Plan:
    """Every record, as numbers. Raises SimulationError for settings that no bank can have."""
    _check(settings)
    duplicates, broken = round(settings.records * settings.duplicates), round(settings.records * settings.broken)
    bank = Bank(settings, settings.records - duplicates - broken)
    if bank.events > 0:
        _live(bank)
    return _in_order(bank, duplicates, broken)


def _check(settings: SimulationSettings) -> None:
    if settings.customers < 1 or not 1 <= settings.days <= MAX_DAYS or settings.records < 0 or settings.seed < 0:
        raise SimulationError(
            f"a simulation needs at least 1 customer, 1 to {MAX_DAYS:,} days, 0 or more events, and a seed from 0 on"
        )
    shares = (settings.late, settings.duplicates, settings.broken)
    if not all(0 <= share <= 1 for share in shares) or settings.duplicates + settings.broken >= 1:
        raise SimulationError("late, duplicates and broken are shares from 0 to 1; the latter two together less than 1")


def _live(bank: Bank) -> None:
    """Let the bank live: visits first, then what happens in them and elsewhere, then what fills the count."""
    app = bank_app.App(bank)
    bank_app.join(bank, app)
    applications = bank_loans.Applications(bank, app, bank.share(0.007))
    app.visit_at_will(max(1, bank.share(SESSIONS)))
    app.open()
    bank_loans.apply(bank, applications)
    bank_money.hand_over(bank)
    bank_money.payroll(bank)
    bank_money.spend(bank)
    bank_money.transfer(bank, app)
    bank_money.wealth(bank, app)
    bank_app.browse(bank, app)
    bank_app.elsewhere(bank)
    bank_money.snapshots(bank, bank.share(SNAPSHOTS) + bank.people.count)
    while (missing := bank.events - sum(map(len, bank.blocks))) > 0:  # visits may be partly outside the days
        bank_app.fill(bank, app, missing)


def _in_order(bank: Bank, duplicates: int, broken: int) -> Plan:
    rng, settings = bank.rng, bank.settings
    nothing = [np.zeros(0, np.int64)]
    time = np.concatenate([block.time for block in bank.blocks] or nothing)
    block = np.repeat(np.arange(len(bank.blocks)), [len(one) for one in bank.blocks]) if len(time) else nothing[0]
    row = np.concatenate([np.arange(len(one)) for one in bank.blocks] or nothing)
    if len(time) > bank.events:  # a bank that is too lively for so few events stops early
        kept = np.sort(np.argsort(time, kind="stable")[: bank.events])
        time, block, row = time[kept], block[kept], row[kept]
    count = len(time)
    late = rng.random(count) < settings.late
    delay = np.where(late, bank.spread(count, 2 * MINUTE_MS, LATEST_MS), rng.integers(60, 2_500, count))
    received = np.minimum(time + delay, bank.end_ms - 1)
    number = np.arange(count)
    again = rng.integers(0, count, duplicates if count else 0)
    repeated = np.minimum(received[again] + bank.spread(len(again), 1_000, 6 * HOUR_MS), bank.end_ms)
    kind = rng.integers(0, bank_text.TOO_LARGE, broken)
    kind[rng.random(broken) < 0.01] = bank_text.TOO_LARGE
    at = np.sort(bank.any_time(broken))
    timestamp = np.concatenate([received, repeated, at])
    order = np.argsort(timestamp, kind="stable")
    return Plan(
        bank=bank,
        timestamp=timestamp[order],
        block=np.concatenate([block, block[again], np.full(broken, BROKEN)])[order],
        row=np.concatenate([row, row[again], kind])[order],
        number=np.concatenate([number, again, np.arange(broken)])[order],
        received_at=np.concatenate([received, received[again], at])[order],
        late=int(late.sum()),
    )


# --- the records


def _chunks(planned: Plan) -> Iterator[Chunk]:
    for first in range(0, len(planned), CHUNK_RECORDS):
        yield _chunk(planned, slice(first, first + CHUNK_RECORDS))


def _chunk(planned: Plan, part: slice) -> Chunk:
    timestamps, block, row = planned.timestamp[part], planned.block[part], planned.row[part]
    number, received_at = planned.number[part], planned.received_at[part]
    ids = bank_text.event_ids(number, planned.bank.settings.seed)
    customer = np.zeros(len(block), np.int64)
    texts = np.empty(len(block), object)
    by_block = np.argsort(block, kind="stable")
    bounds = np.flatnonzero(np.diff(block[by_block])) + 1
    for group in np.split(by_block, bounds):
        which = int(block[group[0]])
        if which == BROKEN:
            texts[group] = ""
            continue
        source = planned.bank.blocks[which]
        customer[group] = source.customer[row[group]]
        texts[group] = bank_text.texts(source, row[group], ids[group], received_at[group])
    values = "\n".join(texts.tolist()).encode().split(b"\n")
    keys = list(map(b"C%08d".__mod__, customer.tolist()))
    bad = block == BROKEN
    for place in np.flatnonzero(bad).tolist():
        who = int(number[place]) % planned.bank.people.count
        keys[place], values[place] = bank_text.broken(int(row[place]), int(number[place]), who, int(received_at[place]))
    return Chunk(timestamps, keys, values, ~bad & (timestamps == received_at))
