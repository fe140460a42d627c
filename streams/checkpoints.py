"""A checkpoint: the moment at which shards are durable up to an offset.

A `Cut` is what a checkpoint is about to make durable, of one partition and taken at one moment, between two batches.
For all partitions of a worker at once, in this order:

1. every output that was sent up to the cut is acknowledged;
2. the lake has committed its rows;
3. for each partition, its log writes the pages, the closing record and the source offset, in one transaction where the
   broker has them.

A crash at any point only means replay: pages without their closing record are not used, the lake drops the rows that
it has, and what was sent is not sent again. The steps are named in streams/steps.py.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

from sinks.writer import Lake, LakeError
from streams import steps
from streams.outputs import OUTPUT_KINDS, Item, Outputs, Sent
from streams.state_log import Ends, Records, StateLog, Stray
from streams.steps import Step
from streams.telemetry import Telemetry
from streams.troubles import Troubles, pauses

LONG_COMMIT_S = 30.0  # of the lake, with its memory held meanwhile


@dataclass(frozen=True)
class Cut:
    """`records`: of `Shard.dump`; `profiles`: of the customers that changed; `strays`: events to send on."""

    partition: int
    log: StateLog
    clock: int  # ms
    next_offset: int
    records: Records
    profiles: list[Item]
    strays: list[Stray]


class Checkpoints:
    """Writes them."""

    def __init__(self, outputs: Outputs, lake: Lake, troubles: Troubles, telemetry: Telemetry) -> None:
        self.outputs, self.lake, self.troubles, self.telemetry = outputs, lake, troubles, telemetry
        self._committing = threading.Lock()  # a commit that nobody waits for any more may still run

    async def write(self, cuts: list[Cut], sent: list[Sent]) -> float:
        """Make the cuts durable; returns what it cost, s: not what was waited for.

        Raises FencedError, and KafkaError where it is not known what was written.
        """
        await self.outputs.settle(sent)
        steps.reached(Step.OUTPUTS_ACKNOWLEDGED)
        committing_s = await self._commit_lake()
        steps.reached(Step.LAKE_COMMITTED)
        started = time.monotonic()
        await self._publish_profiles(cuts)
        with self.troubles.named("the broker", "the broker does not take the checkpoint"):
            await asyncio.gather(*(self._write_state(cut) for cut in cuts))
        return committing_s + time.monotonic() - started

    async def _write_state(self, cut: Cut) -> None:
        await cut.log.write(cut.clock, cut.records, cut.next_offset, self._ends(cut.partition), cut.strays)
        steps.reached(Step.COMMITTED)

    async def _commit_lake(self) -> float:
        """Commit, as often as it takes: a disk that is full or a store that is away comes back. Returns s."""
        for pause in pauses():
            try:
                with self.troubles.named("the lake", "a commit of the lake takes very long", LONG_COMMIT_S):
                    took_s = await asyncio.to_thread(self._commit)
            except LakeError as error:
                self.troubles.begin("the lake", str(error))
                await asyncio.sleep(pause)
            else:
                self.troubles.end("the lake")
                return took_s
        raise AssertionError("unreachable: there is always another pause")

    def _commit(self) -> float:
        with self._committing, self.telemetry.lake_commit():
            started = time.monotonic()
            try:
                self.lake.commit()
            except Exception:
                raise
            except BaseException as error:  # a panic of the Rust library is no Exception, and nobody would hear of it
                raise RuntimeError(f"the writer of the lake broke down: {error}") from error
            return time.monotonic() - started

    async def _publish_profiles(self, cuts: list[Cut]) -> None:
        topic = self.outputs.settings.topic("profiles")
        for cut in cuts:
            await self.outputs.send(topic, cut.partition, cut.clock, cut.profiles)

    def _ends(self, partition: int) -> Ends:
        """From where on an output partition holds what this checkpoint does not cover."""
        topics = {kind: self.outputs.settings.topic(kind) for kind in OUTPUT_KINDS}
        ends = self.outputs.ends
        return {kind: ends[topic, partition] for kind, topic in topics.items() if (topic, partition) in ends}
