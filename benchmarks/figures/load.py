"""An open-loop load: every event has its moment on a schedule, and is sent then, whatever became of those before.

Who waits for an answer before sending the next event leaves out the moments in which the system was slow (coordinated
omission). Here a latency counts from the scheduled moment, so what a slow client or a full queue costs is in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Producer

from benchmarks.recovery import EVENTS, customer
from streams.settings import Settings

STEP_S = 0.001  # between two looks at the schedule
LINGER_MS = 1
FLUSH_S = 120.0
CALL = "wealth_order_fail"  # a rule decides on it at once, and each customer's acts once in ten minutes
CALL_ID = "call-"
AMOUNTS = 1_000_003


@dataclass(frozen=True)
class Load:
    """`rate` events/s from `start` (s since the epoch) on; every `calls_every`-th calls for a trigger."""

    rate: int
    seconds: int
    customers: int
    calls_every: int
    start: float
    first_caller: int = 0  # whose customer calls first; those of loads before have been answered

    @property
    def events(self) -> int:
        return self.rate * self.seconds

    @property
    def calls(self) -> int:
        """How many events call for a trigger: numbers 0, `calls_every`, …"""
        return -(-self.events // self.calls_every)

    def moment(self, number: int) -> float:
        """When an event is to be sent, s since the epoch."""
        return self.start + number / self.rate


@dataclass(frozen=True)
class Sent:
    """What a load came to, s: the greatest delay against its schedule, and the CPU that it took."""

    behind_s: float
    cpu_s: float


def send(settings: Settings, load: Load) -> Sent:
    """Send it. Raises RuntimeError where the broker has not taken all of it."""
    producer = Producer({
        "bootstrap.servers": settings.broker, "partitioner": "murmur2_random", "linger.ms": LINGER_MS, "acks": "all",
        "queue.buffering.max.messages": 10_000_000, "queue.buffering.max.kbytes": 1 << 20,
    })  # fmt: skip
    topic, sent, behind_s = settings.topic("events"), 0, 0.0
    while sent < load.events:
        due = min(int((time.time() - load.start) * load.rate) + 1, load.events)
        if due <= sent:
            time.sleep(STEP_S)
            continue
        behind_s = max(behind_s, time.time() - load.moment(sent))
        for number in range(sent, due):
            key, value, time_ms = event(load, number)
            producer.produce(topic, key=key, value=value, timestamp=time_ms)
        sent = due
        producer.poll(0)
    if left := producer.flush(FLUSH_S):
        raise RuntimeError(f"{left} events were not taken by the broker")
    return Sent(behind_s, time.process_time())


def event(load: Load, number: int) -> tuple[str, str, int]:
    """Key, value and timestamp (ms) of an event."""
    time_ms = int(load.moment(number) * 1000)
    if number % load.calls_every == 0:
        id_, kind, properties, who = (
            f"{CALL_ID}{load.rate}-{number}",
            CALL,
            "{}",
            load.first_caller + number // load.calls_every,
        )
    else:
        kind, template = EVENTS[number % len(EVENTS)]
        properties, who = template.format(amount=number % AMOUNTS + 1), number
        id_ = f"load-{load.rate}-{number}"
    key = customer(who % load.customers)
    return key, (
        f'{{"event_id":"{id_}","event":"{kind}","customer_id":"{key}","event_time":{time_ms},"channel":"app",'
        f'"session_id":"s{number % 999_983:012d}","device_id":"d{key}","properties":{properties}}}'
    ), time_ms  # fmt: skip
