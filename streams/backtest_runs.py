"""Backtest as a command: a file of records through shards, and a progress bar."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from streams import backtest as backtests
from streams.backtest import Backtest
from streams.record_files import count_records
from streams.runs import Done, echo_done, record_file
from streams.show import progress_bar, stopwatch


def run_backtest(backtest: Backtest, sql: str | None, threads: int) -> None:
    """`zhice backtest`; where there is a query, its source is what `backtest.records` names."""
    count = min(threads or os.cpu_count() or 1, backtest.partitions)
    with record_file(Path(backtest.records), sql) as records:
        ready = replace(backtest, records=str(records))
        with progress_bar("backtest", count_records(records)) as progress, stopwatch() as seconds:
            done = Done(progress)
            backtests.run(ready, count, done.add)
            took = seconds()
    echo_done(done.counts, took, backtest.lake)
