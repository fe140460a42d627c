"""A worker as a process of its own, and what it answers over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from streams.broker import free_port
from tests.forked import Forked
from tests.workers import STOP_S, stacks

TOKEN = "offen-0451"
DEADLINE_S = 60
DEFAULTS = {
    "http_token": TOKEN, "log_level": "debug", "checkpoint_s": "0.5", "session_timeout_s": "6",
    "rebalance_timeout_s": "4",
}  # fmt: skip


class Worker:
    """`zhice worker` with HTTP, all settings from the environment; its log is a file."""

    def __init__(self, given: dict[str, str], log: Path) -> None:
        self.port, self.log = free_port(), log
        given = DEFAULTS | given | {"http": str(self.port)}
        environment = {f"ZHICE_{key.upper()}": value for key, value in given.items()}
        self.process = Forked(["worker"], log, environment=environment)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """(status, body); status 0 while nobody listens."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", headers=headers), timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def health(self) -> tuple[int, dict[str, Any]]:
        status, body = self.get("/health")
        return status, json.loads(body or "{}")

    def metrics(self) -> dict[str, float]:
        """Of each name the sum over its labels."""
        _, text = self.get("/metrics")
        sums: dict[str, float] = {}
        for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def profile(self, customer: str) -> tuple[int, dict[str, Any]]:
        status, body = self.get(f"/customers/{customer}", Authorization=f"Bearer {TOKEN}")
        return status, json.loads(body)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(STOP_S)

    def wait(self, timeout_s: float) -> int:
        """The exit code of one that ends by itself; fails with its log and where it stands if it does not."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {timeout_s:g} s\n{stacks(self.process, self.log)}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def processed(workers: Sequence[Worker]) -> float:
    """Records that they have read since they started."""
    return sum(worker.metrics().get("zhice_records_total", 0.0) for worker in workers)


def until(what: Callable[[], object], said: Callable[[], object]) -> None:
    """Wait; fails with what is `said`."""
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)
