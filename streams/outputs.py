"""Outputs to Kafka: co-partitioned with the events, many records a send, each send awaited before a checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaProducer

from models.decisions import Transition
from models.events import TICK_HEADER
from models.gates import trigger_of
from models.outputs import BatchOutput
from streams.security import client_options
from streams.settings import Settings

Item = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]  # key, value, headers
_encode = msgspec.json.Encoder().encode


class Outputs:
    """Sends what a batch put out; `settled` waits until the broker has acknowledged all of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = AIOKafkaProducer(
            **client_options(settings),
            enable_idempotence=settings.idempotence,
            acks="all",
            max_batch_size=1_000_000,
            max_request_size=8 * 1024 * 1024,
            linger_ms=0,
        )
        self._sent: list[asyncio.Future[object]] = []

    async def start(self) -> None:
        await self.producer.start()

    async def stop(self) -> None:
        await self.producer.stop()

    async def publish(self, output: BatchOutput) -> None:
        """Send transitions, decisions, triggers and bad rows to the partition of the same number."""
        partition, clock = output.partition, output.clock
        topic = self.settings.topic
        triggers = [trigger_of(decision) for decision in output.decisions if decision.acted]
        await self.send(topic("transitions"), partition, clock, map(_transition, output.transitions))
        await self.send(
            topic("decisions"), partition, clock, ((d.customer_id.encode(), _encode(d), []) for d in output.decisions)
        )
        await self.send(
            topic("triggers"),
            partition,
            clock,
            ((t.customer_id.encode(), _encode(t), cloud_event(t.id, t.rule, t.decided_at)) for t in triggers),
        )
        rows = output.columns.bad_rows
        await self.send(topic("bad-rows"), partition, clock, ((row.key, _encode(row), []) for row in rows))

    async def send(self, topic: str, partition: int, timestamp: int, items: Iterable[Item]) -> None:
        """Send records in as few batches as fit; timestamp: ms."""
        builder = self.producer.create_batch()
        for key, value, headers in items:
            metadata = builder.append(key=key, value=value, timestamp=timestamp, headers=headers)
            if metadata is None:
                await self._send_batch(builder, topic, partition)
                builder = self.producer.create_batch()
                builder.append(key=key, value=value, timestamp=timestamp, headers=headers)
        if builder.record_count():
            await self._send_batch(builder, topic, partition)

    async def send_tick(self, partition: int, timestamp: int) -> None:
        """Send the time, ms, to a partition of the events topic."""
        await self.send(self.settings.topic("events"), partition, timestamp, [(None, None, [TICK_HEADER])])

    async def _send_batch(self, builder: object, topic: str, partition: int) -> None:
        self._sent.append(await self.producer.send_batch(builder, topic, partition=partition))

    async def settled(self) -> None:
        """Wait for every send so far. Raises KafkaError for one that failed; nothing may then be acked."""
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)


def rfc3339(time_ms: int) -> str:
    """An instant as text, UTC.

    >>> rfc3339(0)
    '1970-01-01T00:00:00.000Z'
    """
    instant = datetime.fromtimestamp(time_ms / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _transition(transition: Transition) -> Item:
    return transition.customer_id.encode(), _encode(transition), []


def cloud_event(id_: str, rule: str, time_ms: int) -> list[tuple[str, bytes]]:
    """Headers of CloudEvents 1.0 in Kafka's binary mode."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_.encode()),
        ("ce_source", b"/zhice"),
        ("ce_type", f"zhice.trigger.{rule}".encode()),
        ("ce_time", rfc3339(time_ms).encode()),
        ("content-type", b"application/json"),
    ]
