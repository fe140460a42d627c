"""What a worker counts and times, and what is read off it when Prometheus asks.

The worker calls a method once a batch, checkpoint, commit or restore, never once an event. Counters are of this
process: a replay after a crash counts again what it does again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final, Protocol

import numpy as np
from faust.exceptions import ConsumerNotStarted
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from models.catalogue import Rule
from models.outputs import BatchOutput
from models.plan import Status
from models.shard import Shard

VERSION: Final = version("zhice")
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
STRAYS_SAID_S: Final = 60.0  # between two warnings about them
log = logging.getLogger(__name__)
disable_created_metrics()  # a second series for each counter, which nobody asks for
EVENT_STATUS: Final = {Status.APPLIED: "applied", Status.DUPLICATE: "duplicate", Status.UNKNOWN: "unknown"}


class Telemetry:
    """The counters and times of one worker, and which partitions are assigned to it."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = rules
        self.registry = CollectorRegistry()
        self.partitions: set[int] | None = None  # assigned to the worker; None before it is in the group
        self.standby_behind: Callable[[], int | None] = _none  # records of the state that a standby has yet to read
        self.checkpointed_at = time.monotonic()
        self._strays_said = -STRAYS_SAID_S
        self._stray_counts: Tally[int] = Tally()
        self.highwater: Callable[[int], int | None] = _unknown  # end offset of a partition, as the consumer saw it
        self._count_things()
        self._time_things()
        ProcessCollector(registry=self.registry)
        Info("zhice", "The version that runs.", registry=self.registry).info({"version": VERSION})

    def _count_things(self) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=self.registry)

        self._records = counter("zhice_records", "Records read, ticks and bad rows among them.")
        events = counter("zhice_events", "Valid events, by what became of them.", "status")
        self._of_status = {status: events.labels(name) for status, name in EVENT_STATUS.items()}
        self._late = counter("zhice_late_events", "Events too late for some feature.")
        self._bad_rows = counter("zhice_bad_rows", "Records that are no valid event.", "reason")
        self._candidates = counter("zhice_candidates", "Rules whose predicate held, once they are decided.", "rule")
        self._decisions = counter("zhice_decisions", "What became of candidates.", "rule", "acted", "gate")
        self._strays = counter("zhice_stray_events", "Events sent on to their customer's partition.", "partition")
        self._triggers = counter("zhice_triggers", "Decisions to act, published.", "rule", "channel")
        self._lake_failures = counter("zhice_lake_commit_failures", "Commits of the lake that failed.")

    def _time_things(self) -> None:
        def histogram(name: str, about: str) -> Histogram:
            return Histogram(name, about, buckets=SECONDS, registry=self.registry)

        self._checkpoints = histogram("zhice_checkpoint_seconds", "Checkpoints that were finished.")
        self._lake_commits = histogram("zhice_lake_commit_seconds", "Commits of the lake, failed ones too.")
        self._restores = histogram("zhice_restore_seconds", "Restores of a partition.")

    def end_of(self, partition: int) -> int | None:
        """End offset of a partition, as the last fetch saw it; None where there was none."""
        try:
            return self.highwater(partition)
        except (AssertionError, ConsumerNotStarted):  # it is being taken away, or not yet here
            return None

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Times the restore of a partition."""
        with self._restores.time():
            yield

    def batch(self, output: BatchOutput) -> None:
        """Counts what came out of a record batch."""
        self._records.inc(len(output.columns))
        self._late.inc(int(np.count_nonzero(output.late)))
        counts = np.bincount(output.status, minlength=len(Status)).tolist()
        for status, counter in self._of_status.items():
            counter.inc(counts[status])
        for reason, count in Tally(row.reason.value for row in output.columns.bad_rows).items():
            self._bad_rows.labels(reason).inc(count)
        made = Tally((rule.name, rule.channel, gate) for rule, gate in output.decisions.outcomes(self._rules))
        for (rule, channel, gate), count in made.items():
            self._candidates.labels(rule).inc(count)
            self._decisions.labels(rule, str(gate is None).lower(), gate or "").inc(count)
            if gate is None:
                self._triggers.labels(rule, channel).inc(count)

    def strays(self, partition: int, count: int) -> None:
        """Events came to a partition that is not their customer's; the log says so now and then."""
        self._strays.labels(str(partition)).inc(count)
        self._stray_counts[partition] += count
        if time.monotonic() - self._strays_said > STRAYS_SAID_S:
            self._strays_said = time.monotonic()
            log.warning(
                "events in partition %d belong to others, %d so far, and are sent on with the next checkpoint: their "
                "producer partitions otherwise. With librdkafka set partitioner=murmur2_random",
                partition, self._stray_counts[partition],
            )  # fmt: skip

    def checkpointed(self, seconds: float) -> None:
        """A checkpoint is finished, and took this long."""
        self.checkpointed_at = time.monotonic()
        self._checkpoints.observe(seconds)

    @contextmanager
    def lake_commit(self) -> Iterator[None]:
        """Times a commit of the lake, and counts it if it fails."""
        with self._lake_commits.time(), self._lake_failures.count_exceptions():
            yield


