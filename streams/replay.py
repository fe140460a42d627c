"""Replay: a file of records into the events topic, with the records' own times, and a worker to its end."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.columns import TICK
from models.layout import Layout
from sinks.compaction import compact
from sinks.writer import Lake
from streams import app, clients
from streams.record_files import RecordFileError, read_records
from streams.routing import Router
from streams.sending import RepeatedError, send_log
from streams.settings import Settings
from streams.worker import Worker

POLL_S = 0.02
EMPTY_MS = 500  # for a first record of a topic that seems empty


class ReplayError(RuntimeError):
    """The records could not be sent; the message says why."""


def check_empty(settings: Settings) -> None:
    """Raises ReplayError where the events topic, which must exist, has or had records: offsets are counted from 0."""
    try:
        found = asyncio.run(_has_records(settings))
    except KafkaError as error:
        raise ReplayError(f"{settings.topic('events')} cannot be read: {error}") from error
    if found:
        raise ReplayError(
            f"{settings.topic('events')} has records already, and a replay needs an empty topic: name new topics with "
            "--prefix. To work through what is there: zhice worker --tick-ms 0"
        )


async def _has_records(settings: Settings) -> bool:
    consumer = clients.reader(settings)
    await consumer.start()
    try:
        partitions = [TopicPartition(settings.topic("events"), number) for number in range(settings.partitions)]
        if any((await consumer.end_offsets(partitions)).values()):
            return True
        consumer.assign(partitions)  # the embedded broker's end is the base offset of the last batch: 0 for the first
        await consumer.seek_to_beginning()
        return bool(await consumer.getmany(timeout_ms=EMPTY_MS, max_records=1))
    finally:
        await consumer.stop()


def produce(settings: Settings, path: str) -> list[int]:
    """Send a record file to the events topic; returns the end offset of each partition.

    The topic must be empty: see `check_empty`. Raises ReplayError, and RecordFileError for what is no such file.
    """
    return asyncio.run(_produce(settings, Path(path)))


async def _produce(settings: Settings, path: Path) -> list[int]:
    producer = clients.producer(settings)
    router, topic = Router(settings.partitions), settings.topic("events")
    await producer.start()
    try:
        for logs in router.logs(read_records(path)):
            await asyncio.gather(*(send_log(producer, topic, number, log) for number, log in enumerate(logs)))
    except RepeatedError as error:
        raise ReplayError(f"{error} Begin anew with other topics: --prefix") from None
    except KafkaError as error:
        raise ReplayError(f"{topic} cannot be written: {type(error).__name__}: {error}") from error
    finally:
        await producer.stop()
    return [int(offset) for offset in router.offsets]


def follow(settings: Settings, layout: Layout, lake: Lake, path: Path, progress: Callable[[int], None]) -> Worker:
    """Send a record file from a second process and work through it in this one; returns the stopped worker.

    It calls progress(records of the file) as it goes. Raises ReplayError where sending
    fails, and what stops a worker.
    """
    context = multiprocessing.get_context("spawn")
    ends: multiprocessing.SimpleQueue[list[int] | str] = context.SimpleQueue()
    sender = context.Process(target=_produce_for, args=(settings, str(path), ends), daemon=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for this process: a child has its mask
    try:
        sender.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    async def until_end(worker: Worker) -> bool:
        worker.on_output = lambda output: progress(int(np.count_nonzero(output.columns.event_type != TICK)))
        while ends.empty():
            if not sender.is_alive() and ends.empty():
                raise ReplayError("the process that sends the records ended early")
            await asyncio.sleep(POLL_S)
        offsets = ends.get()
        if isinstance(offsets, str):
            raise ReplayError(offsets)
        while any(worker.next_offset(number) < end for number, end in enumerate(offsets)):
            await asyncio.sleep(POLL_S)
        return True

    try:
        worker = asyncio.run(app.run(settings, layout, lake, until_end))
    finally:
        sender.terminate()
        sender.join()
    compact(lake.path)
    return worker


def _produce_for(settings: Settings, path: str, ends: multiprocessing.SimpleQueue[list[int] | str]) -> None:
    try:
        ends.put(produce(settings, path))
    except (RecordFileError, ReplayError) as error:
        ends.put(str(error))
    except Exception as error:
        ends.put(f"{type(error).__name__}: {error}")
