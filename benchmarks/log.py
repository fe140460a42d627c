"""The log of the comparison (job.md): events from a seed, and how they get to Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from confluent_kafka import Producer

from streams.routing import partition_of

PARTITIONS = 4
START_MS = 1_704_067_200_000  # 2024-01-01, UTC
SPAN_MS = 10 * 86_400_000
LARGEST_AMOUNT = 100_000
MONEY_TYPES = (
    "transfer_out", "transfer_in", "bill_pay", "card_pay", "qr_pay", "top_up", "cash_withdraw", "fund_buy",
    "fund_redeem",
)  # fmt: skip
EVENT_TYPES = (
    *MONEY_TYPES, "login", "logout", "balance_view", "statement_view", "fund_view", "loan_view", "loan_apply",
    "loan_verify", "loan_submit", "loan_approve", "loan_draw", "coupon_view", "coupon_claim", "message_read",
    "complaint",
)  # fmt: skip
CLOSING_TYPES = ("login", "login", "login", "login", "loan_apply", "transfer_out")  # the last one makes a trigger
CHUNK = 50_000  # events drawn at a time


@dataclass(frozen=True)
class Log:
    """What a log is made of. `skewed`: few customers have most events."""

    events: int = 1_000_000
    customers: int = 100_000
    skewed: bool = False
    seed: int = 1

    @property
    def name(self) -> str:
        return "skewed" if self.skewed else "uniform"

    def shorter(self, events: int) -> Log:
        """A log of at most so many events of as many customers in proportion, over the same time."""
        events = min(events, self.events)
        return replace(self, events=events, customers=self.customers * events // self.events)


def events_of(log: Log) -> Iterator[tuple[str, bytes]]:
    """(customer, event as JSON) in order of event time; the closing events of each partition come last."""
    rng = np.random.default_rng([log.seed, log.skewed])
    closing = [(customer, kind) for customer in closing_customers() for kind in CLOSING_TYPES]
    number, count = 0, log.events - len(closing)
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        edges = START_MS + SPAN_MS * np.array([first, first + size]) // log.events
        times = np.sort(rng.integers(*edges, size))
        customers = (log.customers * rng.random(size) ** (3 if log.skewed else 1)).astype(np.int64)
        kinds, amounts = rng.integers(0, len(EVENT_TYPES), size), rng.integers(1, LARGEST_AMOUNT + 1, size)
        columns = (column.tolist() for column in (times, customers, kinds, amounts))
        for time, customer, kind, amount in zip(*columns, strict=True):
            yield f"C{customer:08d}", _event(number, EVENT_TYPES[kind], f"C{customer:08d}", time, amount)
            number += 1
    for customer, kind in closing:
        yield customer, _event(number, kind, customer, START_MS + SPAN_MS, LARGEST_AMOUNT)
        number += 1


def closing_customers() -> list[str]:
    """One customer of each partition, who has no events but the last."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        customer = f"Z{number:08d}"
        found.setdefault(partition_of(customer.encode(), PARTITIONS), customer)
        number += 1
    return [found[partition] for partition in range(PARTITIONS)]


def _event(number: int, kind: str, customer: str, time: int, amount: int) -> bytes:
    money = f'"amount":{amount},' if kind in MONEY_TYPES else ""
    return (
        f'{{"event_id":"e{number:010d}","event":"{kind}","customer_id":"{customer}","event_time":{time},'
        f'"channel":"app","session_id":"s{number % 999_983:012d}","device_id":"d{customer[1:]}",'
        f'"properties":{{{money}"page":"/home/{kind}","app_version":"8.{number % 10}.0","network":"wifi",'
        f'"city":"Shanghai"}}}}'
    ).encode()


def produce(broker: str, topic: str, log: Log) -> None:
    """Send the log to a topic that is there and empty. Raises RuntimeError if some of it did not arrive."""
    producer = Producer({
        "bootstrap.servers": broker, "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 20,
        "batch.num.messages": 10_000, "queue.buffering.max.messages": 500_000, "queue.buffering.max.kbytes": 1 << 19,
    })  # fmt: skip
    for number, (customer, event) in enumerate(events_of(log)):
        while True:
            try:
                producer.produce(topic, key=customer, value=event)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} events of the log were not taken by the broker")
