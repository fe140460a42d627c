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
from models.columns import Columns
from models.decoding import Decoder
from models.layout import Layout
from models.outputs import BatchOutput
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

    A second process compiles the engine's loop, which takes longest, and what comes after it; this one compiles all
    others meanwhile, and takes those from the cache.
    """
    catalogue = read_catalogue()
    layout = Layout.compile(catalogue)
    shard = Shard(layout, TOPIC, 0)
    with tempfile.TemporaryDirectory(prefix="zhice-") as folder, _compiling_beside() as beside:
        lake = Lake(Path(folder) / "lake", catalogue)
        for columns in _small_log(layout):
            take_strays(columns, 1)
            shard.judge.reconsider([], shard.new_out(0))
            beside.wait_for_engine()
            output = shard.process(columns)
            decision_records.records_of(output.decisions, decision_records.pieces_of(catalogue), output.clock)
            records_of_transitions(output.transitions, columns, pieces_of(catalogue), output.clock)
            lake.add(output)
        beside.wait_for_end()
        lake.add(_exercise(shard))
        lake.commit()
    with suppress(OSError):  # a folder that is not ours: numba keeps nothing there either
        DONE.parent.mkdir(parents=True, exist_ok=True)
        DONE.touch()
    return shard.next_offset


def compile_beside() -> None:
    """In the second process: the engine's loop, which a batch of no records compiles, too; then it says so."""
    layout = Layout.compile(read_catalogue())
    Shard(layout, TOPIC, 0).finish()
    print("the engine is there", flush=True)
    _exercise(Shard(layout, TOPIC, 0))  # with nobody in it; meanwhile the first process compiles what a batch needs
    shard = Shard(layout, TOPIC, 0)
    for columns in _small_log(layout):
        shard.process(columns)
    _exercise(shard)


class _Beside:
    """The second process, if what it compiles is kept. What it fails in is left to the first one."""

    def __init__(self, process: subprocess.Popen[bytes] | None) -> None:
        self._process = process

    def wait_for_engine(self) -> None:
        """Until it has compiled the engine's loop, or has ended."""
        if self._process and self._process.stdout:
            self._process.stdout.readline()

    def wait_for_end(self) -> None:
        """Until it has compiled all."""
        if self._process:
            self._process.wait()


@contextmanager
def _compiling_beside() -> Iterator[_Beside]:
    place = next(folder for folder in DONE.parents if folder.exists())
    if not os.access(place, os.W_OK):
        yield _Beside(None)
        return
    command = [sys.executable, "-c", f"from {__name__} import compile_beside; compile_beside()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield _Beside(process)
        finally:
            process.kill()


def _small_log(layout: Layout) -> Iterator[Columns]:
    """Simulated records, as a worker decodes what it has fetched."""
    decoder = Decoder(layout.event_layout)
    with tempfile.TemporaryDirectory(prefix="zhice-") as folder:
        file = Path(folder) / "bank.jsonl"
        write_file(SimulationSettings(customers=20, days=2, events=200, broken=BROKEN), file)
        for (records,) in Router(1).logs(read_records(file)):
            yield decoder.columns(TOPIC, 0, _over_the_wire(records))


def _exercise(shard: Shard) -> BatchOutput:
    """What a shard is asked for beside its batches, and what its end puts out."""
    output = shard.finish()
    shard.rows.clear_heap()
    list(shard.changed_profiles())
    restored = Shard.restore(shard.layout, TOPIC, 0, shard.dump())
    restored.profile("nobody")
    restored.rows.customers.with_room(FIRST_ROWS, 0)
    return output


def _over_the_wire(records: Records) -> Records:
    """The records as a consumer would fetch them, written and read again."""
    (batch,) = batches_of(records)
    return records_of([Batches(bytes(batch._build()), 0).next_batch()])._replace(offset=records.offset)
