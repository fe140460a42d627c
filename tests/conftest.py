"""What all tests share: how hypothesis runs, and brokers, at most one of each kind a process, started when needed."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from hypothesis import settings
from xdist.scheduler.loadgroup import LoadGroupScheduling

from streams.broker import EmbeddedBroker
from streams.kafka_broker import ApacheKafka, missing_for_apache_kafka

GARBAGE = 10_000  # new objects after which garbage is looked for; 700 by default
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"  # brokers of tests are gone before the second compiler pays
DOCKER_IMAGE = "confluentinc/cp-kafka:8.0.0"  # Apache Kafka 4.0, in the layout that testcontainers starts

# In CI the examples are those of every run, so that a red build is about the change; at home they are new each time.
settings.register_profile("zhice", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("zhice")


class Groups(LoadGroupScheduling):
    """One scenario of chaos after another, for each has workers, a broker and deadlines; other tests as they come.

    The marks that pytest-xdist 3.8 has for it find no place in the ids of pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "chaos" if nodeid.startswith("tests/chaos/") else nodeid


def pytest_configure() -> None:
    """A shell ignores SIGINT for what it runs in the background, and what tests start would, too.

    What costs time and shows nothing is done less often: Java compiles once, garbage is looked for seldom.
    """
    os.environ.setdefault("JAVA_TOOL_OPTIONS", JAVA_OPTIONS)
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


class Broker(Protocol):
    """What a test needs of a broker."""

    @property
    def address(self) -> str: ...


@dataclass(frozen=True)
class ContainerBroker:
    """A broker that Docker runs."""

    address: str


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[Broker]:
    """Apache Kafka 4.x: by Java where it is, else by Docker; without either skipped, in CI failed."""
    with _apache_kafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", "apache"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each test that asks for it runs on both brokers."""
    name = {"embedded": "embedded_broker", "apache": "apache_kafka"}[request.param]
    found: Broker = request.getfixturevalue(name)
    return found


@pytest.fixture
def topic_prefix() -> str:
    """A prefix of this test alone: tests of a session share brokers."""
    return f"test-{uuid.uuid4().hex[:12]}"


def _apache_kafka() -> AbstractContextManager[Broker]:
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
        yield ContainerBroker(container.get_bootstrap_server())
    finally:
        container.stop()
