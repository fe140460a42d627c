"""Workers as processes, and the supervisor that starts those anew that end."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from streams.settings import Settings
from tests import workers
from tests.forked import Forked
from tests.workers import STOP_S, options, tail

LOOK_S = 0.1
STOPPED = (0, -signal.SIGTERM)  # the latter before it had begun


class Fleet:
    """Worker number n runs while n is `wanted`. A context manager: at its end all are killed.

    Each process has a log of its own in `logs`; `troubled` are those of workers that ended otherwise than wanted.
    """

    def __init__(self, settings: Settings, logs: Path, count: int) -> None:
        self.settings, self.logs = settings, logs
        logs.mkdir()
        self.wanted = set(range(count))
        self.kills = self.starts = self.crashes = 0
        self.ended: Counter[int] = Counter()  # exit codes of those that nobody killed
        self.die_at: list[str] = []  # steps at which the next starts die, see tests/forked.py
        self.troubled: list[Path] = []
        self._running: dict[int, Forked] = {}
        self._step: dict[int, str] = {}  # at which it dies
        self._log: dict[int, Path] = {}  # of a worker's last process
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def __enter__(self) -> Fleet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for process in self._running.values():
            workers.kill(process)

    def _supervise(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._lock:
                for number in sorted(self.wanted):
                    self._look_after(number)

    def _look_after(self, number: int) -> None:
        process = self._running.get(number)
        if process is not None and process.poll() is None:
            return
        if process is not None and (code := process.returncode) is not None:
            self._note_end(number, code)
        self._log[number] = self.logs / f"{self.starts:04d}-worker-{number}.log"
        self._step[number] = self.die_at.pop(0) if self.die_at else ""
        words = ["worker", *options(self.settings)]
        self._running[number] = Forked(words, self._log[number], self._step[number])
        self.starts += 1

    def _note_end(self, number: int, code: int) -> None:
        if self._step[number] and code == -signal.SIGKILL:
            self.crashes += 1
            return
        self.ended[code] += 1
        self.troubled.append(self._log[number])
        if self._step[number]:
            self.die_at.insert(0, self._step[number])

    def running(self) -> list[int]:
        """Numbers of those that run."""
        with self._lock:
            return [number for number, process in sorted(self._running.items()) if process.poll() is None]

    def kill(self, number: int) -> None:
        """kill -9."""
        with self._lock:
            if (process := self._running.pop(number, None)) is not None:
                workers.kill(process)
                self.kills += 1

    def pause(self, number: int) -> None:
        """SIGSTOP."""
        self._signal(number, signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """SIGCONT."""
        self._signal(number, signal.SIGCONT)

    def _signal(self, number: int, what: signal.Signals) -> None:
        with self._lock:
            if (process := self._running.get(number)) is not None and process.poll() is None:
                process.send_signal(what)

    def join(self, number: int) -> None:
        """Let one more work."""
        with self._lock:
            self.wanted.add(number)

    def leave(self, *numbers: int) -> list[int]:
        """SIGTERM to these; returns their exit codes, -9 for one that did not end in time."""
        with self._lock:
            self.wanted -= set(numbers)
            numbers = tuple(number for number in numbers if number in self._running)
            leaving = [self._running.pop(number) for number in numbers]
        for process in leaving:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        codes = [_code(process, deadline) for process in leaving]
        self.troubled += [self._log[number] for number, code in zip(numbers, codes, strict=True) if code not in STOPPED]
        return codes

    def leave_all(self) -> list[int]:
        """SIGTERM to all at once."""
        return self.leave(*sorted(self.wanted))

    def last_words(self) -> list[str]:
        """What workers said when they ended by themselves."""
        lines = [line for log in self._logs() for line in log.read_text(errors="replace").splitlines()]
        return sorted({line[:300] for line in lines if line.startswith(("zhice: ", "Error: "))})

    def count(self, text: str) -> int:
        """How often workers said it."""
        return sum(log.read_text(errors="replace").count(text) for log in self._logs())

    def tail(self) -> str:
        """The ends of the last logs."""
        return "\n".join(f"{log}:\n{tail(log)}" for log in self._logs()[-4:])

    def _logs(self) -> list[Path]:
        return sorted(self.logs.iterdir())


def _code(process: Forked, deadline: float) -> int:
    try:
        return process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        workers.kill(process)
        return process.wait()
