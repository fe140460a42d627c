"""What simulated customers answer to the triggers that a worker will send for their log.

A backtest says which those are: it makes the stream's decisions, ids and all. What became of them is reported at the
end of the log, as by a channel that sends a file a day: nothing before it moves, so every id stays.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.errors import UserError
from sinks.lake import connect
from streams import backtest as backtests
from streams import bank_app, bank_text
from streams.backtest import Backtest
from streams.bank import Bank, SimulationSettings
from streams.record_files import LINES
from streams.settings import Settings
from streams.simulate import write_file


class AnswersError(UserError):
    """Answers cannot be added to a file; the message says what to do."""


def write_answered(simulation: SimulationSettings, path: Path, settings: Settings) -> int:
    """Simulate into a file of lines, and add answers as `append_answers` does. Raises AnswersError, SimulationError."""
    _check_suffix(path)
    write_file(simulation, path)
    return append_answers(path, simulation, settings)


def append_answers(path: Path, simulation: SimulationSettings, settings: Settings) -> int:
    """Add answers to a file of lines that was simulated so, for a worker with these settings; returns how many.

    Raises AnswersError.
    """
    _check_suffix(path)
    with tempfile.TemporaryDirectory(prefix="zhice-answers-") as lake:
        backtest = Backtest(str(path), settings.catalogue, lake, settings.topic("events"), settings.partitions)
        backtests.run(backtest, os.cpu_count() or 1, lambda _: None)
        bank = _answered(simulation, lake)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in _lines(bank))
    return sum(map(len, bank.blocks))


def _check_suffix(path: Path) -> None:
    if path.suffix not in LINES:
        raise AnswersError(f"{path}: answers are added at the end, to a file that ends in {' or '.join(LINES)}")


def _answered(simulation: SimulationSettings, lake: str) -> Bank:
    """A bank where nothing happens but answers to the triggers of a lake."""
    bank = Bank(simulation, events=0)
    with connect(lake) as connection:
        found = connection.execute(
            "SELECT id, customer_id[2:]::BIGINT AS customer, action, channel, epoch_ms(decided_at) AS decided_at "
            "FROM triggers ORDER BY decided_at, id"
        ).fetchnumpy()
    trigger = '"%s"', found["id"]
    bank_app.answers(bank, found["customer"], found["decided_at"], trigger, found["action"], found["channel"])
    return bank


def _lines(bank: Bank) -> Iterator[str]:
    number = bank.settings.records  # behind those of the log's own events
    for block in bank.blocks:
        rows = np.arange(len(block))
        ids = bank_text.event_ids(number + rows, bank.settings.seed)
        yield from bank_text.texts(block, rows, ids, np.full(len(block), bank.end_ms))
        number += len(block)
