"""The worker: record batches through shards, what comes out of them to Kafka and the lake, and checkpoints."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from models.decoding import Decoder
from models.layout import Layout
from models.outputs import BatchOutput
from models.shard import Shard
from sinks.writer import Lake
from streams import checkpoints
from streams.outputs import Item, Outputs
from streams.settings import Settings
from streams.telemetry import Telemetry

log = logging.getLogger(__name__)

CHECKPOINT_SHARE = 10  # a checkpoint may cost one part in this many of the worker's time


class Worker:
    """What one process does. `failed` is set to the error that must stop it."""

    def __init__(self, settings: Settings, layout: Layout, lake: Lake) -> None:
        self.settings, self.layout, self.lake = settings, layout, lake
        self.telemetry = Telemetry()
        self.trouble: str | None = None  # why it cannot go on for now
        self.outputs = Outputs(settings)
        self.decoder = Decoder(layout.event_layout)
        self.shards: dict[int, Shard] = {}
        self.events = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_output: Callable[[BatchOutput], None] | None = None
        self._unacked: dict[int, list[Any]] = {}
        self._heard: dict[int, float] = {}  # monotonic s of each partition's last batch
        self._generation = 0  # of the assignment
        self._stepping = asyncio.Lock()  # held while a batch is processed and while pages are dumped
        self._checkpointing = asyncio.Lock()
        self._checkpointed_at, self._checkpoint_took_s = time.monotonic(), 0.0

    async def take(self, batch: Any) -> None:
        """Process one record batch (streams.batches.RecordBatch, in a Faust event)."""
        partition, generation = batch.message.partition, self._generation
        async with self._stepping:
            shard = self.shards.get(partition) or await self._restore(batch.message.topic, partition)
            records = [record for record in batch.value if record.offset >= shard.next_offset]
            if records:
                await self.put_out(shard.process(self.decoder.columns(shard.topic, partition, records)))
            if generation == self._generation:
                self._unacked.setdefault(partition, []).append(batch)
        self._heard[partition] = time.monotonic()

    async def _restore(self, topic: str, partition: int) -> Shard:
        with self.telemetry.restoring(partition):
            shard = await checkpoints.restore(self.settings, self.layout, topic, partition)
        self.shards[partition] = shard
        return shard

    def next_offset(self, partition: int) -> int:
        """The offset up to which a partition is processed; 0 before its first batch."""
        shard = self.shards.get(partition)
        return shard.next_offset if shard else 0

    async def profile(self, partition: int, customer_id: str) -> dict[str, Any] | None:
        """The profile of a customer between two batches; None for one that is not known here."""
        async with self._stepping:
            shard = self.shards.get(partition)
            return shard.profile(customer_id) if shard else None

    async def put_out(self, output: BatchOutput) -> None:
        """Hand an output to Kafka and to the lake."""
        self.events += len(output.columns)
        self.telemetry.batch(output)
        self.lake.add(output)
        await self.outputs.publish(output)
        if self.on_output:
            self.on_output(output)

    async def checkpoint(self, partitions: Iterable[int] | None = None) -> None:
        """Make the shards of these partitions (all) durable; see streams/checkpoints.py for the order."""
        async with self._checkpointing:
            started = time.monotonic()
            async with self._stepping:  # between two batches: what they put out is sent, or not yet thought of
                numbers = list(self.shards if partitions is None else partitions)
                covered = [batch for number in numbers for batch in self._unacked.pop(number, ())]
                dumps = {number: (self.shards[number].clock, self.shards[number].dump()) for number in numbers}
                profiles = {number: self._profiles(number) for number in numbers if self.settings.profiles}
            await self.outputs.settled()
            with self.telemetry.lake_commit():
                await asyncio.to_thread(self.lake.commit)
            for number, items in profiles.items():
                await self.outputs.send(self.settings.topic("profiles"), number, dumps[number][0], items)
            await checkpoints.write_state(self.outputs, self.settings.topic("state"), dumps)
            for batch in covered:
                batch.ack()
            self._checkpointed_at = time.monotonic()
            self._checkpoint_took_s = self._checkpointed_at - started
            self.telemetry.checkpointed(self._checkpoint_took_s)

    def _profiles(self, number: int) -> list[Item]:
        return [
            (profile["customer_id"].encode(), msgspec.json.encode(profile), [])
            for profile in self.shards[number].changed_profiles()
        ]

    def checkpoint_due(self) -> bool:
        """As often as it may cost a tenth of the worker's time, between the two limits."""
        wait_s = min(
            max(CHECKPOINT_SHARE * self._checkpoint_took_s, self.settings.checkpoint_s), self.settings.checkpoint_max_s
        )
        return any(self._unacked.values()) and time.monotonic() - self._checkpointed_at > wait_s

    async def finish(self, *, end: bool) -> None:
        """The last snapshots, and a checkpoint; at the `end` of a log also the metrics of open minutes."""
        async with self._stepping:
            for shard in self.shards.values():
                await self.put_out(shard.finish(end=end))
        await self.checkpoint()

    def assigned(self, partitions: set[int]) -> None:
        """Drop the shards of partitions that went away; batches of the generation before come again."""
        for number in set(self.shards) - partitions:
            del self.shards[number]
        self._unacked.clear()
        self._generation += 1
        self.telemetry.assigned(partitions)

    async def revoked(self, partitions: set[int]) -> None:
        """Checkpoint what another worker will take over."""
        await self.checkpoint(partitions & set(self.shards))

    async def tick(self, partitions: set[int]) -> None:
        """Send a tick to each partition from which nothing has come for a while."""
        now = time.monotonic()
        for number in partitions:
            if now - self._heard.get(number, 0.0) >= self.settings.tick_ms / 1000:
                await self.outputs.send_tick(number, time.time_ns() // 1_000_000)
