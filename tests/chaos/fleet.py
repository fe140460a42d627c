"""Workers as processes, and the supervisor that starts those anew that end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from streams.settings import Settings
from tests import workers
from tests.workers import STOP_S, options, tail

LOOK_S = 0.1
ZHICE = Path(sys.executable).parent / "zhice"


class Fleet:
    """Worker number n runs while n is `wanted`. A context manager: at its end all are killed."""

    def __init__(self, settings: Settings, log: Path, count: int) -> None:
        self.settings, self.log = settings, log
        self.wanted = set(range(count))
        self.kills = self.starts = 0
        self.ended: Counter[int] = Counter()  # exit codes of those that nobody killed
        self.die_at: dict[int, list[str]] = {}  # steps at which the next starts of a worker die, see tests/kill_at.py
        self._running: dict[int, subprocess.Popen[bytes]] = {}
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
        if process is not None:
            self.ended[process.returncode] += 1
        steps = self.die_at.get(number)
        program = ["-m", "tests.kill_at", steps.pop(0)] if steps else [str(ZHICE)]
        self._running[number] = workers.start([*program, "worker", *options(self.settings)], self.log)
        self.starts += 1

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
            leaving = [self._running.pop(number) for number in numbers if number in self._running]
        for process in leaving:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        return [_code(process, deadline) for process in leaving]

    def leave_all(self) -> list[int]:
        """SIGTERM to all at once."""
        return self.leave(*sorted(self.wanted))

    def last_words(self) -> list[str]:
        """What workers said when they ended by themselves."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sorted({line[:300] for line in lines if line.startswith(("zhice: ", "Error: "))})

    def tail(self) -> str:
        """The end of the workers' log."""
        return tail(self.log)


def _code(process: subprocess.Popen[bytes], deadline: float) -> int:
    try:
        return process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        workers.kill(process)
        return process.returncode
