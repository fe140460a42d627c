"""The worker: record batches through shards, what comes out of them to Kafka and the lake, and checkpoints."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from faust.types import TP

from models.columns import Columns
from models.decoding import Decoder
from models.errors import UserError
from models.layout import Layout
from models.outputs import BatchOutput
from models.records import Records
from models.shard import Shard
from models.strays import take_strays
from sinks.writer import Lake
from streams import steps
from streams.batches import BatchConsumer, RecordBatch
from streams.checkpoints import Checkpoints, Cut
from streams.lake_commits import LakeCommits
from streams.outputs import Outputs
from streams.ownership import Owned, Ownership
from streams.pace import Pace
from streams.recovery import Recovery
from streams.settings import Settings
from streams.standby import Standby
from streams.state_log import FencedLog, PlainLog, StateLog, Stray
from streams.steps import Step
from streams.telemetry import Telemetry
from streams.troubles import Troubles
from streams.turns import set_turns
from streams.watchdog import Access

log = logging.getLogger(__name__)

CHECKPOINT_SHARE = 10  # a checkpoint may cost one part in this many of the worker's time
PAUSE_A_PAGE_S = 0.000_25  # after a cut, for record batches, which waited meanwhile: 100 ms for 25,000 rows
STRAYS_KEPT_BYTES = 32 << 20  # of events to send on, beyond which a checkpoint does not wait
REVOKE_SHARE = 0.7  # of the rebalance timeout that the checkpoint of a revocation may take
FINISH_S = 15.0  # for the last checkpoint; SIGTERM promises 25 s in all


class AgainError(RuntimeError):
    """The worker must leave the group and begin again from its last checkpoint."""


class UnsavedError(UserError):
    """The worker stopped without a last checkpoint; the message says why."""


class Worker:
    """What one process does. `failed` is set to the error that must stop it."""

    def __init__(self, settings: Settings, layout: Layout, lake: Lake) -> None:
        self.settings, self.layout, self.lake = settings, layout, lake
        self.troubles, self.telemetry = Troubles(), Telemetry(layout.catalogue.rules)
        self.access = Access(settings, self.troubles)
        self.outputs = Outputs(settings, layout.catalogue, self.troubles)
        self.decoder = Decoder(layout.event_layout)
        self.standby = Standby(settings)
        self.telemetry.standby_behind = lambda: self.standby.behind
        recovery = Recovery(settings, layout, self.outputs, self.standby, self.telemetry, lake)
        self.ownership = Ownership(recovery, self._new_log, self._release, self.fail)
        self.events = 0
        self.on_output: Callable[[BatchOutput], None] | None = None
        self._lake_commits = LakeCommits(lake, self.troubles, self.telemetry)
        self._checkpoints = Checkpoints(self.outputs, self._lake_commits, self.troubles)
        self._pace = Pace(settings.fetch_records)
        self._consumer: Callable[[], BatchConsumer]
        self._reset()

    def _reset(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stepping = asyncio.Lock()  # held while a batch is processed and while pages are dumped
        self._checkpointing = asyncio.Lock()
        self._cutting = False  # from a cut until it is durable; also after one that never will be
        self._saved: dict[int, int] = {}  # next offset of each partition at its last checkpoint
        self._strays: dict[int, list[Stray]] = {}  # of each partition since its last checkpoint
        self._heard: dict[int, float] = {}  # monotonic s of each partition's last batch
        self.checkpointed_at, self.checkpoint_took_s = time.monotonic(), 0.0

    @property
    def shards(self) -> dict[int, Shard]:
        """The shards of the partitions that are ready."""
        return {number: owned.shard for number, owned in self.ownership.owned.items()}

    @property
    def trouble(self) -> str | None:
        """What the worker waits for, in words; None when all is well."""
        return self.troubles.text

    async def begin(self, consumer: Callable[[], BatchConsumer]) -> None:
        """Start anew from nothing, on the consumer of an app. Raises KafkaError where no broker answers."""
        self._reset()
        self._consumer = consumer
        await self.outputs.start()
        self.ownership.begin()

    async def end(self) -> None:
        """Forget everything that is not durable."""
        self._lake_commits.stop()
        await self.ownership.close()
        await self.outputs.stop()
        self.troubles.forget()  # a commit that was given up would not end its own, and no batch would be taken again

    def fail(self, error: BaseException) -> None:
        """Let the worker stop with this error, if it is the first."""
        if not self.failed.done():
            self.failed.set_exception(error)

    async def take(self, batch: RecordBatch) -> None:
        """Process one record batch. One of an assignment that is over is left: the partition's owner reads it anew."""
        await self.troubles.none()
        await self._lake_commits.relieve()
        while await self._step(batch):
            await asyncio.sleep(0)

    async def _step(self, batch: RecordBatch) -> bool:
        """Process as many records of a batch as a step may take; returns whether there are more."""
        async with self._stepping:
            owned = self.ownership.owned.get(batch.partition)
            if owned is None or batch.start > owned.shard.next_offset:
                return False
            self._heard[batch.partition] = started = time.monotonic()
            shard = owned.shard
            left = batch.records.since(shard.next_offset)
            set_turns(left.count)
            if not left.count:
                return False
            records = left if left.count <= self._pace.records else left.take(slice(self._pace.records))
            columns = self.decoder.columns(shard.topic, shard.partition, records)
            self._keep_strays(columns, records)
            output = shard.process(columns)
            self._pace.took(records.count, time.monotonic() - started)
            await self.put_out(output)
            return records.count < left.count

    def _keep_strays(self, columns: Columns, records: Records) -> None:
        """Keep for the next checkpoint what belongs to other partitions: it is sent on in the same transaction."""
        belongs = take_strays(columns, self.settings.partitions)
        elsewhere = belongs[belongs != columns.partition]
        for partition in np.unique(elsewhere).tolist() if len(elsewhere) else ():
            stray = Stray(partition, records.take(np.flatnonzero(belongs == partition)).packed())
            self._strays.setdefault(columns.partition, []).append(stray)
            self.telemetry.strays(columns.partition, stray.records.count)

    def next_offset(self, partition: int) -> int:
        """The offset up to which a partition is processed; 0 where it is not ready."""
        owned = self.ownership.owned.get(partition)
        return owned.shard.next_offset if owned else 0

    async def profile(self, partition: int, customer_id: str) -> dict[str, Any] | None:
        """The profile of a customer between two batches; None for one that is not known here."""
        async with self._stepping:
            shard = self.shards.get(partition)
            return shard.profile(customer_id) if shard else None

    async def put_out(self, output: BatchOutput) -> None:
        """Hand an output to Kafka and to the lake."""
        steps.reached(Step.BATCH_APPLIED)
        self.events += len(output.columns)
        self.telemetry.batch(output)
        self.lake.add(output)
        await self.outputs.publish(output)
        steps.reached(Step.BATCH_SENT)
        if self.on_output:
            self.on_output(output)

    async def checkpoint(self) -> None:
        """Make all shards durable; see streams/checkpoints.py. Raises FencedError and KafkaError."""
        await self._checkpoint(lambda: self.ownership.owned, PAUSE_A_PAGE_S)

    async def _checkpoint(self, choose: Callable[[], dict[int, Owned]], pause_a_page_s: float = 0.0) -> None:
        async with self._checkpointing:
            if self._cutting:
                raise AgainError("the checkpoint before was not written: its pages are in no other")
            self._cutting, started = True, time.monotonic()
            async with self._stepping:
                chosen = dict(choose())
            cuts, dumping_s = [], 0.0
            for number, owned in chosen.items():
                async with self._stepping:  # between two batches: what they put out is sent, or not yet thought of
                    begun = time.monotonic()
                    cuts.append(self._cut(number, *owned))
                    dumping_s += time.monotonic() - begun
                await asyncio.sleep(pause_a_page_s * len(cuts[-1].pages))
            steps.reached(Step.DUMPED)
            self.checkpoint_took_s = dumping_s + await self._checkpoints.write(cuts)
            self._cutting = False
            self._saved |= {cut.partition: cut.next_offset for cut in cuts}
            self.checkpointed_at = time.monotonic()
            self.telemetry.checkpointed(self.checkpointed_at - started)

    def _cut(self, number: int, shard: Shard, state_log: StateLog) -> Cut:
        return Cut(
            partition=number,
            log=state_log,
            clock=shard.clock,
            next_offset=shard.next_offset,
            sent=self.outputs.take_sent(number),
            pages=shard.dump(),
            profiles=iter(shard.changed_profiles() if self.settings.profiles else ()),
            strays=self._strays.pop(number, []),
        )

    def checkpoint_due(self) -> bool:
        """As often as it may cost a tenth of the worker's time, between the two limits."""
        wait_s = min(
            max(CHECKPOINT_SHARE * self.checkpoint_took_s, self.settings.checkpoint_s), self.settings.checkpoint_max_s
        )
        kept_bytes = sum(stray.records.data.nbytes for strays in self._strays.values() for stray in strays)
        return (kept_bytes > STRAYS_KEPT_BYTES or time.monotonic() - self.checkpointed_at > wait_s) and any(
            shard.next_offset != self._saved.get(number) for number, shard in self.shards.items()
        )

    async def finish(self, *, end: bool) -> None:
        """Take no more; last snapshots, and a checkpoint; at the `end` of a log also the metrics of open minutes."""
        await self.ownership.retire()
        async with self._stepping:
            owned = self.ownership.revoke()
            for one in owned.values():
                await self.put_out(one.shard.finish(end=end))
        await self._checkpoint(lambda: owned)

    async def stop(self) -> None:
        """`finish` of a worker that was asked to stop. Raises UnsavedError where that takes too long."""
        try:
            async with asyncio.timeout(FINISH_S):
                await self.finish(end=False)
        except TimeoutError:
            raise UnsavedError(
                f"stopped without a last checkpoint, since within {FINISH_S:g} s it could not be written: "
                f"{self.trouble or 'it took longer'}. Nothing is lost: the next start goes on from the one before"
            ) from None

    async def revoked(self) -> None:
        """Take no more of what another worker may take over, and checkpoint it. Raises AgainError."""
        await self.ownership.stop_preparing()
        try:
            async with asyncio.timeout(REVOKE_SHARE * self.settings.rebalance_timeout_s):
                await self._checkpoint(self.ownership.revoke)
        except TimeoutError:
            raise AgainError(f"no checkpoint could be written in a rebalance: {self.trouble or 'no time'}") from None

    async def tick(self) -> None:
        """Send a tick to each partition from which nothing has come for a while."""
        now = time.monotonic()
        for number in list(self.ownership.owned):
            if now - self._heard.get(number, 0.0) >= self.settings.tick_ms / 1000:
                await self.outputs.send_tick(number, time.time_ns() // 1_000_000)

    def _new_log(self, partition: int) -> StateLog:
        if self.settings.transactions:
            return FencedLog(self.settings, partition)
        return PlainLog(self.settings, partition, self.outputs, self._commit)

    async def _release(self, partition: int, offset: int) -> None:
        self._saved[partition] = offset
        self._strays.pop(partition, None)  # those after `offset` come again
        await self._consumer().release(self._source(partition), offset)

    async def _commit(self, partition: int, offset: int) -> None:
        """For lag monitors only; in the middle of a rebalance it would fail."""
        if partition in self.ownership.assigned:
            await self._consumer().commit_offset(self._source(partition), offset)

    def _source(self, partition: int) -> TP:
        return TP(self.settings.topic("events"), partition)
