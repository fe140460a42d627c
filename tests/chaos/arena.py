"""One scenario's ground: a log, its oracle, topics on a broker, workers, and a watch over them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from streams import backtest
from streams.backtest import Backtest
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from tests import workers
from tests.chaos.compare import Comparison, compare
from tests.chaos.fleet import Fleet
from tests.chaos.watch import Watch
from tests.workers import ROOT

DRAIN_S = 600  # for the end of the log after the last fault
EVENTS_CUSTOMER = 25
DAYS = 30  # of a log
RECENT_DAYS = 20  # of one that ends yesterday
PRODUCERS_KEPT = {  # a broker that starts again forgets those whose records are older, and takes a batch twice
    "producer.id.expiration.ms": str(2**31 - 1),  # 24.8 days, Kafka's largest
}
HURRY = "hurry"  # a file: the rest of the log is wanted at once


def commit() -> str:
    """The one that is checked out."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


class ChaosError(AssertionError):
    """A scenario that cannot go on; the message has the end of the workers' log."""


@dataclass
class Outcome:
    """What a scenario measured; `wrong` says what differs from the oracle, and is empty if nothing does."""

    scenario: str
    seed: int
    commit: str  # of the code, when it began
    events: int
    faults: int
    fault: str  # what they were, in the plural
    seconds: float
    recovery_s: float  # the longest time without progress, but for times at which the broker or the disk was away
    comparison: Comparison
    notes: list[str] = field(default_factory=list)
    troubled: list[Path] = field(default_factory=list)  # logs of workers that ended otherwise than wanted

    @property
    def wrong(self) -> list[str]:
        return self.comparison.wrong


@dataclass
class Ground:
    """What a scenario is given; `say` reports progress."""

    broker: Any
    folder: Path
    seed: int
    say: Callable[[str], None]


