"""One seed: a log, a world, and whether what came out is what one thread makes of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from aiokafka import TopicPartition

from sinks import writer
from streams import clients, outputs, recovery, steps, worker
from streams.recovery import StateCopy
from tests.simulation import toy
from tests.simulation.brokers import SimProducer, SimReader
from tests.simulation.world import EVENTS, SETTINGS, Faults, World

LAYOUT = SimpleNamespace(event_layout=None)


class Current:
    """The world whose turn it is; what is patched asks it."""

    world: World


@contextmanager
def simulated() -> Iterator[None]:
    """The product's modules with clients of the simulated broker and with the toys."""
    patches = [
        mock.patch.object(clients, "producer", _producer),
        mock.patch.object(clients, "reader", _reader),
        mock.patch.object(steps, "reached", lambda step: Current.world.reached(step)),
        mock.patch.object(outputs.Outputs, "publish", toy.publish),
        mock.patch.object(worker, "Decoder", toy.Decoder),
        mock.patch.object(recovery, "Shard", toy.Shard),
        mock.patch.object(writer, "RowMaker", toy.RowMaker),
        mock.patch.object(writer, "tables", toy.tables),
        mock.patch.object(writer, "pa", toy.arrow),
        mock.patch.object(writer, "pc", toy.compute),
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
    return SimProducer(Current.world.current, options.get("transactional_id"))


def _reader(settings: Any, **options: Any) -> SimReader:
    return SimReader(Current.world.current, options.get("group_id"))


class Result(SimpleNamespace):
    """`violation` is None, or says what is wrong; `repeats` are triggers that are on the topic more than once."""

    violation: str | None
    repeats: int
    world: World


def run(seed: int, *, traced: bool = False) -> Result:
    """Inside `simulated`: run a seed to its end and check it."""
    random = Random(f"log {seed}")
    log = [
        (random.randrange(SETTINGS.partitions), b"c%d" % random.randrange(toy.CUSTOMERS))
        for _ in range(random.randint(8, 30))
    ]
    files: dict[str, toy.DeltaFiles] = {}
    world = World(seed, Faults(random), lambda process: toy.SimLake(files, None, world.at_write(process)), LAYOUT, traced)
    Current.world = world
    world.run(log)
    if world.violation is not None:
        return Result(violation=world.violation, repeats=0, world=world)
    violations = [found for number in range(SETTINGS.partitions) for found in _differences(world, files, number)]
    return Result(violation="; ".join(violations) or None, repeats=_repeats(world), world=world)


def _differences(world: World, files: dict[str, toy.DeltaFiles], number: int) -> Iterator[str]:
    """What is not as one thread would have it, in one partition."""
    records = world.broker.log(EVENTS, number).read(0, 1 << 30)
    if not records:
        return
    shard = toy.Shard(None, EVENTS, number)
    output = shard.process(toy.Columns(EVENTS, number, records))
    expected = [text for _, text in output.triggers]
    sent = list(dict.fromkeys(_sent(world, number)))
    if sent != expected:
        yield f"partition {number}: triggers {sent}, not {expected}"
    events = [(record.offset, f"{number}/{record.offset}") for record in records]
    for name, right in (("events", events), ("triggers", output.triggers)):
        found = _in_lake(files[name], number)
        if found != right:
            yield f"partition {number}: {name} in the lake {found}, not {right}"
    state = _state(world, number)
    if (state.counts, state.next_offset) != (shard.counts, shard.next_offset):
        yield f"partition {number}: state {state.counts} at {state.next_offset}, not {shard.counts}"
    committed = world.broker.offsets.get((SETTINGS.app, TopicPartition(EVENTS, number)))
    if committed != shard.next_offset:
        yield f"partition {number}: committed {committed}, not {shard.next_offset}"


def _in_lake(files: toy.DeltaFiles, number: int) -> list[tuple[int, str]]:
    """Rows of a partition; their text begins with its number."""
    rows = [row for _, part in files.commits for row in part.rows]
    return sorted(row for row in rows if row[1].startswith(f"{number}/"))


def _sent(world: World, number: int) -> list[str]:
    return [str(one.value, "ascii") for one in world.broker.log(SETTINGS.topic("triggers"), number).read(0, 1 << 30)]


def _repeats(world: World) -> int:
    return sum(len(sent) - len(set(sent)) for sent in (_sent(world, number) for number in range(SETTINGS.partitions)))


def _state(world: World, number: int) -> toy.Shard:
    copy, log = StateCopy(), world.broker.log(SETTINGS.topic("state"), number)
    for record in log.read(0, log.stable_end()):
        copy.add(record)
    return toy.Shard.restore(None, EVENTS, number, copy.records())
