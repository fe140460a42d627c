"""`zhice` in processes that are forked from one that has imported everything, which saves 3 s of CPU a start.

A process can kill itself with SIGKILL the n-th time that it reaches a step; see streams/steps.py for their names.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

PR_SET_PDEATHSIG = 1
POLL_S = 0.05
ONE_READS = threading.RLock()  # an exit code can be read once, and each start reads those of all
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.preload"])
NOTHING: Mapping[str, str] = MappingProxyType({})


class Forked:
    """A process, with what tests use of subprocess.Popen."""

    def __init__(self, words: list[str], log: Path, die_at: str = "", environment: Mapping[str, str] = NOTHING) -> None:
        """`zhice WORDS`; output goes to the end of `log`. `die_at` is STEP or STEP:COUNT."""
        log.touch()  # who waits for a line of it may look at once
        self._process = SERVER.Process(target=run, args=(words, str(log), die_at, dict(environment)))
        with ONE_READS:
            self._process.start()

    @property
    def returncode(self) -> int | None:
        with ONE_READS:
            return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (code := self.returncode) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("zhice", timeout or 0)
            time.sleep(POLL_S)
        return code

    def send_signal(self, what: signal.Signals) -> None:
        if self.returncode is None and self._process.pid:
            os.kill(self._process.pid, what)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(words: list[str], log: str, die_at: str, environment: dict[str, str]) -> None:
    """In the child: the command; its exit code is the process's."""
    from streams.cli import main

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # the server's end is its end
    with open(log, "ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    if die_at:
        _kill_at(die_at)
    os.environ |= environment
    sys.argv = ["zhice", *words]
    main()


def _kill_at(die_at: str) -> None:
    """Replace the hook of the steps."""
    from streams import steps

    name, _, times = die_at.partition(":")
    wanted, left = steps.Step(name), int(times or 1)

    def reached(step: steps.Step) -> None:
        nonlocal left
        left -= step == wanted
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.reached = reached
