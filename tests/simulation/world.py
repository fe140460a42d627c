"""One world a seed: processes with the product's own worker, a broker, a lake, and what goes wrong.

What a process asks of the world (a request to the broker, a commit of the lake) is an operation. At each step the world
carries out one operation, chosen by the seed, and the process that asked goes on until it asks again. So every order
in which requests can meet is possible, and a seed is one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from streams.steps import Step
from tests.simulation.brokers import SimBroker
from tests.simulation.loops import KilledError
from tests.simulation.processes import EVENTS, SETTINGS, Group, Operation, Process


class World:
    """`run` returns when all events are worked through, or a `violation` is found."""

    fetch_records = 4

    def __init__(
        self,
        seed: int,
        faults: Faults,
        new_lake: Callable[[Process], Any],
        layout: Any,
        batch_of: Callable[[list[Any]], Any],
        traced: bool,
    ) -> None:
        self.random, self.faults, self.layout, self.new_lake = Random(seed), faults, layout, new_lake
        self.batch_of = batch_of  # from stored records to what a fetch returns
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

    def run(self, log: list[tuple[int, int, bytes, bytes]]) -> None:
        """Work through a log of (partition, timestamp, key, value)."""
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
            idle = not self._step() or self._only_follows()
            if idle and not left and self._is_done():
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
        timers = [
            (at, process) for process in self.processes if not process.paused and (at := process.loop.next_timer())
        ]
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

    def _produce(self, partition: int, timestamp: int, key: bytes, value: bytes) -> None:
        self.broker.append(EVENTS, partition, [(key, value, (), timestamp)], None)

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
        if lost := not self.calm and self.random.random() < self.faults.lost:
            self._count("lost")
        return lost

    @property
    def disturbances(self) -> int:
        """Faults so far by which a checkpoint may fail."""
        return sum(self.happened.get(what, 0) for what in ("lost", "disk full", "pause"))

    def at_write(self) -> Callable[[str], None]:
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

    def _only_follows(self) -> bool:
        """A standby asks for ever; nothing else may be on its way."""
        return self.faults.standbys and self.calm and not any(one.on_wire for one in self.operations)

    def _is_done(self) -> bool:
        given = set().union(*(one.given for one in self.processes))
        return (
            self.calm
            and not self._to_start
            and given == set(range(SETTINGS.partitions))
            and all(one.is_saved() for one in self.processes)
        )


CHANCES = {"kill": 0.01, "pause": 0.02, "evict": 0.05, "resume": 0.02, "join": 0.01, "term": 0.005, "compact": 0.02}


class Faults:
    """How much goes wrong; chances are per step."""

    def __init__(self, random: Random) -> None:
        self.processes = random.randint(1, 2)
        self.steps = random.randint(20, 80)
        self.max_steps = 5000
        self.lost = random.choice([0, 0, 0.02])
        self.at_step = random.choice([0, 0.01, 0.04])
        self.disk_full = self.at_step + random.choice([0, 0, 0.1])
        self.chances = [(name, chance) for name, chance in CHANCES.items() if random.random() < 0.5]
        if ("pause", 0.02) in self.chances:
            self.chances += [one for one in (("evict", 0.05), ("resume", 0.02)) if one not in self.chances]
        self.standbys = random.random() < 0.5
