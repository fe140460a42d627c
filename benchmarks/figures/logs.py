"""Simulated logs, and lakes of them, as the figures need them."""

from __future__ import annotations

from pathlib import Path

from streams import backtest
from streams.backtest import Backtest
from streams.simulate import SimulationSettings, write_file

SEED = 1
PARTITIONS = 4


def simulated(folder: Path, events: int, customers: int, days: int) -> Path:
    """A file of records of retail_bank; one that is there is used again."""
    path = folder / f"bank-{events}-{customers}-{days}.jsonl"
    if not path.exists():
        write_file(SimulationSettings(seed=SEED, events=events, customers=customers, days=days), path)
    return path


def backtested(records: Path, lake: Path, threads: int, catalogue: str = "", partitions: int = PARTITIONS) -> int:
    """Backtest a file of records into a lake; returns the number of records."""
    job = Backtest(str(records), catalogue, str(lake), "zhice.events", partitions)
    return backtest.run(job, threads, lambda _: None)
