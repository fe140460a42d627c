"""The brokers of tests: Apache Kafka, one for all processes of a run, by Java or else by Docker."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from streams.broker import EmbeddedBroker
from streams.kafka_broker import ApacheKafka, missing_for_apache_kafka

DOCKER_IMAGE = "confluentinc/cp-kafka:8.0.0"  # Apache Kafka 4.0, in the layout that testcontainers starts
SHARED = "apache-kafka"  # a file with the address of the one that runs


class Broker(Protocol):
    """What a test needs of a broker."""

    @property
    def address(self) -> str: ...


@dataclass(frozen=True)
class RunningBroker:
    """A broker that Docker or another process runs."""

    address: str


def has_transactions(broker: Broker) -> bool:
    """The embedded one has none."""
    return not isinstance(broker, EmbeddedBroker)


@contextmanager
def shared(folder: Path, start: Callable[[], AbstractContextManager[Broker]]) -> Iterator[Broker]:
    """A broker that the first process to ask starts, and stops when no other one has it any more.

    Who has it holds a shared lock on the file with its address, which ends with its process however that happens.
    """
    with (folder / SHARED).open("a+") as users, (folder / f"{SHARED}.lock").open("a") as one:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        users.seek(0)
        if address := users.read():
            fcntl.flock(one, fcntl.LOCK_UN)
            yield RunningBroker(address)
            return
        with start() as broker:
            users.write(broker.address)
            users.flush()
            fcntl.flock(one, fcntl.LOCK_UN)
            yield broker
            fcntl.flock(users, fcntl.LOCK_EX)
            users.truncate(0)


def apache_kafka() -> AbstractContextManager[Broker]:
    """Apache Kafka 4.x: by Java where it is, else by Docker; without either skipped, in CI failed."""
    missing = missing_for_apache_kafka()
    if not missing:
        return ApacheKafka()
    if _docker_runs():
        return _container()
    reason = f"no Apache Kafka to test with: install {missing}, or start Docker"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}. In CI these tests must run")
    pytest.skip(reason)


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    return bool(docker) and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


@contextmanager
def _container() -> Iterator[Broker]:
    from testcontainers.community.kafka import KafkaContainer

    container = KafkaContainer(DOCKER_IMAGE).with_kraft()
    for name, value in (
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
        ("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000"),
    ):
        container.with_env(name, value)
    try:
        container.start(timeout=120)  # its own `with` would start another one, and wait 30 s
        yield RunningBroker(container.get_bootstrap_server())
    finally:
        container.stop()
