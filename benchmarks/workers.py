"""`zhice worker` as a process of its own, and what it answers over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from streams.broker import free_port
from streams.settings import ENV_PREFIX, Settings


class Worker:
    """A worker with these settings; all it says goes to a file in the folder."""

    def __init__(self, settings: Settings, name: str, folder: Path) -> None:
        self.port, self.log = free_port(), folder / f"{name}.log"
        self.started = time.monotonic()
        given = {field: getattr(settings, field) for field in settings.__struct_fields__}
        given |= {"instance_id": name, "http": self.port}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "zhice"), "worker"],
                env=os.environ | {f"{ENV_PREFIX}{field.upper()}": str(value) for field, value in given.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def health(self) -> dict[str, Any]:
        """Empty while nobody listens. Raises SystemExit when it has ended."""
        if self.process.poll() is not None:
            raise SystemExit(f"the worker ended with {self.process.returncode}:\n{self.tail()}")
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=30) as answer:
                return dict(json.load(answer))
        except HTTPError as error:
            with error:
                return dict(json.load(error))
        except (URLError, OSError):
            return {}

    def is_ready(self) -> bool:
        return bool(self.health().get("ready"))

    def metric(self, name: str, otherwise: float = 0.0) -> float:
        """The sum over its labels."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            lines = [line for line in answer.read().decode().splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines) if lines else otherwise

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def ended(worker: Worker) -> Iterator[Worker]:
    """The worker, killed at the end if it still runs."""
    try:
        yield worker
    finally:
        worker.kill()


def wait(condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    """Poll until it holds. Raises SystemExit."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{otherwise} within {timeout_s:g} s")
        time.sleep(0.1)
