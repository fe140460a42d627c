"""What all tests share: how hypothesis runs, where temporary files are, and brokers, started when one is needed."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler.loadgroup import LoadGroupScheduling

from streams.broker import EmbeddedBroker
from tests import brokers
from tests.brokers import Broker

SHARING = ("tests/unit/", "tests/integration/test_secure_kafka.py")
GARBAGE = 10_000  # new objects after which garbage is looked for; 700 by default
MEMORY = Path("/dev/shm")  # files that need no disk: a run makes 60,000, and a disk takes 1 ms and more to make one
MEMORY_BYTES = 2 << 30  # that must be free there; a run uses half a gigabyte at once
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"  # brokers of tests are gone before the second compiler pays

# In CI the examples are those of every run, so that a red build is about the change; at home they are new each time.
settings.register_profile("zhice", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("zhice")


class Groups(LoadGroupScheduling):
    """Which tests one process runs one after another; others run as they come.

    The scenarios of chaos, for each has workers, a broker and deadlines; and files whose tests share what takes long to
    make. The marks that pytest-xdist 3.8 has for it find no place in the ids of pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/chaos/"):
            return "chaos"
        return nodeid.partition("::")[0] if nodeid.startswith(SHARING) else nodeid


def pytest_configure() -> None:
    """A shell ignores SIGINT for what it runs in the background, and what tests start would, too.

    What costs time and shows nothing is done less often: Java compiles once, garbage is looked for seldom, and
    temporary files lie in memory where there is room, unless TMPDIR says where.
    """
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    os.environ.setdefault("JAVA_TOOL_OPTIONS", JAVA_OPTIONS)
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _has_room(folder: Path) -> bool:
    """Whether tests may write there, and run what they write."""
    if not os.access(folder, os.W_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free > MEMORY_BYTES


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    config.option.loadscopereorder = False  # by how many tests a group has
    return Groups(config, log)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One for all of pytest's processes: while nobody asks it takes a fiftieth of a core."""
    own = tmp_path_factory.getbasetemp()
    with brokers.shared(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own, brokers.apache_kafka) as broker:
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
