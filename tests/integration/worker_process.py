"""What the tests of the worker share: settings for a broker, `zhice worker` as a process, topics read to the end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from models.events import Record
from streams.broker import EmbeddedBroker
from streams.settings import Settings
from tests.integration.conftest import Broker

ZHICE = Path(sys.executable).parent / "zhice"
QUIET_S = 0.6  # the end of a topic: nothing comes for so long


def settings_for(broker: Broker, prefix: str, lake: Path, **changes: Any) -> Settings:
    """Settings of a worker that brings no ticks; its group notices a dead member after six seconds."""
    embedded = isinstance(broker, EmbeddedBroker)
    settings = Settings(
        broker=broker.address,
        prefix=prefix,
        app=prefix,
        lake=str(lake),
        idempotence=not embedded,
        tick_ms=0,
        session_timeout_s=6.0,
        rebalance_timeout_s=1.0 if embedded else 3.0,  # joining the embedded broker's group takes half of it
    )
    return msgspec.structs.replace(settings, **changes)


class WorkerProcess:
    """`zhice worker` from `__enter__` to `__exit__`, which kills what still runs. Its log is the file `log`."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.arguments, self.log = list(_options(settings)), log
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> WorkerProcess:
        with self.log.open("wb") as output:
            self._process = subprocess.Popen([ZHICE, "worker", *self.arguments], stdout=output, stderr=output)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def until(self, reached: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so; fails with the log if the process ends before that, or the time does."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert self._process.poll() is None, f"the worker ended by itself:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"not after {seconds} s:\n{self.log.read_text()}"
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self, how: signal.Signals, seconds: float) -> int:
        """Send a signal; returns the exit code. Raises TimeoutExpired."""
        self._process.send_signal(how)
        return self._process.wait(seconds)


def _options(settings: Settings) -> list[str]:
    options = []
    for name, value in msgspec.structs.asdict(settings).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            options += [f"--{flag}", str(value)]
    return options


def send(settings: Settings, logs: list[list[Record]]) -> None:
    """Send records to the events topic, a list for each partition."""
    asyncio.run(_send(settings, logs))


async def _send(settings: Settings, logs: list[list[Record]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker, enable_idempotence=settings.idempotence)
    await producer.start()
    try:
        for number, log in enumerate(logs):
            for _, timestamp, key, value, headers in log:
                body = b"" if key is None and value is None else value  # a tick: aiokafka wants one of them
                await producer.send(
                    settings.topic("events"), body, key, number, timestamp_ms=timestamp, headers=list(headers)
                )
        await producer.flush()
    finally:
        await producer.stop()


def read_topic(settings: Settings, kind: str) -> list[ConsumerRecord]:
    """All records of a topic, in order within each partition."""
    return asyncio.run(_read_topic(settings, settings.topic(kind)))


async def _read_topic(settings: Settings, topic: str) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.broker, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        heard = time.monotonic()
        # the embedded broker reports the base offset of the last batch as the end
        while time.monotonic() - heard < QUIET_S or [tp for tp in ends if await consumer.position(tp) < ends[tp]]:
            for some in (await consumer.getmany(timeout_ms=100)).values():
                records += some
                heard = time.monotonic()
        return records
    finally:
        await consumer.stop()
