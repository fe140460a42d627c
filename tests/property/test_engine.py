"""The engine against the oracle: random catalogues, logs, cuts into batches, and restarts between them."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from models.catalogue import entities
from models.decoding import Decoder
from models.layout import Layout
from models.metrics import NO_CHANNEL
from models.plan import SnapshotColumn
from models.records import Records
from models.shard import Shard
from tests.oracle import Oracle
from tests.small_logs import decided
from tests.strategies import Case, cases
from tests.strategies_log import Record

TOPIC, PARTITION = "events", 3
STATUS = ("applied", "duplicate", "unknown", "not_an_event")
EXAMPLES = int(os.environ.get("ZHICE_TEST_EXAMPLES", "500"))
PLAIN_PYTHON = os.environ.get("NUMBA_DISABLE_JIT") == "1"
ROOT = Path(__file__).parents[2]

thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Outputs:
    """What came out so far, in the oracle's form."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.transitions: list[dict[str, Any]] = []
        self.decisions: list[dict[str, Any]] = []
        self.snapshots: list[tuple[Any, ...]] = []
        self.metrics: list[tuple[Any, ...]] = []
        self.status: dict[int, str] = {}
        self.late: dict[int, bool] = {}

    def copy(self) -> Outputs:
        """The same, not changed by what is added later."""
        other = Outputs(self.case)
        for name, content in vars(self).items():
            setattr(other, name, copy(content))
        return other

    def add(self, output: Any) -> None:
        self.transitions += map(msgspec.to_builtins, output.transitions.structs(self.case.catalogue, output.columns))
        self.decisions += map(msgspec.to_builtins, decided(output, self.case.catalogue))
        for snapshot in output.snapshots:
            self.snapshots += self._snapshot_rows(snapshot)
        self.metrics += self._metric_rows(output.metrics)
        offsets = output.columns.offset.tolist()
        self.status |= dict(zip(offsets, (STATUS[code] for code in output.status), strict=True))
        self.late |= dict(zip(offsets, map(bool, output.late), strict=True))

    def _snapshot_rows(self, snapshot: Any) -> Iterator[tuple[Any, ...]]:
        columns = (snapshot.entities.tolist(), snapshot.as_of.tolist(), snapshot.offset.tolist())
        for row, (number, as_of, offset) in enumerate(zip(*columns, strict=True)):
            kind = entities(self.case.catalogue)[number]
            names = self._names(kind)
            journeys = [journey for journey in self.case.catalogue.journeys if journey.entity == kind]
            ends = len(names[0]), len(names[0]) + len(names[1])
            values = _nullable(snapshot.rows[row, SnapshotColumn.VALUES :])[: ends[1] + len(journeys)]
            stages = {
                journey.name: None if code is None else journey.stages[int(code)]
                for journey, code in zip(journeys, values[ends[1] :], strict=True)
            }
            features = dict(zip(names[0], values[: ends[0]], strict=True))
            tags = dict(zip(names[1], values[ends[0] : ends[1]], strict=True))
            entity = (kind, snapshot.customers.text(row), snapshot.entity_ids.text(row))
            yield (as_of, offset, *entity, features, tags, stages)

    def _names(self, entity: str) -> tuple[list[str], list[str]]:
        catalogue = self.case.catalogue
        features = [feature.name for feature in catalogue.features if feature.entity == entity]
        return features, [tag.name for tag in catalogue.tags if catalogue.tag_entities[tag.name] == entity]

    def _metric_rows(self, metrics: Any) -> Iterator[tuple[Any, ...]]:
        names = [event.name for event in self.case.catalogue.events]
        columns = (
            "clock_minute",
            "event_type",
            "channel",
            "event_minute",
            "events",
            "customers",
            "amount",
            "offset",
        )
        for values in zip(*(getattr(metrics, name).tolist() for name in columns), strict=True):
            channel = None if values[2] == NO_CHANNEL else values[2]
            yield (values[0], names[values[1]], channel, *values[3:])


