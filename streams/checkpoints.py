"""A checkpoint: the moment at which shards are durable up to an offset.

A `Cut` is what a checkpoint is about to make durable, of one partition and taken at one moment, between two batches;
those of other partitions may be taken at other moments, with batches between them. For all cuts at once, in this order:

1. every output that was sent up to the cut is acknowledged;
2. the lake has committed its rows;
3. for each partition, its log writes the pages, the closing record and the source offset, in one transaction where the
   broker has them.

A crash at any point only means replay: pages without their closing record are not used, the lake drops the rows that
it has, and what was sent is not sent again. The steps are named in streams/steps.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from models.records import Records
from streams import steps
from streams.lake_commits import LakeCommits
from streams.outputs import OUTPUT_KINDS, Outputs, Sent
from streams.state_log import Noted, Pages, StateLog, Stray
from streams.steps import Step
from streams.troubles import Troubles


@dataclass(frozen=True)
class Cut:
    """`sent`: its outputs since the cut before; `pages`: of `Shard.dump`; `strays`: events to send on.

    `profiles`: of the customers that changed; they are read when they are sent, so they may be ahead of the cut.
    """

    partition: int
    log: StateLog
    clock: int  # ms
    next_offset: int
    sent: list[Sent]
    pages: Pages
    profiles: Iterator[Records]
    strays: list[Stray]


class Checkpoints:
    """Writes them."""

    def __init__(self, outputs: Outputs, lake_commits: LakeCommits, troubles: Troubles) -> None:
        self.outputs, self.lake_commits, self.troubles = outputs, lake_commits, troubles

    async def write(self, cuts: list[Cut]) -> float:
        """Make the cuts durable; returns what it cost, s: not what was waited for.

        Raises FencedError, and KafkaError where it is not known what was written.
        """
        await self.outputs.settle([one for cut in cuts for one in cut.sent])
        steps.reached(Step.OUTPUTS_ACKNOWLEDGED)
        topic = self.outputs.settings.topic("events")
        committed = await self.lake_commits.commit(topic, [cut.partition for cut in cuts])
        steps.reached(Step.LAKE_COMMITTED)
        started = time.monotonic()
        await self._publish_profiles(cuts)
        with self.troubles.named("the broker", "the broker does not take the checkpoint"):
            await asyncio.gather(*(self._write_state(cut, committed.positions[cut.partition]) for cut in cuts))
        return committed.seconds + time.monotonic() - started

    async def _write_state(self, cut: Cut, lake: dict[str, int]) -> None:
        noted = Noted(self._ends(cut.partition), lake)
        await cut.log.write(cut.clock, cut.pages, cut.next_offset, noted, cut.strays)
        steps.reached(Step.COMMITTED)

    async def _publish_profiles(self, cuts: list[Cut]) -> None:
        topic = self.outputs.settings.topic("profiles")
        for cut in cuts:
            for records in cut.profiles:
                await self.outputs.send_records(topic, cut.partition, records)
                await asyncio.sleep(0)  # record batches go on meanwhile

    def _ends(self, partition: int) -> dict[str, int]:
        """From where on an output partition holds what this checkpoint does not cover."""
        topics = {kind: self.outputs.settings.topic(kind) for kind in OUTPUT_KINDS}
        ends = self.outputs.ends
        return {kind: ends[topic, partition] for kind, topic in topics.items() if (topic, partition) in ends}
