"""Faust on record batches: one item per partition and fetch instead of one per record.

Faust's own extension points: `ConsumerScheduler`, and a `Transport` whose consumer commits what a checkpoint acked.
Batches of a partition are processed in order, so the highest acked batch is the processed prefix; Faust's own gap logic
would commit past batches that are still queued (its issue 606).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import faust
from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import Consumer as KafkaConsumer
from faust.transport.drivers.aiokafka import Transport as KafkaTransport
from faust.transport.utils import DefaultSchedulingStrategy

from models.records import Records
from streams.fetching import RecordsThread


class RecordBatch:
    """What one fetch returned for one partition, in the shape of the single record that Faust expects."""

    timestamp_type = serialized_key_size = serialized_value_size = 0
    key = checksum = None
    headers = ()

    def __init__(self, tp: TopicPartition, records: Records) -> None:
        self.topic, self.partition, self.value = tp.topic, tp.partition, records
        self.offset, self.timestamp = int(records.offset[-1]), int(records.timestamp[-1])


class BatchScheduler(DefaultSchedulingStrategy):
    """Every topic of this app is consumed in record batches."""

    def iterate(self, records: Mapping[TopicPartition, list[Records]]) -> Iterator[tuple[TopicPartition, Any]]:
        for tp, parts in records.items():
            for part in parts:
                yield tp, RecordBatch(tp, part)


class BatchConsumer(KafkaConsumer):
    """Fetches columns, and commits the highest acked batch of a partition."""

    def _new_consumer_thread(self) -> RecordsThread:
        return RecordsThread(self, loop=self.loop, beacon=self.beacon)

    def _new_offset(self, tp: TopicPartition) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        highest = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return int(highest) + 1

    async def _add_gap(self, tp: TopicPartition, offset_from: int, offset_to: int) -> None:
        """Offsets inside a batch are no gaps."""


class BatchTransport(KafkaTransport):
    Consumer = BatchConsumer


class BatchApp(faust.App):
    """A Faust app whose agents receive record batches."""

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self, loop=self.loop)
