"""Where a backtest's microseconds go: the CPU of each step, as its threads count it.

    python -m benchmarks.steps [--events 1000000] [--customers 100000]

The functions of a step are wrapped; each counts its own time, without that of those that it calls.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq

from models import engine
from models.decoding import Decoder
from models.shard import Shard, _Step
from models.shard_rows import Rows
from sinks import day_files
from sinks.parts import Part
from sinks.rows import RowMaker
from sinks.writer import Lake
from streams import backtest, compiling
from streams.backtest import Backtest
from streams.routing import Router
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file

FOLDS = 2  # threads that fold
STEPS: dict[str, tuple[tuple[Any, str], ...]] = {
    "read lines": ((backtest, "read_records"),),
    "route to partitions": ((Router, "logs"),),
    "decode to columns": ((Decoder, "columns"),),
    "rows of customers and instances": ((Rows, "find"),),
    "engine, with snapshots": ((engine, "run"),),
    "decisions": ((_Step, "drain"), (_Step, "release"), (Shard, "_decisions")),
    "what a batch puts out as arrays, metrics": ((Shard, "process"), (Shard, "finish")),
    "lake: rows": ((RowMaker, "tables"), (Part, "after")),
    "lake: sort, gather": ((day_files, "whole"), (day_files, "_days"), (day_files, "required")),
    "lake: Parquet": ((pq, "write_table"),),
    "lake: log": ((Lake, "commit"),),
    "lake: compaction": ((backtest, "compact"),),
}


class Stopwatch:
    """CPU time of steps, each in whatever threads; `seconds` by step."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._inner = threading.local()  # .seconds: a number for each step that runs, of those inside of it

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count for a step what passes, but for steps inside of it."""
        running: list[float] = self._inner.__dict__.setdefault("seconds", [])
        running.append(0.0)
        begun = time.thread_time()
        try:
            yield
        finally:
            took, inside = time.thread_time() - begun, running.pop()
            if running:
                running[-1] += took
            with self._lock:
                self.seconds[name] += took - inside

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, as a step of this name; of a generator what makes its values."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            with self.step(name):
                return function(*arguments, **options)

        @wraps(function)
        def generate(*arguments: Any, **options: Any) -> Iterator[Any]:
            values, end = function(*arguments, **options), object()
            while True:
                with self.step(name):
                    value = next(values, end)
                if value is end:
                    return
                yield value

        return generate if inspect.isgeneratorfunction(function) else call


def measure(simulation: SimulationSettings) -> Iterator[tuple[str, float]]:
    """(step, µs of CPU a record), the largest first, and that of the whole process: also what is no step."""
    settings, watch = Settings(), Stopwatch()
    with tempfile.TemporaryDirectory(prefix="zhice-steps-") as name, ExitStack() as stack:
        file = Path(name) / "bank.jsonl"
        records = write_file(simulation, file).records
        for step, functions in STEPS.items():
            for owner, function in functions:
                wrapped = watch.wrapped(step, getattr(owner, function))
                stack.enter_context(mock.patch.object(owner, function, wrapped))
        job = Backtest(str(file), settings.catalogue, str(Path(name) / "lake"), "events", settings.partitions)
        begun = time.process_time()
        backtest.run(job, FOLDS, lambda _: None)
        used = time.process_time() - begun
    yield from ((step, took / records * 1e6) for step, took in watch.seconds.most_common())
    yield "all", used / records * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, default=100_000)
    asked = parser.parse_args()
    compiling.ensure_kernels()
    for step, micros in measure(SimulationSettings(events=asked.events, customers=asked.customers, days=30)):
        print(f"{step:<42} {micros:>6.2f} µs", flush=True)


if __name__ == "__main__":
    main()
