"""What an event costs in the decoder and in the shard, against a fixed loop timed in the same process.

`python -m benchmarks.guard` prints the ratios, `--write` commits them to guard.json. tests/integration/test_cost.py
fails when one has grown by half: a machine that is slow or busy slows the fixed loop down as well.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numba
import numpy as np

from models.decoding import Decoder
from models.layout import Layout
from models.records import Records
from models.shard import Shard
from streams.catalogues import read_catalogue
from streams.record_files import read_records
from streams.routing import Router
from streams.simulate import SimulationSettings, write_file

COMMITTED: Final = Path(__file__).with_name("guard.json")
EVENTS: Final = 20_000  # of which the first chunk is taken
RUNS: Final = 7  # of which the fastest counts
STEPS: Final = 1_000_000  # of the fixed loop
TABLE: Final = 1 << 18  # float64 cells that it touches at random: 2 MiB
TOPIC: Final = "guard"


@numba.njit
def fixed_loop(table: np.ndarray, steps: int) -> float:  # type: ignore[type-arg]
    """Arithmetic, branches and memory in about the shares that the engine has."""
    state, total = np.uint64(88172645463325252), 0.0
    for _ in range(steps):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        at = np.int64(state & np.uint64(len(table) - 1))
        table[at] += 1.0
        if table[at] > 3.0:
            total += table[at]
    return total


def ratios() -> dict[str, float]:
    """CPU time of an event by step, in millionths of the fixed loop's: the fastest of `RUNS` each, taken in turns."""
    layout, log = Layout.compile(read_catalogue()), _log()
    decoder, table = Decoder(layout.event_layout), np.zeros(TABLE)
    columns = decoder.columns(TOPIC, 0, log)
    steps: dict[str, Callable[[], object]] = {
        "fixed": lambda: fixed_loop(table, STEPS),
        "decoder": lambda: decoder.columns(TOPIC, 0, log),
        "shard": lambda: Shard(layout, TOPIC, 0).process(columns),
    }
    taken: dict[str, list[int]] = {name: [] for name in steps}
    for _ in range(RUNS + 1):  # the first one warms up
        for name, step in steps.items():
            started = time.thread_time_ns()
            step()
            taken[name].append(time.thread_time_ns() - started)
    least = {name: min(times[1:]) for name, times in taken.items()}
    return {name: round(least[name] / least["fixed"] / log.count * 1e6, 2) for name in steps if name != "fixed"}


def _log() -> Records:
    with tempfile.TemporaryDirectory(prefix="zhice-") as folder:
        file = Path(folder) / "bank.jsonl"
        write_file(SimulationSettings(customers=2_000, days=30, events=EVENTS), file)
        (log,) = next(iter(Router(1).logs(read_records(file))))
    return log


if __name__ == "__main__":
    found = ratios()
    if "--write" in sys.argv[1:]:
        COMMITTED.write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(json.dumps(found))
