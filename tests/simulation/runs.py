"""One seed: a log, a world, and whether what came out is what one thread makes of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple, Protocol
from unittest import mock

from aiokafka import TopicPartition

from streams import clients, lake_commits, recovery, steps
from streams.state_copy import StateCopy
from tests.simulation.brokers import SimProducer, SimReader, Stored
from tests.simulation.delta import DeltaFiles
from tests.simulation.processes import EVENTS, SETTINGS, Process
from tests.simulation.world import Faults, World

LAKE_ROWS = 3  # that wait before a commit begins beside the work

Files = dict[str, DeltaFiles]


class Kit(Protocol):
    """The engine and the lake of a simulation: the toys, or the product's own."""

    layout: Any

    def patches(self) -> list[Any]: ...

    def log(self, random: Random) -> list[tuple[int, int, bytes, bytes]]:
        """(partition, timestamp in ms, key, value) of each record."""

    def batch_of(self, records: list[Stored]) -> Any:
        """What a fetch returns."""

    def new_lake(self, files: Files, process: Process) -> Any: ...

    def differences(self, world: World, files: Files, number: int, records: list[Stored]) -> Iterator[str]:
        """What is not as one thread would have it, in the outputs, the lake and the state of one partition."""


class Result(NamedTuple):
    """`violation` is None, or says what is wrong; `repeats` are outputs that are on a topic more than once."""

    violation: str | None
    repeats: int
    world: World


class _Current:
    """The world whose turn it is; what is patched asks it."""

    world: World


@contextmanager
def simulated(kit: Kit) -> Iterator[None]:
    """The product's modules with clients of the simulated broker."""
    patches = [
        mock.patch.object(clients, "producer", _producer),
        mock.patch.object(clients, "reader", _reader),
        mock.patch.object(steps, "reached", lambda step: _Current.world.reached(step)),
        mock.patch.object(recovery, "give_back", lambda: None),  # of a heap that other tests have filled: milliseconds
        mock.patch.object(lake_commits, "ROWS", LAKE_ROWS),
        mock.patch.object(lake_commits, "MOST_ROWS", 2 * LAKE_ROWS),
        *kit.patches(),
    ]
    logging.disable(logging.CRITICAL)
    try:
        for patch in patches:
            patch.start()
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()
        logging.disable(logging.NOTSET)


def _producer(settings: Any, **options: Any) -> SimProducer:
    return SimProducer(_Current.world.current, options.get("transactional_id"))


def _reader(settings: Any, **options: Any) -> SimReader:
    return SimReader(_Current.world.current, options.get("group_id"))


def run(kit: Kit, seed: int, *, traced: bool = False) -> Result:
    """Inside `simulated`: run a seed to its end and check it."""
    random = Random(f"log {seed}")
    log = kit.log(random)
    files: Files = {}
    world = World(seed, Faults(random), lambda process: kit.new_lake(files, process), kit.layout, kit.batch_of, traced)
    _Current.world = world
    world.run(log)
    found = world.violation or "; ".join(_differences(kit, world, files))
    return Result(found or None, repeats_of(world), world)


def _differences(kit: Kit, world: World, files: Files) -> Iterator[str]:
    for number in range(SETTINGS.partitions):
        if records := world.broker.log(EVENTS, number).read(0, END):
            yield from kit.differences(world, files, number, records)
            committed = world.broker.offsets.get((SETTINGS.app, TopicPartition(EVENTS, number)))
            if committed != len(records):
                yield f"partition {number}: committed {committed}, not {len(records)}"


END = 1 << 30


def sent(world: World, kind: str, number: int) -> list[bytes]:
    """The values on an output topic, repeats among them."""
    return [one.value or b"" for one in world.broker.log(SETTINGS.topic(kind), number).read(0, END)]


def repeats_of(world: World) -> int:
    """Of all outputs."""
    kinds = ("triggers", "decisions", "transitions", "bad-rows")
    values = [sent(world, kind, number) for kind in kinds for number in range(SETTINGS.partitions)]
    return sum(len(some) - len(set(some)) for some in values)


def state_of(world: World, number: int) -> StateCopy:
    """The state topic as a restore reads it."""
    copy, log = StateCopy(), world.broker.log(SETTINGS.topic("state"), number)
    for record in log.read(0, log.stable_end()):
        copy.add(record)  # type: ignore[arg-type]
    return copy
