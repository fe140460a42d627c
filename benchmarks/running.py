"""One contender over one log, once: what it answered, and what it took. The clock is that of job.md."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import ZHICE, Contender
from benchmarks.kafka import TriggerReader, make_topic, trigger_of
from benchmarks.log import PARTITIONS, closing_customers
from benchmarks.reference import Trigger

POLL_S = 0.01
STOP_S = 120.0  # for a contender to end after it was told to
START_S = 60.0
STRAGGLE_S = 60.0  # for what a mini-batch puts out after the last trigger of every partition
QUIET_S = 1.0  # without a trigger: then those that were read are decoded
LINGER_S = 5.0  # after its end, for what it published to be read
ENDED_WELL = (0, 128 + signal.SIGTERM)  # the second is a JVM's, after its shutdown hooks
KILLED = -signal.SIGTERM  # it does nothing when it is told to end
SLOWEST_RATE = 500  # events/s; slower than that has failed


class RunError(RuntimeError):
    """A run that does not count; the message says why."""


@dataclass(frozen=True)
class Run:
    """Of one run. Times in s, from the first record; `durable_s` is None for who does not end by committing."""

    events: int
    seconds: float
    durable_s: float | None
    cpu_s: float
    memory_mb: float
    load: float  # of the machine over the last minute, when its clock had stopped: about its own, if nothing else ran

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def durable_rate(self) -> float | None:
        return self.events / self.durable_s if self.durable_s else None


class Process:
    """A contender's process, with its own folder; all it says goes to a file."""

    def __init__(self, contender: Contender, command: list[str], given: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"bench-{contender.name}-"))
        self._log = self.folder / "log"
        (self.folder / "work").mkdir()
        own = {"BENCH_FOLDER": str(self.folder / "work"), "ZHICE_LAKE": str(self.folder / "work" / "lake")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=Path(__file__).parent.parent,
                env=os.environ | given | contender.environment | own,
            )  # fmt: skip
        self.ended_at: float | None = None
        self.code = 0
        self.cpu_s = self.memory_mb = 0.0

    def running(self) -> bool:
        """Whether it still is; notes its end and what it used."""
        if self.ended_at is None:
            self._note_memory()
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self.ended_at = time.time()
                self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = used.ru_utime + used.ru_stime
        return self.ended_at is None

    def _note_memory(self) -> None:
        """The largest so far, as Linux has it; rusage would count what this process had when it forked."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                self.memory_mb = int(found[1]) / 1024

    def tell(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> None:
        """Until it has ended. Raises RunError."""
        deadline = time.monotonic() + timeout_s
        while self.running():
            if time.monotonic() > deadline:
                raise RunError(f"did not end within {timeout_s:g} s\n{self.tail()}")
            time.sleep(POLL_S)

    def said(self, what: str) -> float:
        """The time that it printed. Raises RunError."""
        found = re.search(rf"{what} ([\d.]+)", self._log.read_text(errors="replace"))
        if not found:
            raise RunError(f"never said «{what}»\n{self.tail()}")
        return float(found[1])

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def remove(self) -> None:
        """kill -9 if it still runs, and away with its folder."""
        if self.running():
            self._process.kill()
            self.wait(STOP_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def run(
    contender: Contender,
    command: list[str],
    broker: str,
    prefix: str,
    answer: Mapping[str, Trigger],
    events: int,
    number: int,
) -> Run:
    """Run it over the log in the topic `prefix.events`. Raises RunError where it fails or its answer differs."""
    topic = f"{prefix}.triggers"
    make_topic(broker, topic)
    process = Process(contender, command, _given(broker, prefix, f"{contender.name}-{number}"))
    try:
        if contender.publishes:
            return _until_published(process, contender, TriggerReader(broker, topic), answer, events)
        process.wait(START_S + events / SLOWEST_RATE)
        seconds = process.said("last record") - process.said("first record")
        return Run(events, seconds, None, process.cpu_s, process.memory_mb, os.getloadavg()[0])
    finally:
        process.remove()


def _given(broker: str, prefix: str, group: str) -> dict[str, str]:
    bench = {
        "BROKER": broker, "EVENTS": f"{prefix}.events", "TRIGGERS": f"{prefix}.triggers", "GROUP": group,
        "PARTITIONS": str(PARTITIONS),
    }  # fmt: skip
    zhice = {
        "BROKER": broker, "PREFIX": prefix, "APP": group, "PARTITIONS": str(PARTITIONS),
        "CATALOGUE": str(ZHICE / "catalogue.toml"),
        "TICK_MS": "0",  # ticks would stay in the log, which is the next contender's, too
    }  # fmt: skip
    return {f"BENCH_{name}": value for name, value in bench.items()} | {
        f"ZHICE_{name}": value for name, value in zhice.items()
    }


def _until_published(
    process: Process, contender: Contender, reader: TriggerReader, answer: Mapping[str, Trigger], events: int
) -> Run:
    try:
        found = Found(answer)
        deadline = time.monotonic() + START_S + events / SLOWEST_RATE
        while found.waiting:
            found.take(reader.read(POLL_S))
            if found.waiting and not found.closing:
                deadline = min(deadline, time.monotonic() + STRAGGLE_S)
            if not process.running() and process.code:
                raise RunError(f"ended with exit code {process.code}\n{process.tail()}")
            if time.monotonic() > deadline or time.time() > (process.ended_at or math.inf) + LINGER_S:
                raise RunError(f"{len(found.waiting)} of {len(answer)} triggers are missing\n{process.tail()}")
        published_at = found.read_at
        if contender.lives:
            process.tell()
        process.wait(STOP_S)
        found.take(reader.read(1.0))
    finally:
        reader.close()
    compare(found.triggers, answer)
    if process.code not in (*ENDED_WELL, KILLED) or process.ended_at is None:
        raise RunError(f"ended with exit code {process.code}\n{process.tail()}")
    first = process.said("first record")
    durable_s = process.ended_at - first if process.code in ENDED_WELL else None
    return Run(events, published_at - first, durable_s, process.cpu_s, process.memory_mb, os.getloadavg()[0])


class Found:
    """What was read of a contender's triggers.

    They are decoded when as many were read as there should be, or when none came for a while: on the cores that the
    contender and the broker work on it would take a second. `waiting`: ids of events whose triggers did not come;
    `closing`: customers whose triggers end a partition's; `read_at`: when the last one was read, Unix time.
    """

    def __init__(self, answer: Mapping[str, Trigger]) -> None:
        self.waiting, self.closing = set(answer), set(closing_customers())
        self.triggers: list[Trigger] = []
        self.read_at = time.time()
        self._answers, self._read = len(answer), list[bytes]()

    def take(self, values: list[bytes]) -> None:
        """Some that were read, or none."""
        if values:
            self._read += values
            self.read_at = time.time()
        if len(self.triggers) + len(self._read) >= self._answers or time.time() > self.read_at + QUIET_S:
            self._decode()

    def _decode(self) -> None:
        read, self._read = self._read, []
        for trigger in map(trigger_of, read):  # not only the last of each partition: mini-batches are in any order
            self.triggers.append(trigger)
            self.waiting.discard(trigger.event_id)
            self.closing.discard(trigger.customer_id)


def compare(found: list[Trigger], answer: Mapping[str, Trigger]) -> None:
    """Raises RunError unless the triggers are those of the answer, each once."""
    by_id = {trigger.event_id: trigger for trigger in found}
    if len(by_id) != len(found):
        raise RunError(f"{len(found) - len(by_id)} triggers came twice")
    missing, more = answer.keys() - by_id.keys(), by_id.keys() - answer.keys()
    if missing or more:
        raise RunError(
            f"{len(missing)} triggers are missing, {len(more)} are none; such as {sorted(missing | more)[:3]}"
        )
    for event_id, trigger in by_id.items():
        if trigger != answer[event_id]:
            raise RunError(f"a trigger differs:\n{trigger}\nshould be\n{answer[event_id]}")
