"""The scenarios. Each is a function of a `Ground` and `Sizes`, and returns an `Outcome`."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from streams.kafka_broker import ApacheKafka
from streams.steps import Step
from tests.chaos.arena import PRODUCERS_KEPT, Arena, ChaosError, Ground, Outcome
from tests.chaos.cluster import KafkaCluster
from tests.workers import ROOT

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
CRASH_S = 20  # from a crash at a step to the next one, at most
ALARM_S = 10  # in which a full disk must be said
ALARM = "the worker waits"
NO_DISK = "a tmpfs cannot be mounted here, which needs root"
RETAIL_BANK = ROOT / "models" / "retail_bank"
ADDED = """
[[feature]]
name = "added_7d"
on = ["transfer_success"]
aggregate = "count"
window = "7d"
"""
RESTARTING = PRODUCERS_KEPT | {  # of a broker with the controller: one that was killed is let in again after a session
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
EVENT_TIME = re.compile(rb'"event_time":\s*(\d+)')


@dataclass(frozen=True)
class Sizes:
    """How much of everything; the defaults are those of `make chaos`."""

    workers: int = 4
    kills: int = 200
    kill_every_s: float = 6.0
    storm_events: int = 2_000_000
    events: int = 300_000  # of the other scenarios
    crashes: int = 20  # at each step
    crash_rate: int = 250  # events a second
    changes: int = 50  # joins and leaves
    change_every_s: float = 6.0
    idle_s: float = 30.0  # that no partition may stand still in a storm of changes
    zombies: int = 5
    restarts: int = 20
    outage_s: float = 120.0
    leader_kills: int = 10
    fills: int = 3


SHORT = Sizes(
    workers=2, kills=5, kill_every_s=3.0, storm_events=60_000, events=30_000, crashes=1, crash_rate=250, changes=6,
    change_every_s=5.0, idle_s=120.0, zombies=1, restarts=2, outage_s=8.0, leader_kills=1, fills=1,
)  # fmt: skip


def kill_storm(ground: Ground, sizes: Sizes) -> Outcome:
    """kill -9 of a random worker at random moments under load."""
    seconds = sizes.kills * sizes.kill_every_s
    with Arena(ground, "kill_storm", events=sizes.storm_events, seconds=seconds, count=sizes.workers).begin() as arena:
        while arena.fleet.kills < sizes.kills:
            arena.pause(0.2 * sizes.kill_every_s, 1.8 * sizes.kill_every_s)
            if running := arena.fleet.running():
                arena.fleet.kill(arena.random.choice(running))
                if arena.fleet.kills % 10 == 0 or arena.fleet.kills == sizes.kills:
                    arena.say(f"{arena.fleet.kills} of {sizes.kills} kills")
        return arena.finish(arena.fleet.kills, "kills")


def crash_points(ground: Ground, sizes: Sizes) -> Outcome:
    """A worker kills itself at each named step, in an order and after as many times as the seed says."""
    random = Random(f"crash points {ground.seed}")
    steps = [f"{step}:{random.randint(1, 3)}" for step in Step for _ in range(sizes.crashes)]
    random.shuffle(steps)
    seconds = len(steps) * CRASH_S
    begun = Arena(
        ground, "crash_points", events=int(sizes.crash_rate * seconds), seconds=seconds, count=1, instance_id="one"
    ).begin()
    with begun as arena:
        arena.fleet.die_at = list(steps)
        arena.fleet.kill(0)  # the one that began
        while arena.fleet.crashes < len(steps):
            before = arena.fleet.crashes
            arena.until(lambda: arena.fleet.crashes > before or arena.is_over, "a crash at a step", 5 * CRASH_S)  # noqa: B023
            if arena.fleet.crashes == before:
                raise ChaosError("the log was at its end before all crashes: give it more events")
            if arena.fleet.crashes % len(Step) == 0:
                arena.say(f"{arena.fleet.crashes} of {len(steps)} crashes")
        return arena.finish(len(steps), "kills at steps")


def rebalance_storm(ground: Ground, sizes: Sizes) -> Outcome:
    """Workers join and leave, by SIGTERM or by kill -9; no partition may stand still for long."""
    seconds = 1.2 * sizes.changes * sizes.change_every_s  # pauses are random, and to leave takes a while
    with Arena(ground, "rebalance_storm", events=sizes.events, seconds=seconds, count=2).begin() as arena:
        for change in range(sizes.changes):
            _change(arena, sizes.workers)
            arena.say(f"{change + 1} of {sizes.changes} changes, {len(arena.fleet.wanted)} workers")
            arena.pause(0.5 * sizes.change_every_s, 1.5 * sizes.change_every_s)
        outcome = arena.finish(sizes.changes, "joins and leaves")
    if outcome.recovery_s > sizes.idle_s:
        outcome.wrong.append(f"a partition stood still for {outcome.recovery_s:.1f} s, not at most {sizes.idle_s:g} s")
    return outcome


def _change(arena: Arena, most: int) -> None:
    here = sorted(arena.fleet.wanted)
    absent = [number for number in range(max(2, most)) if number not in here]
    if absent and (len(here) == 1 or arena.random.random() < 0.5):
        arena.fleet.join(arena.random.choice(absent))
    elif arena.random.random() < 0.5:
        arena.fleet.leave(arena.random.choice(here))
    else:
        number = arena.random.choice(here)
        arena.fleet.wanted.discard(number)
        arena.fleet.kill(number)


def zombie(ground: Ground, sizes: Sizes) -> Outcome:
    """A worker is stopped for longer than its session, and goes on when others have its partitions."""
    with Arena(ground, "zombie", events=sizes.events, seconds=20 * sizes.zombies, count=2).begin() as arena:
        for _ in range(sizes.zombies):
            arena.pause(1, 4)
            number = arena.random.choice(arena.fleet.running() or [0])
            arena.fleet.pause(number)
            arena.pause(2 * arena.settings.session_timeout_s, 3 * arena.settings.session_timeout_s)
            arena.fleet.resume(number)
            arena.say(f"worker {number} was a zombie")
        return arena.finish(sizes.zombies, "zombies")


def broker_restarts(ground: Ground, sizes: Sizes) -> Outcome:
    """kill -9 of the only broker, again and again, and one long outage."""
    with ApacheKafka(properties=RESTARTING) as kafka:
        own = Ground(kafka, ground.folder, ground.seed, ground.say)
        seconds = 30 * sizes.restarts + sizes.outage_s
        with Arena(own, "broker", events=sizes.events, seconds=seconds, count=2, recent=True).begin() as arena:
            for restart in range(sizes.restarts):
                arena.pause(2, 6)
                away_s = sizes.outage_s if restart == sizes.restarts // 2 else arena.random.uniform(0, 2)
                _restart(arena, kafka, away_s)
            return arena.finish(sizes.restarts, "restarts")


def _restart(arena: Arena, kafka: ApacheKafka, away_s: float) -> None:
    kafka.kill()
    arena.say(f"the broker is away for {away_s:.1f} s and its start")
    time.sleep(away_s)
    kafka.restart()
    arena.until_work("after the broker's start", 120)


def broker_leaders(ground: Ground, sizes: Sizes) -> Outcome:
    """Three brokers, three replicas: the leader of a partition dies and comes back."""
    with KafkaCluster(3, properties=PRODUCERS_KEPT) as cluster:
        own = Ground(cluster, ground.folder, ground.seed, ground.say)
        seconds = 40 * sizes.leader_kills
        begun = Arena(own, "leaders", events=sizes.events, seconds=seconds, count=2, recent=True, replication=3).begin()
        with begun as arena:
            for kill in range(sizes.leader_kills):
                arena.pause(2, 6)
                node = cluster.nodes[_leader(arena) - 1]
                node.kill()
                arena.pause(3, 8)
                node.restart()
                arena.say(f"{kill + 1} of {sizes.leader_kills} leaders killed")
            return arena.finish(sizes.leader_kills, "leaders killed")


def _leader(arena: Arena) -> int:
    """The node that leads a random partition of the events."""
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=arena.settings.broker.split(","))
    try:
        (topic,) = admin.describe_topics([arena.settings.topic("events")])
        return int(arena.random.choice(topic["partitions"])["leader_id"])
    finally:
        admin.close()


def disk_full(ground: Ground, sizes: Sizes) -> Outcome:
    """The lake's disk is full for a while: workers say so, wait, and go on by themselves."""
    with small_disk(ground.folder / "disk", sizes.events) as disk:
        lake = str(disk / "lake")
        begun = Arena(ground, "disk_full", events=sizes.events, seconds=25 * sizes.fills, count=2, lake=lake).begin()
        with begun as arena:
            for fill in range(sizes.fills):
                arena.pause(2, 5)
                _fill(arena, disk / "ballast")
                arena.say(f"{fill + 1} of {sizes.fills} times full")
            return arena.finish(sizes.fills, "times full")


