"""What the worker's client can do at all: `fetch` reads a topic to its end, `decode` also decodes it to columns.

The same client, sizes of fetches and decoder as the worker's (streams/fetching.py, models/decoding.py); nothing else.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.environments import PEERS
from models.decoding import Decoder
from models.layout import Layout
from streams.app import FETCH_BYTES
from streams.catalogues import read_catalogue
from streams.fetching import deliver_batches, parts_of, records_of
from streams.settings import Settings


async def read(broker: str, topic: str, partitions: int, decoder: Decoder | None) -> None:
    """Read the topic once, and say when the first and the last record came."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker, enable_auto_commit=False, max_partition_fetch_bytes=FETCH_BYTES,
        isolation_level="read_committed",
    )  # fmt: skip
    await consumer.start()
    try:
        deliver_batches(consumer)
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        ends = await consumer.end_offsets(assigned)
        consumer.assign(assigned)
        await consumer.seek_to_beginning(*assigned)
        first = True
        while ends:
            fetched = await consumer.getmany(timeout_ms=1000)
            if first and fetched:
                print(f"first record {time.time()}", flush=True)
                first = False
            for tp, batches in fetched.items():
                for records in parts_of(records_of(batches), Settings().fetch_records):
                    if decoder:
                        decoder.columns(topic, tp.partition, records)
                    if int(records.offset[-1]) + 1 >= ends[tp]:
                        del ends[tp]
        print(f"last record {time.time()}", flush=True)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    layout = Layout.compile(read_catalogue(PEERS / "zhice" / "catalogue.toml"))
    asyncio.run(
        read(
            os.environ["BENCH_BROKER"],
            os.environ["BENCH_EVENTS"],
            int(os.environ["BENCH_PARTITIONS"]),
            Decoder(layout.event_layout) if sys.argv[1] == "decode" else None,
        )
    )
