"""Outputs: a checkpoint of one partition waits for what was sent for that one, and for nothing else."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

from aiokafka.structs import RecordMetadata

from streams.outputs import Outputs
from streams.settings import Settings
from streams.troubles import Troubles
from tests.small_logs import small_catalogue


class Builder:
    def __init__(self) -> None:
        self.records = 0

    def append(self, **_: Any) -> object:
        self.records += 1
        return object()

    def record_count(self) -> int:
        return self.records


class Producer:
    """Acknowledges each batch when it is asked to."""

    def __init__(self) -> None:
        self.ends: dict[tuple[str, int], int] = {}

    async def start(self) -> None: ...

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, builder: Builder, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        first = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = first + builder.records
        acknowledged: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(RecordMetadata(topic, partition, None, first, 0, 0, 0))
        return acknowledged


def test_what_was_sent_is_taken_by_partition() -> None:
    """Another partition's cut may be older: what was sent behind it must not count as covered by its checkpoint."""

    async def send() -> None:
        with mock.patch("streams.clients.producer", return_value=Producer()):
            outputs = Outputs(Settings(partitions=2), small_catalogue(), Troubles())
            await outputs.start()
        for partition, records in ((0, 1), (1, 2), (0, 3)):
            await outputs.send("t", partition, 0, [(b"k", b"v", [])] * records)
        sent = outputs.take_sent(0)
        await outputs.send("t", 0, 0, [(b"k", b"later", [])])
        assert [(one.partition, one.records) for one in sent] == [(0, 1), (0, 3)]
        await outputs.settle(sent)
        assert outputs.ends == {("t", 0): 4}
        assert [one.records for one in outputs.take_sent(1)] == [2]
        assert [one.records for one in outputs.take_sent(0)] == [1] and not outputs.take_sent(0)

    asyncio.run(send())
