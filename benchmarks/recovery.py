"""How long a worker needs from its start to its first decision, with the state of many customers on Apache Kafka.

    python -m benchmarks.recovery --customers 1000000 [--events-per-customer 1] [--standby]

A worker takes the events and writes a checkpoint, then it is killed. Without `--standby` it is started again under the
same instance id; with it a second worker with a standby has joined meanwhile, and takes over what the first one had.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from msgspec.structs import replace

from benchmarks.workers import Worker, ended, wait
from streams.kafka_broker import ApacheKafka
from streams.producing import produce
from streams.routing import partition_of
from streams.settings import Settings
from streams.topics import ensure_topics

PARTITIONS = 4
POLL_S = 0.02
FILL_TIMEOUT_S = 900.0
RECOVERY_TIMEOUT_S = 300.0
SESSION_TIMEOUT_S = 6.0
SEED = 1
PAST_MS = 20 * 86_400_000  # events are of these days, by chance
EVENTS = (
    ("app_start", "{{}}"),
    ("product_view", '{{"product_type":"wealth","product_id":"P{amount}"}}'),
    ("transfer_success", '{{"amount":{amount},"direction":"out"}}'),
    ("balance_snapshot", '{{"aum":{amount}1,"deposit_balance":{amount}}}'),
    ("login_success", "{{}}"),
)


class Decisions:
    """When each partition decided first."""

    def __init__(self, settings: Settings) -> None:
        topics = [TopicPartition(settings.topic("decisions"), number) for number in range(PARTITIONS)]
        self._consumer = KafkaConsumer(bootstrap_servers=settings.broker, enable_auto_commit=False)
        self._consumer.assign(topics)
        self._consumer.seek_to_end()
        for tp in topics:
            self._consumer.position(tp)
        self.first: dict[int, float] = {}

    def look(self) -> None:
        for tp in self._consumer.poll(timeout_ms=int(POLL_S * 1000)):
            self.first.setdefault(tp.partition, time.monotonic())

    def close(self) -> None:
        self._consumer.close()


Row = tuple[str, float, str]  # what was measured, its value and unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--events-per-customer", type=int, default=1)
    parser.add_argument("--standby", action="store_true")
    asked = parser.parse_args()
    for what, value, unit in measure(asked.customers, asked.events_per_customer, standby=asked.standby):
        print(f"{what:<60} {value:>14,.2f} {unit}", flush=True)


def measure(customers: int, each: int = 1, *, standby: bool = False) -> Iterator[Row]:
    """Fill a worker, kill it, and let it or its standby go on; what that took."""
    with tempfile.TemporaryDirectory(prefix="zhice-recovery-") as name, ApacheKafka() as broker:
        folder = Path(name)
        settings = Settings(
            broker=broker.address,
            lake=str(folder / "lake"),
            partitions=PARTITIONS,
            profiles=False,
            session_timeout_s=SESSION_TIMEOUT_S,
            restore_timeout_s=RECOVERY_TIMEOUT_S,
        )
        ensure_topics(settings, keep_forever=True)
        begun = time.monotonic()
        ends = fill(settings, folder / "events.jsonl", customers, each)
        with ended(Worker(settings, "a", folder)) as first:
            wait(lambda: saved(settings, ends), FILL_TIMEOUT_S, "no checkpoint of all events")
            yield "filled and saved", time.monotonic() - begun, "s"
            yield "state topic", state_bytes(broker, settings) / 1e6, "MB"
            yield from (take_over if standby else restart)(settings, folder, first, customers)


def restart(settings: Settings, folder: Path, first: Worker, customers: int) -> Iterator[Row]:
    """Kill the worker and start it again."""
    first.kill()
    call_for_decisions(settings, customers)
    decisions = Decisions(settings)
    with ended(Worker(settings, "a", folder)) as worker:
        seen = watch(worker, decisions, set(range(PARTITIONS)))
        yield "start to HTTP", seen["answers"] - worker.started, "s"
        yield "start to assignment", seen["assigned"] - worker.started, "s"
        yield "start to ready", seen["ready"] - worker.started, "s"
        yield "start to first decision", min(decisions.first.values()) - worker.started, "s"
        yield "start to first decision of every partition", max(decisions.first.values()) - worker.started, "s"
        yield from sizes(worker)
    decisions.close()


def take_over(settings: Settings, folder: Path, first: Worker, customers: int) -> Iterator[Row]:
    """Let a second worker follow, and kill the first one."""
    with ended(Worker(replace(settings, standbys=1), "b", folder)) as second:
        wait(lambda: shared(first, second), RECOVERY_TIMEOUT_S, "no share")
        wait(lambda: follows(second), RECOVERY_TIMEOUT_S, "the standby does not follow")
        lost = set(range(PARTITIONS)) - set(second.health()["partitions"])
        killed = time.monotonic()
        first.kill()
        call_for_decisions(settings, customers)
        decisions = Decisions(settings)
        seen = watch(second, decisions, lost)
        yield "kill to assignment (session timeout among it)", seen["assigned"] - killed, "s"
        yield "assignment to ready", seen["ready"] - seen["assigned"], "s"
        firsts = [decisions.first[number] for number in lost]
        yield "assignment to first decision of what was taken over", min(firsts) - seen["assigned"], "s"
        yield "assignment to first decision of every partition", max(firsts) - seen["assigned"], "s"
        yield from sizes(second)
        decisions.close()


def shared(first: Worker, second: Worker) -> bool:
    """Whether both are ready, with half of the partitions each."""
    return first.is_ready() and second.is_ready() and len(second.health()["partitions"]) == PARTITIONS // 2


def follows(worker: Worker) -> bool:
    """Whether its standby has read all that there is of the state."""
    return worker.metric("zhice_standby_lag_records", -1.0) == 0.0


def watch(worker: Worker, decisions: Decisions, wanted: set[int]) -> dict[str, float]:
    """Until every wanted partition has decided something: when the worker first answered, was assigned, was ready."""
    seen: dict[str, float] = {}
    deadline = time.monotonic() + RECOVERY_TIMEOUT_S
    while not (wanted <= set(decisions.first) and "ready" in seen):
        if time.monotonic() > deadline:
            raise SystemExit(f"no decision within {RECOVERY_TIMEOUT_S:g} s:\n{worker.tail()}")
        decisions.look()
        health, now = worker.health(), time.monotonic()
        assigned = wanted <= set(health.get("partitions", ()))
        for name, reached in (("answers", health), ("assigned", assigned), ("ready", assigned and health["ready"])):
            if reached:
                seen.setdefault(name, now)
    return seen


def sizes(worker: Worker) -> Iterator[Row]:
    """What a worker has restored, and what that takes."""
    yield "customers restored", worker.metric('zhice_state_rows{kind="customers"'), ""
    yield "memory", worker.metric("process_resident_memory_bytes") / 1e9, "GB"
    yield "memory of the state", worker.metric("zhice_state_bytes") / 1e9, "GB"
    yield "restores, summed up", worker.metric("zhice_restore_seconds_sum"), "s"


def fill(settings: Settings, path: Path, customers: int, each: int) -> list[int]:
    """Send so many events of each customer, before a worker sends ticks; returns the end of each partition."""
    write_events(path, ((turn, number) for turn in range(each) for number in range(customers)))
    return produce(settings, str(path))


def write_events(path: Path, visits: Iterable[tuple[int, int]]) -> None:
    """A file of an event each visit (turn, number of the customer), no two of them alike.

    All are received at one moment: no hour passes that would ask for snapshots.
    """
    now, chance = time.time_ns() // 1_000_000 - 1000, random.Random(SEED)
    with path.open("w") as file:
        for turn, number in visits:
            event, properties = EVENTS[(number + turn) % len(EVENTS)]
            file.write(
                f'{{"event_id":"{turn}-{number}","event":"{event}","customer_id":"{customer(number)}",'
                f'"event_time":{now - chance.randrange(PAST_MS)},"received_at":{now},'
                f'"properties":{properties.format(amount=chance.randrange(1, 1_000_000))}}}\n'
            )


def call_for_decisions(settings: Settings, customers: int) -> None:
    """An event in each partition, of a customer who is known, that a rule decides on at once."""
    producer = KafkaProducer(bootstrap_servers=settings.broker, acks="all")
    now, waiting = time.time_ns() // 1_000_000, set(range(PARTITIONS))
    for number in range(customers):
        key = customer(number).encode()
        if (partition := partition_of(key, PARTITIONS)) in waiting:
            waiting.remove(partition)
            event = {"event_id": f"call-{number}", "event": "wealth_order_fail", "customer_id": customer(number)}
            value = json.dumps(event | {"event_time": now, "properties": {}}).encode()
            producer.send(settings.topic("events"), key=key, value=value, partition=partition)
        if not waiting:
            break
    producer.flush()
    producer.close()


def customer(number: int) -> str:
    return f"C{number:09d}"


def saved(settings: Settings, filled: list[int]) -> bool:
    """Whether the group's offsets, which move with the checkpoints, have reached these."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker, group_id=settings.app, enable_auto_commit=False)
    try:
        topic = [TopicPartition(settings.topic("events"), number) for number in range(PARTITIONS)]
        return all((consumer.committed(tp) or 0) >= filled[tp.partition] for tp in topic)
    finally:
        consumer.close()
        time.sleep(1.0)


def state_bytes(broker: ApacheKafka, settings: Settings) -> int:
    """Of the log of the state topic, as it is on the broker's disk."""
    folders = (broker.folder / "data").glob(f"{settings.topic('state')}-*")
    return sum(segment.stat().st_size for folder in folders for segment in folder.glob("*.log"))


if __name__ == "__main__":
    main()
