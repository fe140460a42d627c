"""The durability protocol without a broker, a clock or a file: tens of thousands of ways in which it can go wrong.

The product's own worker, ownership, recovery, checkpoints, state log, outputs and lake run on a simulated broker and on
simulated Delta tables, in processes that are killed at each step, paused, joined and stopped, by a seed. In the end
every event must count once: in the state, in the outputs (in order), in the lake, in the committed offset.

A seed that fails replays: SEED=1578 pytest tests/simulation.
"""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from streams.checkpoints import Checkpoints, Cut
from streams.outputs import Outputs, Sent
from streams.ownership import Ownership
from streams.standby import Standby
from streams.worker import Worker
from tests.simulation.brokers import SimBroker
from tests.simulation.delta import SimLake
from tests.simulation.real import RealKit
from tests.simulation.runs import Kit, run, simulated
from tests.simulation.toy import ToyKit
from tests.workers import ROOT

SEEDS, PARTS = 20_000, 8
REAL_SEEDS = 100
FIND_WITHIN = 2000  # seeds, for a planted bug


@contextmanager
def without_garbage() -> Iterator[None]:
    """A seed leaves cycles behind; collecting them looks at all that is imported, unless that is set aside."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def check(kit: Kit, seeds: range) -> None:
    only = os.environ.get("SEED")
    with simulated(kit), without_garbage():
        for seed in [int(only)] if only else seeds:
            result = run(kit, seed)
            assert result.violation is None, f"SEED={seed}: {result.violation}"


@pytest.mark.parametrize("part", range(PARTS))
def test_every_event_counts_once(part: int) -> None:
    check(ToyKit(), range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS))


def test_every_event_counts_once_in_the_engine() -> None:
    check(RealKit(), range(REAL_SEEDS))


def test_faults_do_happen() -> None:
    """Or nothing above says anything."""
    happened: dict[str, int] = {}
    repeats = 0
    with simulated(kit := ToyKit()), without_garbage():
        for seed in range(300):
            result = run(kit, seed)
            repeats += result.repeats
            for what, count in result.world.happened.items():
                happened[what] = happened.get(what, 0) + count
    assert all(happened[what] > 20 for what in ("kill", "join", "pause", "disk full", "term")), happened
    assert repeats < 30, "what was sent is not sent again, but for what a dead process had on the wire"


def digest(seeds: range) -> str:
    """Of what happened, step by step."""
    traces = hashlib.sha256()
    with simulated(kit := ToyKit()):
        for seed in seeds:
            traces.update("\n".join(run(kit, seed, traced=True).world.trace or ()).encode())
    return traces.hexdigest()


def test_a_seed_is_the_same_to_the_byte() -> None:
    """In this process, and in another one, whose strings hash otherwise."""
    seeds = range(100)
    program = "from tests.simulation.test_protocol import digest; print(digest(range(100)))"
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert digest(seeds) == digest(seeds) == other.stdout.strip()
    assert digest(range(100, 110)) != digest(range(110, 120))


# --- bugs that are planted must be found


async def state_before_lake(self: Checkpoints, cuts: list[Cut]) -> None:
    await self.outputs.settle([one for cut in cuts for one in cut.sent])
    for cut in cuts:
        await self._write_state(cut, {})
    await self.lake_commits.commit()


async def settle_nothing(self: Outputs, sent: list[Sent]) -> None: ...


def write_without_position(self: SimLake, table: Any, delta: Any, rows: Any, moved: dict[str, int]) -> None:
    self._before_write("before")
    delta.append(rows, {})
    self._before_write("after")


def fence_nobody(self: SimBroker, id_: str) -> int:
    return self.epochs.setdefault(id_, 1)


async def take_whatever_comes(self: Worker, batch: Any) -> None:
    owned = self.ownership.owned.get(batch.partition)
    if owned is None:
        return
    shard = owned.shard
    records = batch.records.since(shard.next_offset)
    if records.count:
        await self.put_out(shard.process(self.decoder.columns(shard.topic, shard.partition, records)))


async def prepare_to_the_last(self: Ownership) -> None:
    await self.stop_preparing()


def look_away(self: Standby, reader: Any, wanted: set[int]) -> None:
    """What was written while a partition was not followed is not read."""
    follow_all(self, reader, wanted)
    for number in wanted:
        reader.seek(self._source(number), reader.highwater(self._source(number)))


follow_all = Standby._assign

BUGS: list[tuple[type, str, Callable[..., Any]]] = [
    (Checkpoints, "write", state_before_lake),
    (Outputs, "settle", settle_nothing),
    (SimLake, "_write", write_without_position),
    (SimBroker, "fence", fence_nobody),
    (SimBroker, "check", lambda self, id_, epoch: None),
    (SimLake, "_forget", lambda self, name: None),
    (Worker, "take", take_whatever_comes),
    (Ownership, "retire", prepare_to_the_last),
    (Standby, "_assign", look_away),
]


@pytest.mark.parametrize(("place", "name", "bug"), BUGS, ids=[f"{one.__name__}.{name}" for one, name, _ in BUGS])
def test_a_planted_bug_is_found(place: type, name: str, bug: Callable[..., Any]) -> None:
    with simulated(kit := ToyKit()), without_garbage(), mock.patch.object(place, name, bug):
        assert any(run(kit, seed).violation for seed in range(FIND_WITHIN))