class Arena:
    """`begin` it, do harm, then `finish`."""

    def __init__(
        self,
        ground: Ground,
        name: str,
        *,
        events: int,
        seconds: float,
        count: int,
        change: Callable[[Path, Path, Random], None] | None = None,
        changed: Collection[str] = (),
        recent: bool = False,
        **settings: Any,
    ) -> None:
        """`seconds` are what the log is sent in, `count` the workers; `change` writes another file of records.

        `changed` are the features that only a newer catalogue has, which workers take up in the middle. `recent` is
        for brokers that start again: see PRODUCERS_KEPT.
        """
        self.changed, self.commit = changed, commit()
        self.ground, self.name, self.events, self.count = ground, name, events, count
        self.random = Random(f"{name} {ground.seed}")
        self.folder = ground.folder / name
        self.folder.mkdir(parents=True)
        given = {
            "broker": ground.broker.address, "prefix": f"chaos-{name}-{ground.folder.name}",
            "app": f"chaos-{name}-{ground.folder.name}", "lake": str(self.folder / "lake"), "tick_ms": 0,
            "checkpoint_s": 1.0, "checkpoint_max_s": 5.0, "fetch_records": 5000, "session_timeout_s": 4.0,
            "rebalance_timeout_s": 20.0,
        }  # fmt: skip
        self.settings = Settings(**(given | settings))
        self.catalogue = self.settings.catalogue  # the oracle's, also when workers get a newer one
        self.records = self._log(change, recent)
        self.rate = max(200, int(self.records_count / seconds))
        self.notes: list[str] = []
        self.recoveries: list[float] = []

    def _log(self, change: Callable[[Path, Path, Random], None] | None, recent: bool) -> Path:
        plain, path = self.folder / "bank.parquet", self.folder / "log.parquet"
        customers = max(50, self.events // EVENTS_CUSTOMER)
        settings = SimulationSettings(events=self.events, customers=customers, days=DAYS, seed=self.ground.seed)
        if recent:
            start = date.today() - timedelta(days=RECENT_DAYS + 1)
            settings = replace(settings, days=RECENT_DAYS, start=start.isoformat())
        self.records_count = write_file(settings, plain).records
        if change is None:
            plain.rename(path)
        else:
            change(plain, path, self.random)
        return path

    @contextmanager
    def begin(self) -> Iterator[Arena]:
        """Topics, workers, and a process that sends the log."""
        ensure_topics(self.settings, keep_forever=True)
        self.started = time.monotonic()
        with ExitStack() as stack:
            self.watch = stack.enter_context(Watch(self.settings))
            self.fleet = stack.enter_context(Fleet(self.settings, self.folder / "workers", self.count))
            self.feeder = stack.enter_context(workers.ended(self._feed()))
            self.until(lambda: self.watch.done > 0, "the first checkpoint", 90)
            self.watch.forgive()
            self.watch.stalls = dict.fromkeys(self.watch.stalls, 0.0)
            yield self

    def _feed(self) -> subprocess.Popen[bytes]:
        words = [self.settings.broker, self.settings.topic("events"), self.records, self.settings.partitions]
        words += [self.rate, self.folder / HURRY]
        return workers.start(["-m", "tests.chaos.feed", *map(str, words)], self.folder / "feeder.log")

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> float:
        """Poll until it holds; returns how long that took, s. Raises ChaosError."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > timeout_s:
                raise ChaosError(f"{self.name}: not within {timeout_s:g} s: {what}\n{self.fleet.tail()}")
            time.sleep(0.1)
        return time.monotonic() - started

    def pause(self, low_s: float, high_s: float) -> None:
        """Wait for a random time."""
        time.sleep(self.random.uniform(low_s, high_s))

    def until_work(self, after: str, timeout_s: float) -> None:
        """Wait for a checkpoint with more done, now that a fault is gone; the standstill before it is forgiven."""
        before = self.watch.done
        took_s = self.until(lambda: self.watch.done > before or self.is_over, f"work again {after}", timeout_s)
        self.watch.forgive()
        self.recoveries.append(took_s)
        self.say(f"work again {took_s:.1f} s {after}")

    @property
    def is_fed(self) -> bool:
        return self.feeder.poll() is not None

    @property
    def is_over(self) -> bool:
        """Whether all is worked through: then nothing more can be seen to happen."""
        return self.is_fed and self.watch.lag == 0

    def say(self, text: str) -> None:
        lag = f"{self.watch.done:,} of {self.records_count:,} events, lag {self.watch.lag:,}"
        self.ground.say(f"{self.name}: {text} ({lag}, longest stall {self.watch.longest_stall_s:.1f} s)")

    def finish(self, faults: int, fault: str) -> Outcome:
        """To the end of the log as fast as it goes, a stop in order, and the comparison."""
        if self.is_over:
            self.notes.append("the log was at its end before the last fault")
        (self.folder / HURRY).touch()
        self.until(lambda: self.is_fed, "the log is sent", DRAIN_S)
        if self.feeder.returncode:
            raise ChaosError(f"{self.name}: the feeder failed\n{workers.tail(self.folder / 'feeder.log')}")
        settled = time.monotonic()
        self.until(
            lambda: self.watch.looked_at > settled and self.watch.lag == 0 and self.watch.done >= self.records_count,
            f"the end of the log ({self.watch.done} of {self.records_count})",
            DRAIN_S,
        )
        self.notes += [f"{count} exits with code {code}" for code, count in sorted(self.fleet.ended.items())]
        self.notes += self.fleet.last_words()
        codes = self.fleet.leave_all()
        if any(codes):
            self.notes.append(f"exit codes of SIGTERM at the end: {codes}")
        self._last_worker()
        seconds = time.monotonic() - self.started
        self.ground.say(f"{self.name}: the oracle folds {self.records_count:,} events")
        ends = [self.watch.ends[number] for number in range(self.settings.partitions)]
        comparison = compare(self.settings, self._oracle(), ends, self.changed)
        return Outcome(
            scenario=self.name,
            seed=self.ground.seed,
            commit=self.commit,
            events=self.records_count,
            faults=faults,
            fault=fault,
            seconds=seconds,
            recovery_s=max([self.watch.longest_stall_s, *self.recoveries]),
            comparison=comparison,
            notes=self.notes,
            troubled=self.fleet.troubled,
        )

    def _last_worker(self) -> None:
        """One worker that owns all partitions writes the last snapshot of all customers, when it stops."""
        log = self.folder / "last.log"
        with workers.ended(workers.start_worker(self.settings, log)) as last:
            text = "restored partition"
            wanted = self.settings.partitions
            try:
                workers.wait_for(lambda: log.read_text().count(text) >= wanted, "every partition is restored", 120)
            except AssertionError as error:
                raise ChaosError(f"{self.name}: {error}{workers.stacks(last, log)}") from None
            workers.stop(last, log)

    def _oracle(self) -> Path:
        """The lake of a backtest of the same file."""
        lake = self.folder / "oracle"
        topic = self.settings.topic("events")
        job = Backtest(str(self.records), self.catalogue, str(lake), topic, self.settings.partitions)
        total = backtest.run(job, 1, lambda records: None)
        if total != sum(self.watch.ends.values()):
            raise ChaosError(f"{self.name}: the topic holds {sum(self.watch.ends.values())} records, the log {total}")
        return lake
