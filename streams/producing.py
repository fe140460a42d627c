"""A file of records into the events topic, with the records' own times.

A replay does it in a second process, which imports this and no worker.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.errors import UserError
from streams import clients
from streams.record_files import RecordFileError, read_records
from streams.routing import Router
from streams.sending import MoreRecordsError, send_log
from streams.settings import Settings

EMPTY_MS = 500  # for a first record of a topic that seems empty


class ReplayError(UserError):
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
    except MoreRecordsError as error:
        raise ReplayError(f"{error} Begin anew with other topics: --prefix") from None
    except KafkaError as error:
        raise ReplayError(f"{topic} cannot be written: {type(error).__name__}: {error}") from error
    finally:
        await producer.stop()
    return [int(offset) for offset in router.offsets]


def produce_for(settings: Settings, path: str, ends: multiprocessing.SimpleQueue[list[int] | str]) -> None:
    """What a second process does: `produce`; what it returns, or why it failed, goes to the first one."""
    try:
        ends.put(produce(settings, path))
    except (RecordFileError, ReplayError) as error:
        ends.put(str(error))
    except Exception as error:
        ends.put(f"{type(error).__name__}: {error}")
