"""Simulated processes: the product's worker, the tasks of Faust around it, and the consumer group that they are in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.app import attempted, guard
from streams.batches import RecordBatch
from streams.pace import Pace
from streams.recovery import RestoreError
from streams.settings import Settings
from streams.state_log import FencedError
from streams.worker import AgainError, Worker
from tests.simulation.brokers import PREFIX
from tests.simulation.loops import KilledError, SimLoop

if TYPE_CHECKING:
    from tests.simulation.world import World

SETTINGS = Settings(app="sim", prefix=PREFIX, partitions=2, profiles=False, tick_ms=0)
EVENTS = SETTINGS.topic("events")
STEP_RECORDS = 2  # fewer than some batches have, so that there are some of several steps
QUEUED = 2  # batches that wait for the agent


class Operation:
    """Something that a process asks for. `enabled` says whether it can be carried out yet."""

    __slots__ = ("carry_out", "enabled", "future", "name", "on_wire", "process")

    def __init__(
        self,
        process: Process,
        name: str,
        carry_out: Callable[[], Any],
        enabled: Callable[[], bool] | None,
        future: asyncio.Future[Any],
        *,
        on_wire: bool,
    ) -> None:
        self.process, self.name, self.carry_out, self.enabled = process, name, carry_out, enabled
        self.future, self.on_wire = future, on_wire


class Group:
    """The consumer group: a rebalance takes all partitions from all, and waits until all have joined again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.members: list[Process] = []
        self.joining: set[Process] = set()
        self.is_stable = True

    def ask_to_join(self, process: Process) -> None:
        if process not in self.members:
            self.members.append(process)
        self.is_stable = False
        self.joining.add(process)

    def leave(self, process: Process) -> None:
        """Left, dead, or not heard of for longer than the session timeout."""
        if process in self.members:
            self.members.remove(process)
            self.joining.discard(process)
            self.is_stable = False

    def may_join(self, process: Process) -> bool:
        """Whether a rebalance is over for a process that joins; one that was taken for dead asks anew."""
        if process not in self.members:
            self.ask_to_join(process)
        return process in self.joining and (self.is_stable or len(self.joining) == len(self.members))

    def must_join(self, process: Process) -> bool:
        return process not in self.members or (not self.is_stable and process not in self.joining)

    def assign(self, process: Process) -> set[int]:
        """The partitions of a member; the first to ask ends the rebalance."""
        if not self.is_stable:
            self.is_stable = True
            order = list(range(SETTINGS.partitions))
            self.world.random.shuffle(order)
            for member in self.members:
                member.given = set()
            for place, number in enumerate(order):
                self.members[place % len(self.members)].given.add(number)
        self.joining.discard(process)
        return process.given


class SteadyPace(Pace):
    """How long a step takes on this machine decides nothing, or a seed would not reproduce a failure."""

    def took(self, records: int, seconds: float) -> None: ...


