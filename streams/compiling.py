"""`zhice compile`: compile the kernels once, at set-up or when an image is built; later starts take seconds.

A worker that finds another version compiles first: in its event loop that would look as if it hung.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models import decision_records, jit
from models.decoding import Decoder
from models.layout import Layout
from models.records import Records
from models.shard import Shard
from models.shard_rows import FIRST_ROWS
from models.strays import take_strays
from models.transition_records import pieces_of
from models.transition_records import records_of as records_of_transitions
from sinks.writer import Lake
from streams.catalogues import read_catalogue
from streams.fetching import Batches, records_of
from streams.record_files import read_records
from streams.routing import Router
from streams.sending import batches_of
from streams.simulate import SimulationSettings, write_file

log = logging.getLogger(__name__)

TOPIC = "compile"
BROKEN = 0.1  # of the log, since what is no event is read another way
DONE = Path(jit.CACHE) / "complete"  # of this version of the kernels


def ensure_kernels() -> None:
    """Compile what is not compiled yet."""
    if not DONE.exists():
        log.info("compiling the engine, which takes a minute, once for each version")
        compile_kernels()


def compile_kernels() -> int:
    """Put a small simulated log through every kernel; returns how many records it had.

    Half of the time goes into the engine's loop: a second process compiles it, and this one takes it from the cache.
    """
    catalogue = read_catalogue()
    layout = Layout.compile(catalogue)
    shard, decoder = Shard(layout, TOPIC, 0), Decoder(layout.event_layout)
    with tempfile.TemporaryDirectory(prefix="zhice-") as folder, _compiling_engine() as engine:
        file = Path(folder) / "bank.jsonl"
        write_file(SimulationSettings(customers=20, days=2, events=200, broken=BROKEN), file)
        lake = Lake(Path(folder) / "lake", catalogue)
        for (records,) in Router(1).logs(read_records(file)):
            columns = decoder.columns(TOPIC, 0, _over_the_wire(records))
            take_strays(columns, 1)
            shard.judge.reconsider([], shard.new_out(0))
            Shard.restore(layout, TOPIC, 0, Shard(layout, TOPIC, 0).dump())
            if engine:
                engine.wait()
            output = shard.process(columns)
            decision_records.records_of(output.decisions, decision_records.pieces_of(catalogue), output.clock)
            records_of_transitions(output.transitions, columns, pieces_of(catalogue), output.clock)
            lake.add(output)
        lake.add(shard.finish())
        shard.rows.clear_heap()
        list(shard.changed_profiles())
        lake.commit()
    restored = Shard.restore(layout, TOPIC, 0, shard.dump())
    restored.profile("nobody")
    restored.rows.customers.with_room(FIRST_ROWS, 0)
    with suppress(OSError):  # a folder that is not ours: numba keeps nothing there either
        DONE.parent.mkdir(parents=True, exist_ok=True)
        DONE.touch()
    return restored.next_offset


@contextmanager
def _compiling_engine() -> Iterator[subprocess.Popen[bytes] | None]:
    """The second process, if what it compiles is kept. Where it fails, the first one compiles all."""
    place = next(folder for folder in DONE.parents if folder.exists())
    if not os.access(place, os.W_OK):
        yield None
        return
    command = [sys.executable, "-c", f"from {__name__} import compile_engine; compile_engine()"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def compile_engine() -> None:
    """The engine's loop alone, which a batch of no records compiles, too."""
    Shard(Layout.compile(read_catalogue()), TOPIC, 0).finish()


def _over_the_wire(records: Records) -> Records:
    """The records as a consumer would fetch them, written and read again."""
    (batch,) = batches_of(records)
    return records_of([Batches(bytes(batch._build()), 0).next_batch()])._replace(offset=records.offset)
