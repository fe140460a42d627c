"""Checkpoints and restore. A checkpoint, for all partitions of this worker at once, in this order:

1. dump dirty pages and note the batches that they cover, at one moment;
2. every output sent so far is acknowledged;
3. the lake has committed its rows;
4. pages are acknowledged, and then each partition's closing record, alone in its batch;
5. the batches are acked, which lets Faust commit their offsets.

A crash in between only means replay: pages behind the last closing record are not used, and the lake drops what it
has.
"""

from __future__ import annotations

import asyncio
import logging

from aiokafka import AIOKafkaConsumer, TopicPartition

from models.layout import Layout
from models.shard import Shard
from models.shard_state import CLOSING_KEY
from streams.outputs import Outputs
from streams.security import client_options
from streams.settings import Settings

log = logging.getLogger(__name__)

Records = list[tuple[bytes, bytes]]


class RestoreError(RuntimeError):
    """A shard could not be read in time; the message says what to do."""


async def write_state(outputs: Outputs, topic: str, dumps: dict[int, tuple[int, Records]]) -> None:
    """Steps 4: dumps holds, by partition, the clock (ms) and the records of `Shard.dump`."""
    for partition, (clock, records) in dumps.items():
        pages = ((key, value, []) for key, value in records if key != CLOSING_KEY)
        await outputs.send(topic, partition, clock, pages)
    await outputs.settled()
    for partition, (clock, records) in dumps.items():
        await outputs.send(topic, partition, clock, [(*records[-1], [])])
    await outputs.settled()


async def read_partition(settings: Settings, topic: str, partition: int) -> Records:
    """All records of a partition of the state topic, up to the end that it has now. Raises RestoreError."""
    tp = TopicPartition(topic, partition)
    reader = AIOKafkaConsumer(
        **client_options(settings),
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    await reader.start()
    try:
        reader.assign([tp])
        await reader.seek_to_beginning(tp)
        return await asyncio.wait_for(_read(reader, tp), settings.restore_timeout_s)
    except TimeoutError:
        raise RestoreError(
            f"reading {topic}-{partition} took longer than {settings.restore_timeout_s:g} s; "
            "check the broker, or raise --restore-timeout-s"
        ) from None
    finally:
        await reader.stop()


async def _read(reader: AIOKafkaConsumer, tp: TopicPartition) -> Records:
    found: Records = []
    end = (await reader.end_offsets([tp]))[tp]
    while True:
        records = (await reader.getmany(tp, timeout_ms=200, max_records=5000)).get(tp, ())
        found += [(record.key, record.value) for record in records]
        # the embedded broker reports the base offset of the last batch as the end: go on until nothing comes
        if not records and await reader.position(tp) >= end:
            return found


async def restore(settings: Settings, layout: Layout, events_topic: str, partition: int) -> Shard:
    """The shard of a partition as of its last checkpoint; an empty one where there is none."""
    records = await read_partition(settings, settings.topic("state"), partition)
    shard = await asyncio.to_thread(Shard.restore, layout, events_topic, partition, records)
    log.info(
        "restored partition %d: %d customers, next offset %d",
        partition,
        len(shard.rows.customer_ids),
        shard.next_offset,
    )
    return shard