class Process:
    """A worker, and the parts of Faust around it: the tasks of `streams.app.attempt`."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.loop = SimLoop(lambda: world.now, lambda call: self.operation("thread", call))
        self.paused = self.was_paused = self.stopping = False
        self.given: set[int] = set()
        self.lake = world.new_lake(self)
        self._held: set[TP] = set()
        self._next: dict[TP, int] = {}
        self._position: dict[TP, int] = {}
        self._queue: deque[RecordBatch] = deque()

    def start(self) -> None:
        self.run(lambda: self.loop.create_task(self._main()))

    def run(self, call: Callable[[], Any]) -> None:
        """Do something in the process, and let it go on until it waits."""
        self.world.current = self
        self.loop.call_soon(call)
        self.loop.run_ready()
        if self.loop.dead:
            self.loop.kill()

    def operation(
        self,
        name: str,
        carry_out: Callable[[], Any],
        enabled: Callable[[], bool] | None = None,
        *,
        on_wire: bool = False,
    ) -> asyncio.Future[Any]:
        """Ask the world. What is `on_wire` may be carried out after the process is dead."""
        if self.loop.dead:
            raise KilledError
        future = self.loop.create_future()
        self.world.operations.append(Operation(self, name, carry_out, enabled, future, on_wire=on_wire))
        return future

    # --- what Faust and its consumer do

    async def _main(self) -> None:
        worker: Worker | None = None
        while True:
            try:
                if worker is None:
                    self.worker = worker = Worker(SETTINGS, self.world.layout, self.lake)
                    worker._pace = SteadyPace(STEP_RECORDS)
                await self._attempt(worker)
            except (AgainError, KafkaError):
                continue
            except FencedError:
                self.world.exited(self)
            except RestoreError as error:
                # who was paused in a restore may find the group ahead of the state that it read: it ends, nothing more
                self.world.violation = None if self.was_paused else f"process {self.number} failed: {error!r}"
                self.world.exited(self)
            except Exception as error:
                self.world.violation = f"process {self.number} failed: {error!r}"
            else:
                self.world.exited(self)
            return

    async def _attempt(self, worker: Worker) -> None:
        self._held, self._next, self._position = set(), {}, {}
        self._queue.clear()
        tasks: list[asyncio.Task[None]] = []
        faults = self.world.disturbances
        try:
            await worker.begin(lambda: self)  # type: ignore[arg-type,return-value]
            parts = (self._membership, self._batches, self._checkpoints, self._signal)
            tasks = [self.loop.create_task(part(worker)) for part in parts]
            tasks.append(self.loop.create_task(self._fetches()))
            if self.world.faults.standbys:
                tasks.append(self.loop.create_task(worker.standby.follow(lambda: worker.ownership.held)))
            for task in tasks:
                task.add_done_callback(self._check)
            await worker.failed
            await self._stop(worker, faults)
        finally:
            for task in tasks:
                task.cancel()
            await worker.end()
            self.world.group.leave(self)

    async def _stop(self, worker: Worker, faults: int) -> None:
        """After SIGTERM. Without a fault since there were so many it does not fail."""
        try:
            await worker.stop()
        except (AgainError, KafkaError) as error:
            if self.world.disturbances == faults:
                self.world.violation = f"process {self.number} stopped without a checkpoint: {error!r}"
            raise

    def _check(self, task: asyncio.Task[None]) -> None:
        """A task of Faust's ends when it is cancelled, not before."""
        if not self.loop.dead and not task.cancelled() and (error := task.exception()) is not None:
            self.world.violation = f"process {self.number} failed: {error!r}"

    async def _signal(self, worker: Worker) -> None:
        """SIGTERM."""
        await self.operation("sigterm", lambda: None, lambda: self.stopping)
        if not worker.failed.done():
            worker.failed.set_result(None)

    async def _membership(self, worker: Worker) -> None:
        group = self.world.group
        group.ask_to_join(self)
        while True:
            given = await self.operation("join", lambda: set(group.assign(self)), lambda: group.may_join(self))
            self._held = {TP(EVENTS, number) for number in given}
            self._next.clear()
            self._position.clear()
            await worker.ownership.assign(given)
            await self.operation("rebalance", lambda: None, lambda: group.must_join(self))
            await attempted(worker.failed, worker.revoked)
            group.ask_to_join(self)

    async def _fetches(self) -> None:
        """Batches wait for the agent, through a rebalance perhaps: Faust clears its queues, but not all of them."""
        while True:
            self._queue.append(await self.operation("fetch", self._fetch, self._can_fetch))

    async def _batches(self, worker: Worker) -> None:
        while True:
            batch = await self.operation("take", self._queue.popleft, lambda: bool(self._queue))
            await guard(worker.failed, worker.take, batch)

    def _can_fetch(self) -> bool:
        log = self.world.broker.log
        return len(self._queue) < QUEUED and any(at < len(log(*tp).places) for tp, at in self._position.items())

    def _fetch(self) -> RecordBatch:
        """Fetched and made a batch at once: Faust drops what it has fetched and not made one when a rebalance comes."""
        log = self.world.broker.log
        tp = self.world.random.choice([tp for tp, at in self._position.items() if at < len(log(*tp).places)])
        records = log(*tp).read(
            self._position[tp], self._position[tp] + self.world.random.randint(1, self.world.fetch_records)
        )
        batch = RecordBatch(tp, self.world.batch_of(records))
        batch.start = self._next.get(tp, batch.offset + 1)
        self._next[tp] = self._position[tp] = batch.offset + 1
        return batch

    async def _checkpoints(self, worker: Worker) -> None:
        while True:
            await self.operation("due", lambda: None, lambda: self._is_due(worker))
            await guard(worker.failed, worker.checkpoint)

    def _is_due(self, worker: Worker) -> bool:
        return self.world.random.random() < 0.3 and any(
            shard.next_offset != worker._saved.get(number) for number, shard in worker.shards.items()
        )

    def is_saved(self) -> bool:
        """Whether nothing of its partitions is left to do."""
        worker = self.worker
        return worker.ownership.assigned == set(worker.ownership.owned) == self.given and all(
            shard.next_offset == worker._saved.get(number) == len(self.world.broker.log(EVENTS, number).places)
            for number, shard in worker.shards.items()
        )

    async def release(self, tp: TP, offset: int) -> None:
        """BatchConsumer.release."""
        if tp not in self._held and tp not in self._position:
            raise AssertionError("released without being assigned")
        self._held.discard(tp)
        self._next[tp] = self._position[tp] = offset

    async def commit_offset(self, tp: TP, offset: int) -> None:
        self.world.broker.offsets[SETTINGS.app, TopicPartition(*tp)] = offset
