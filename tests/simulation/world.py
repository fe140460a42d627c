"""One world a seed: processes with the product's own worker, a broker, a lake, and what goes wrong.

What a process asks of the world (a request to the broker, a commit of the lake) is an operation. At each step the world
carries out one operation, chosen by the seed, and the process that asked goes on until it asks again. So every order
in which requests can meet is possible, and a seed is one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.app import guard
from streams.batches import RecordBatch
from streams.recovery import RestoreError
from streams.settings import Settings
from streams.state_log import FencedError
from streams.steps import Step
from streams.worker import AgainError, Worker
from tests.simulation.brokers import SimBroker, Stored
from tests.simulation.loops import KilledError, SimLoop

SETTINGS = Settings(app="sim", prefix="z", partitions=2, profiles=False, tick_ms=0)
EVENTS = SETTINGS.topic("events")


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
        self._sets = 0

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
        worker = self.worker = Worker(SETTINGS, self.world.layout, self.lake)
        while True:
            try:
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
        tasks: list[asyncio.Task[None]] = []
        try:
            await worker.begin(lambda: self)  # type: ignore[arg-type,return-value]
            parts = (self._membership(worker), self._batches(worker), self._checkpoints(worker), self._signal(worker))
            tasks = [self.loop.create_task(part) for part in parts]
            await worker.failed
            await worker.stop()
        finally:
            for task in tasks:
                task.cancel()
            await worker.end()
            self.world.group.leave(self)

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
            await guard(worker, worker.revoked)
            group.ask_to_join(self)

    async def _batches(self, worker: Worker) -> None:
        while True:
            tp, records = await self.operation("fetch", self._fetch, self._can_fetch)
            if self.world.random.random() < 0.1:  # it waits in a queue, through a rebalance perhaps
                await self.operation("queue", lambda: None)
            batch = RecordBatch(tp, records)
            batch.start = self._next.get(tp, batch.offset + 1)
            self._next[tp] = batch.offset + 1
            await guard(worker, worker.take, batch)

    def _can_fetch(self) -> bool:
        log = self.world.broker.log
        return any(at < len(log(*tp).places) for tp, at in self._position.items())

    def _fetch(self) -> tuple[TP, list[Any]]:
        log = self.world.broker.log
        tp = self.world.random.choice([tp for tp, at in self._position.items() if at < len(log(*tp).places)])
        end = len(log(*tp).places)
        records = log(*tp).read(self._position[tp], end)[: self.world.random.randint(1, 4)]
        self._position[tp] = records[-1].offset + 1
        return tp, records

    async def _checkpoints(self, worker: Worker) -> None:
        while True:
            await self.operation("due", lambda: None, lambda: self._is_due(worker))
            await guard(worker, worker.checkpoint)

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


class World:
    """`run` returns when all events are worked through, or a `violation` is found."""

    def __init__(self, seed: int, faults: Faults, new_lake: Callable[[Process], Any], layout: Any, traced: bool) -> None:
        self.random, self.faults, self.layout, self.new_lake = Random(seed), faults, layout, new_lake
        self.now = 0.0
        self.broker, self.group = SimBroker(), Group(self)
        self.operations: list[Operation] = []
        self.processes: list[Process] = []
        self.current: Process
        self.violation: str | None = None
        self.trace: list[str] | None = [] if traced else None
        self.steps = self.started = 0
        self.happened: dict[str, int] = {}
        self._to_start = faults.processes
        self.calm = False

    # --- what happens

    def run(self, log: list[tuple[int, bytes]]) -> None:
        """Work through a log of (partition, key)."""
        left = list(reversed(log))
        while self.violation is None:
            self.steps += 1
            if self.steps > self.faults.max_steps:
                self.violation = "no end: " + ", ".join(f"{one.process.number} {one.name}" for one in self.operations)
                return
            if not self.calm and not left and self.steps > self.faults.steps:
                self._be_calm()
            if left and self.random.random() < 0.2:
                self._produce(*left.pop())
            if self._to_start and self.random.random() < 0.2:
                self._start()
            if not self.calm:
                self._trouble()
            if not self._step() and not left and self._is_done():
                break
        for process in self.processes:
            process.loop.kill()

    def _step(self) -> bool:
        """Carry out one operation, or let time pass. Whether there was anything to do."""
        # what nobody waits for any more is not asked; what is on the wire arrives nevertheless
        self.operations = [one for one in self.operations if one.on_wire or not one.future.cancelled()]
        choices = [one for one in self.operations if not one.process.paused and (one.enabled is None or one.enabled())]
        if not choices:
            return self._pass_time()
        operation = self.random.choice(choices)
        self.operations.remove(operation)
        self._note(operation.process, operation.name)
        self._carry_out(operation)
        return True

    def _carry_out(self, operation: Operation) -> None:
        process, future = operation.process, operation.future
        try:
            self.current = process
            answer = operation.carry_out()
        except KilledError:
            pass
        except Exception as error:
            failed = error
            process.run(lambda: future.done() or future.set_exception(failed))
        else:
            process.run(lambda: future.done() or future.set_result(answer))
        self._bury_dead(process)

    def _bury_dead(self, process: Process) -> None:
        if process.loop.dead and process in self.processes:
            self._bury(process)

    def _pass_time(self) -> bool:
        """Fire the next timer; nothing else can happen."""
        timers = [(at, process) for process in self.processes if not process.paused and (at := process.loop.next_timer())]
        if not timers:
            return False
        self.now, process = min(timers, key=lambda timer: (timer[0], timer[1].number))
        self._note(process, "timer")
        self.current = process
        process.run(process.loop.fire_timer)
        self._bury_dead(process)
        return True

    def _note(self, process: Process, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.steps} {process.number} {what}")

    def _produce(self, partition: int, key: bytes) -> None:
        log = self.broker.log(EVENTS, partition)
        log.append(Stored(EVENTS, partition, len(log.places), key, key, (), len(log.places)), None)

    def _start(self) -> None:
        self._to_start -= 1
        self.started += 1
        process = Process(self, self.started)
        self.processes.append(process)
        process.start()
        self._bury_dead(process)

    # --- what goes wrong

    def _trouble(self) -> None:
        for name, chance in self.faults.chances:
            if self.random.random() < chance:
                getattr(self, f"_{name}")()

    def _count(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1

    def _kill(self) -> None:
        if self.processes:
            process = self.random.choice(self.processes)
            process.loop.dead = True
            self._bury(process)

    def _bury(self, process: Process) -> None:
        """kill -9: what is on the wire may still arrive; the group hears of it when the session has timed out."""
        self._count("kill")
        self._note(process, "killed")
        self.processes.remove(process)
        process.loop.dead = True
        process.loop.kill()
        process.paused = False
        mine = [one for one in self.operations if one.process is process]
        self.operations = [one for one in self.operations if one.process is not process]
        self.operations += [one for one in mine if one.on_wire and self.random.random() < 0.5]
        self.group.leave(process)
        self._to_start += 1

    def exited(self, process: Process) -> None:
        """It ended by itself; its supervisor starts another."""
        self._note(process, "exited")
        process.loop.dead = True
        self.processes.remove(process)
        self.operations = [one for one in self.operations if one.process is not process]
        self._to_start += 1

    def _pause(self) -> None:
        """SIGSTOP; later the group misses it."""
        awake = [process for process in self.processes if not process.paused]
        if len(awake) > 1:
            self._count("pause")
            process = self.random.choice(awake)
            process.paused = process.was_paused = True

    def _evict(self) -> None:
        for process in self.processes:
            if process.paused:
                self.group.leave(process)

    def _resume(self) -> None:
        for process in self.processes:
            process.paused = False

    def _join(self) -> None:
        if len(self.processes) + self._to_start < 3:
            self._count("join")
            self._to_start += 1

    def _term(self) -> None:
        """SIGTERM to one of several."""
        if len(self.processes) > 1:
            self._count("term")
            self.random.choice(self.processes).stopping = True

    def _compact(self) -> None:
        for number in range(SETTINGS.partitions):
            self.broker.log(SETTINGS.topic("state"), number).compact()

    def _be_calm(self) -> None:
        """No more faults: everything must come to its end."""
        self.calm = True
        for process in self.processes:
            process.paused = False
        if not self.processes and not self._to_start:
            self._to_start = 1

    def reached(self, step: Step) -> None:
        """A named step of the protocol: the process may die here."""
        if not self.calm and self.random.random() < self.faults.at_step:
            self._die()

    def is_lost(self) -> bool:
        """Whether a request, or the answer to it, gets lost for good; clients try again what may be tried again."""
        return not self.calm and self.random.random() < self.faults.lost

    def at_write(self, process: Process) -> Callable[[str], None]:
        """What the lake of a process does before and after it writes: die, or find the disk full."""

        def before_write(when: str) -> None:
            if self.calm:
                return
            chance = self.random.random()
            if chance < self.faults.at_step:
                self._die()
            elif when == "before" and chance < self.faults.disk_full:
                self._count("disk full")
                raise OSError("no space left on device")

        return before_write

    def _die(self) -> None:
        self.current.loop.dead = True
        raise KilledError

    def _is_done(self) -> bool:
        return self.calm and not self._to_start and bool(self.processes) and all(one.is_saved() for one in self.processes)


class Faults:
    """How much goes wrong; chances are per step."""

    def __init__(self, random: Random) -> None:
        self.processes = random.randint(1, 2)
        self.steps = random.randint(60, 160)
        self.max_steps = 5000
        self.lost = random.choice([0, 0, 0.02])
        self.at_step = random.choice([0, 0.01, 0.04])
        self.disk_full = self.at_step + random.choice([0, 0, 0.1])
        every = {"kill": 0.01, "pause": 0.02, "evict": 0.05, "resume": 0.02, "join": 0.01, "term": 0.005, "compact": 0.02}
        self.chances = [(name, chance) for name, chance in every.items() if random.random() < 0.5]
        if ("pause", 0.02) in self.chances:
            self.chances += [one for one in (("evict", 0.05), ("resume", 0.02)) if one not in self.chances]
