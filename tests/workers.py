"""`zhice worker` as processes of their own, for tests that kill them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from sinks.about import NoLakeError
from sinks.lake import connect
from streams.settings import Settings
from tests.forked import Forked

ROOT = Path(__file__).parents[1]
POLL_S = 0.2
STOP_S = 25
STACKS_S = 20.0  # for a worker to say where it stands; one whose loop hangs does not
STOOD = re.compile(r"^\d+ tasks$", re.MULTILINE)  # its last line about that

Process = subprocess.Popen[bytes] | Forked
P = TypeVar("P", subprocess.Popen[bytes], Forked)


def options(settings: Settings) -> list[str]:
    """A command's words for every setting that differs from its default."""
    words: list[str] = []
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if value != getattr(Settings(), name):
            flag = name.replace("_", "-")
            words += (
                [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
            )
    return words


def start(command: list[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a Python program whose output goes to the end of a file."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *command], stdout=file, stderr=file, cwd=ROOT, env=os.environ | environment
        )


def start_worker(settings: Settings, log: Path) -> Forked:
    """`zhice worker`, in a process that is forked."""
    return Forked(["worker", *options(settings)], log)


@contextmanager
def ended(process: P) -> Iterator[P]:
    """The process, killed at the end if it still runs."""
    try:
        yield process
    finally:
        kill(process)


def kill(process: Process) -> None:
    """kill -9, also of one that is stopped."""
    if process.poll() is None:
        process.kill()
    process.wait()


def stop(process: Process, log: Path) -> None:
    """SIGTERM; it must end well and in time."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_S) == 0, tail(log)


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float, log: Path | None = None) -> None:
    """Poll until it holds. Raises AssertionError after `timeout_s`, with the end of the log."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}\n{tail(log) if log else ''}")
        time.sleep(POLL_S)


def stacks(process: Process, log: Path) -> str:
    """The whole log of a worker, and in it where each of its threads and tasks stands now, if it says so in time."""
    process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + STACKS_S
    while not STOOD.search(said := log.read_text(errors="replace")) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return said


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""


def ask(lake: str | Path, query: str) -> list[Any]:
    """Rows of a query over a lake; none before there is one."""
    try:
        with connect(lake) as connection:
            return connection.execute(query).fetchall()
    except NoLakeError:
        return []


def archived(lake: str | Path) -> int:
    """Records that a lake holds: events and bad rows, as the tables' logs count them."""
    return sum(_rows(Path(lake) / table) for table in ("events", "bad_rows"))


def _rows(place: Path) -> int:
    try:
        return int(DeltaTable(place).count())
    except TableNotFoundError:
        return 0
