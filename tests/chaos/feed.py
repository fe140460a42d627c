"""Sends a file of records to the events topic at a rate, routed as `zhice replay` would: python -m tests.chaos.feed."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.record_files import read_records
from streams.routing import Router

SLICES_S = 5  # slices a second


def slices(path: Path, partitions: int, records: int) -> Iterator[list[list[Any]]]:
    """The logs of the partitions, `records` of all together at a time."""
    for logs in Router(partitions).logs(read_records(path)):
        count = max(1, sum(map(len, logs)) // records)
        for part in range(count):
            yield [log[part * len(log) // count : (part + 1) * len(log) // count] for log in logs]


async def send(producer: AIOKafkaProducer, topic: str, partition: int, log: list[Any]) -> list[asyncio.Future[Any]]:
    """Send records with their own times; returns what the broker will acknowledge."""
    sent, batch = [], producer.create_batch()
    for record in log:
        given = {"key": record.key, "value": record.value, "timestamp": record.timestamp}
        headers = list(record.headers)
        if batch.append(**given, headers=headers) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(**given, headers=headers)
    if batch.record_count():
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent


async def feed(broker: str, topic: str, path: Path, partitions: int, rate: int) -> None:
    """Each slice is acknowledged before the next one is sent: a broker that comes back finds all of it, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, max_batch_size=500_000)
    await producer.start()
    started, done = time.monotonic(), 0
    try:
        for logs in slices(path, partitions, max(1, rate // SLICES_S)):
            sent = [one for number, log in enumerate(logs) for one in await send(producer, topic, number, log)]
            await asyncio.gather(*sent)
            done += sum(map(len, logs))
            await asyncio.sleep(max(0.0, started + done / rate - time.monotonic()))
    finally:
        await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in (("broker", str), ("topic", str), ("path", Path), ("partitions", int), ("rate", int)):
        parser.add_argument(name, type=kind)
    given = parser.parse_args()
    asyncio.run(feed(given.broker, given.topic, given.path, given.partitions, given.rate))


if __name__ == "__main__":
    main()