class Worker:
    """The engine as a worker runs it, with checkpoints, restarts and crashes between batches."""

    def __init__(self, case: Case) -> None:
        self.layout = Layout.compile(case.catalogue)
        self.decoder = Decoder(self.layout.event_layout)
        self.shard = Shard(self.layout, TOPIC, PARTITION)
        self.state: dict[bytes, bytes] = {}  # the compacted state topic
        self.log: list[Record] = []
        self.outputs = Outputs(case)
        self.covered = Outputs(case)  # what had come out at the last checkpoint

    def process(self, records: Sequence[Record]) -> None:
        """Apply a batch."""
        self.log += records
        self._apply(records)

    def checkpoint(self) -> None:
        """Write what has changed."""
        for key, value in self.shard.dump():
            self.state.pop(key, None)  # a compacted log keeps the last record of a key, where it was written
            self.state[key] = value
        self.covered = self.outputs.copy()

    def restart(self) -> None:
        """Write a checkpoint, and come back."""
        self.checkpoint()
        self.crash()

    def crash(self) -> None:
        """Forget all since the last checkpoint, and do it again: the same must come out."""
        self.shard = Shard.restore(self.layout, TOPIC, PARTITION, list(self.state.items()))
        self.outputs = self.covered.copy()
        self._apply([record for record in self.log if record.offset >= self.shard.next_offset])

    def finish(self) -> None:
        """The last snapshot and metrics."""
        self.outputs.add(self.shard.finish())

    def _apply(self, records: Sequence[Record]) -> None:
        self.outputs.add(self.shard.process(self.decoder.columns(TOPIC, PARTITION, Records.of(records))))


def _nullable(values: Any) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def assert_same(oracle: Oracle, engine: Outputs) -> None:
    """Everything that came out is the same, in order; ids are other bytes, but distinguish the same causes."""
    assert engine.status == oracle.status
    assert engine.late == oracle.late
    assert engine.transitions == [msgspec.to_builtins(one) for one in oracle.transitions]
    expected = [msgspec.to_builtins(one) for one in oracle.decisions]
    ids = {ours["id"]: theirs["id"] for ours, theirs in zip(engine.decisions, expected, strict=False)}
    assert len(set(ids.values())) == len(ids) == len(engine.decisions)
    assert engine.decisions == [{**one, "id": ours["id"]} for one, ours in _paired(expected, engine.decisions)]
    assert _by_entity(engine.snapshots) == _by_entity(oracle.snapshots)
    assert sorted(engine.metrics, key=repr) == sorted((tuple(row.values()) for row in oracle.metrics), key=repr)


def _paired(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Any]]:
    return [(one, found[i] if i < len(found) else {"id": None}) for i, one in enumerate(expected)]


def _by_entity(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Snapshots in order of time; those of one time, which come in any order, by entity and ids."""
    return sorted(rows, key=lambda row: (*row[:4], row[4] or ""))


def run(case: Case) -> None:
    """Feed both, batch by batch, and compare after each."""
    oracle, worker = Oracle(case.catalogue, TOPIC, PARTITION), Worker(case)
    for action, records in case.batches:
        if action != "none":
            getattr(worker, action)()
        worker.process(records)
        for record in records:
            oracle.apply(record)
        assert_same(oracle, worker.outputs)
    worker.finish()
    oracle.finish()
    assert_same(oracle, worker.outputs)


@thorough
@given(cases())
def test_engine_equals_oracle_for_any_cut(case: Case) -> None:
    run(case)


@settings(thorough, max_examples=max(1, EXAMPLES // 10))
@given(cases(one_at_a_time=True))
def test_engine_equals_oracle_one_record_at_a_time(case: Case) -> None:
    run(case)


@pytest.mark.skipif(PLAIN_PYTHON, reason="this is that run")
def test_engine_equals_oracle_without_compilation() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "ZHICE_TEST_EXAMPLES": "50"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", str(Path(__file__))]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