def _fill(arena: Arena, ballast: Path) -> None:
    said = arena.fleet.count(ALARM)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):  # what a buffer keeps would fail when it is closed
        while True:
            file.write(bytes(1 << 16))
    took_s = arena.until(lambda: arena.fleet.count(ALARM) > said, "an alarm", ALARM_S)
    arena.notes.append(f"alarm {took_s:.1f} s after the disk was full")
    arena.pause(3, 8)
    ballast.unlink()
    arena.until_work("after there was room", 60)


@contextmanager
def small_disk(place: Path, events: int) -> Iterator[Path]:
    """A tmpfs that has room for the lake, not for much more. Raises ChaosError where it cannot be mounted."""
    place.mkdir(parents=True)
    size = 64 + events // 2000
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChaosError(f"{NO_DISK}: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def clocks(ground: Ground, sizes: Sizes) -> Outcome:
    """Producers whose clocks are up to a day off, events that come a week late, a log out of order; and kills."""
    begun = Arena(ground, "clocks", events=sizes.events, seconds=30, count=2, change=disorder).begin()
    with begun as arena:
        for _ in range(max(1, sizes.kills // 20)):
            arena.pause(2, 6)
            if running := arena.fleet.running():
                arena.fleet.kill(arena.random.choice(running))
        return arena.finish(arena.fleet.kills, "kills")


def disorder(plain: Path, path: Path, random: Random) -> None:
    """Writes `path`: 5 % of the events are of producers up to 24 h off, 2 % are 7 days late, and 30 % of the log is
    shuffled within an hour; records keep the times at which they came."""
    table = pq.read_table(plain)
    rng = np.random.default_rng(random.getrandbits(64))
    count = table.num_rows
    off = np.where(rng.random(count) < 0.05, rng.integers(-24, 25, count) * HOUR_MS, 0)
    off -= np.where(rng.random(count) < 0.02, 7 * DAY_MS, 0)
    values = table["value"].to_pylist()
    for row in np.flatnonzero(off).tolist():
        values[row] = _moved(values[row], int(off[row]))
    position = table["timestamp"].to_numpy().astype(np.float64)
    moved = rng.random(count) < 0.3
    position[moved] += rng.uniform(-HOUR_MS, HOUR_MS, int(moved.sum()))
    order = pa.array(np.argsort(position, kind="stable"))
    changed = table.set_column(table.schema.get_field_index("value"), "value", pa.array(values, pa.binary()))
    pq.write_table(changed.take(order), path)


def _moved(value: bytes | None, by_ms: int) -> bytes | None:
    if value is None:
        return None
    return EVENT_TIME.sub(lambda found: b'"event_time":%d' % (int(found[1]) + by_ms), value, count=1)


def upgrade(ground: Ground, sizes: Sizes) -> Outcome:
    """Workers are restarted one after another with a catalogue of one more feature; all else stays as it was."""
    newer = ground.folder / "newer"
    shutil.copytree(RETAIL_BANK, newer)
    (newer / "added.toml").write_text(ADDED, encoding="utf-8")
    begun = Arena(ground, "upgrade", events=sizes.events, seconds=40, count=sizes.workers, changed={"added_7d"}).begin()
    with begun as arena:
        arena.pause(3, 8)
        arena.fleet.settings = arena.settings = replace(arena.settings, catalogue=str(newer))
        for number in sorted(arena.fleet.wanted):
            arena.fleet.leave(number)
            arena.fleet.join(number)
            arena.say(f"worker {number} starts with the newer catalogue")
            arena.pause(3, 6)
        return arena.finish(len(arena.fleet.wanted), "workers restarted")


SCENARIOS: dict[str, Callable[[Ground, Sizes], Outcome]] = {
    "kill_storm": kill_storm,
    "crash_points": crash_points,
    "rebalance_storm": rebalance_storm,
    "zombie": zombie,
    "broker": broker_restarts,
    "leaders": broker_leaders,
    "disk_full": disk_full,
    "clocks": clocks,
    "upgrade": upgrade,
}
