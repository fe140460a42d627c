"""Commits of the lake: those of a checkpoint, and those beside the work when many rows wait.

The lake may be ahead of a checkpoint: what a replay puts out again is at or below its positions and is dropped. So its
cost is spread over the time between two checkpoints, and memory is bounded.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from sinks.writer import Lake, LakeError
from streams.telemetry import Telemetry
from streams.troubles import Troubles, pauses

LONG_COMMIT_S: Final = 30.0  # with its memory held meanwhile
ROWS: Final = 500_000  # that wait, beyond which a commit begins
MOST_ROWS: Final = 2 * ROWS  # beyond which the worker waits for it


class Committed(NamedTuple):
    """What a commit took, and how far the tables then were with each partition (`Lake.positions`)."""

    seconds: float
    positions: dict[int, dict[str, int]]


class LakeCommits:
    """Makes them, one at a time."""

    def __init__(self, lake: Lake, troubles: Troubles, telemetry: Telemetry) -> None:
        self.lake, self.troubles, self.telemetry = lake, troubles, telemetry
        self._committing = threading.Lock()  # a commit that nobody waits for any more may still run
        self._beside: asyncio.Task[Committed] | None = None

    async def commit(self, topic: str = "", partitions: Sequence[int] = ()) -> Committed:
        """Commit, as often as it takes: a disk that is full or a store that is away comes back.

        One that is given up leaves its trouble, by which the worker says why it ends.
        """
        for pause in pauses():
            try:
                with self.troubles.named("the lake", "a commit of the lake takes very long", LONG_COMMIT_S):
                    committed = await asyncio.to_thread(self._commit, topic, partitions)
            except LakeError as error:
                self.troubles.begin("the lake", str(error))
            else:
                self.troubles.end("the lake")
                return committed
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: there is always another pause")

    async def relieve(self) -> None:
        """Begin a commit where many rows wait; where too many do, wait for it. Raises what broke the one before."""
        if self._beside is not None and self._beside.done():
            beside, self._beside = self._beside, None
            beside.result()
        waiting = self.lake.waiting
        if self._beside is None and waiting > ROWS:
            self._beside = asyncio.create_task(self.commit())
        if self._beside is not None and waiting > MOST_ROWS:
            await asyncio.wait({self._beside})

    def stop(self) -> None:
        """Begin no other attempt."""
        if self._beside is not None:
            self._beside.cancel()
            self._beside = None
        self.troubles.forget("the lake")

    def _commit(self, topic: str, partitions: Sequence[int]) -> Committed:
        with self._committing, self.telemetry.lake_commit():
            started = time.monotonic()
            try:
                self.lake.commit()
            except Exception:
                raise
            except BaseException as error:  # a panic of the Rust library is no Exception, and nobody would hear of it
                raise RuntimeError(f"the writer of the lake broke down: {error}") from error
            positions = {number: self.lake.positions(topic, number) for number in partitions}
            return Committed(time.monotonic() - started, positions)
