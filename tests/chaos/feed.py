"""Sends a file of records to the events topic at a rate, routed as `zhice replay` would: python -m tests.chaos.feed."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from aiokafka import AIOKafkaProducer

from models.records import Records
from streams.record_files import read_records
from streams.routing import Router
from streams.sending import BATCH_BYTES, send_log

SLICES_S = 5  # slices a second
LOOK_S = 0.05


def slices(path: Path, partitions: int, records: int) -> Iterator[list[Records]]:
    """The logs of the partitions, `records` of all together at a time."""
    for logs in Router(partitions).logs(read_records(path)):
        count = max(1, sum(log.count for log in logs) // records)
        for part in range(count):
            yield [log.take(slice(part * log.count // count, (part + 1) * log.count // count)) for log in logs]


async def feed(broker: str, topic: str, path: Path, partitions: int, rate: int, hurry: Path) -> None:
    """At the rate until there is a file `hurry`.

    Each slice is acknowledged before the next one is sent: a broker that comes back finds all of it, in order.
    """
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, max_batch_size=BATCH_BYTES)
    await producer.start()
    started, done = time.monotonic(), 0
    try:
        for logs in slices(path, partitions, max(1, rate // SLICES_S)):
            await asyncio.gather(*(send_log(producer, topic, number, log) for number, log in enumerate(logs)))
            done += sum(log.count for log in logs)
            while time.monotonic() < started + done / rate and not hurry.exists():
                await asyncio.sleep(LOOK_S)
    finally:
        await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in (
        ("broker", str),
        ("topic", str),
        ("path", Path),
        ("partitions", int),
        ("rate", int),
        ("hurry", Path),
    ):
        parser.add_argument(name, type=kind)
    given = parser.parse_args()
    asyncio.run(feed(given.broker, given.topic, given.path, given.partitions, given.rate, given.hurry))


if __name__ == "__main__":
    main()