class Observed(Protocol):
    """What is read of a worker.

    `shards` are of the partitions that are restored; `trouble` says why it cannot go on for now; `failed` is done when
    it must end.
    """

    telemetry: Telemetry
    failed: asyncio.Future[None]

    @property
    def shards(self) -> dict[int, Shard]: ...

    @property
    def trouble(self) -> str | None: ...

    def next_offset(self, partition: int) -> int: ...


def unready(worker: Observed) -> str | None:
    """Why a worker is not ready; None when it is."""
    telemetry = worker.telemetry
    if worker.failed.done():
        return "it has failed and is ending; its log says why"
    if worker.trouble:
        return worker.trouble
    if telemetry.partitions is None:
        return "it waits to join the consumer group"
    waiting = sorted(telemetry.partitions - set(worker.shards))
    return f"it restores partitions {', '.join(map(str, waiting))}" if waiting else None


class WorkerCollector(Collector):
    """What is read off a worker when somebody asks."""

    def __init__(self, worker: Observed) -> None:
        self.worker = worker

    def collect(self) -> Iterator[GaugeMetricFamily]:
        telemetry = self.worker.telemetry
        yield _gauge("zhice_ready", "1 when all its partitions work and nothing is wrong.", not unready(self.worker))
        yield _gauge("zhice_trouble", "1 while it cannot go on, and tries again.", bool(self.worker.trouble))
        yield _gauge("zhice_partitions", "Partitions that are assigned to it.", len(telemetry.partitions or ()))
        age = time.monotonic() - telemetry.checkpointed_at
        yield _gauge("zhice_checkpoint_age_seconds", "Since the last finished checkpoint, or the start.", age)
        if (behind := telemetry.standby_behind()) is not None:
            yield _gauge("zhice_standby_lag_records", "Records of the state that the standby has yet to read.", behind)
        yield self._lags()
        yield from self._sizes()

    def _lags(self) -> GaugeMetricFamily:
        lag = GaugeMetricFamily("zhice_lag_records", "Records not yet processed.", labels=["partition"])
        for partition in sorted(self.worker.shards):
            if (end := self.worker.telemetry.end_of(partition)) is not None:
                lag.add_metric([str(partition)], max(0, end - self.worker.next_offset(partition)))
        return lag

    def _sizes(self) -> Iterator[GaugeMetricFamily]:
        rows = GaugeMetricFamily("zhice_state_rows", "Entities in the state.", labels=["partition", "kind"])
        about = "What the state's rows hold, with names, ids and timers; not the room for more."
        size = GaugeMetricFamily("zhice_state_bytes", about, labels=["partition"])
        held = GaugeMetricFamily("zhice_held_candidates", "Waiting for quiet hours to end.", labels=["partition"])
        for partition, shard in sorted(self.worker.shards.items()):
            held.add_metric([str(partition)], len(shard.judge.held))
            rows.add_metric([str(partition), "customers"], shard.rows.customers.count)
            rows.add_metric([str(partition), "instances"], shard.rows.instances.count)
            size.add_metric([str(partition)], shard.rows.used_bytes)
        yield rows
        yield size
        yield held


def _unknown(_: int) -> None:
    """No consumer yet."""


def _none() -> None:
    """No standby."""


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=float(value))
