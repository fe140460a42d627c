"""Answers of simulated customers: to the very triggers that the log brings, behind everything that brings them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.lake import connect
from streams.answers import append_answers
from streams.backtest import Backtest, run
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file

BANK = SimulationSettings(seed=5, customers=800, days=60, events=12_000)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """The log before its answers, and the file with them."""
    file = tmp_path_factory.mktemp("answers") / "bank.jsonl"
    write_file(BANK, file)
    before = file.read_bytes()
    assert append_answers(file, BANK, Settings()) == len(file.read_bytes().splitlines()) - BANK.records > 100
    return before, file


def test_answers_come_behind_the_log(answered: tuple[bytes, Path]) -> None:
    before, file = answered
    assert file.read_bytes().startswith(before)


def test_every_trigger_of_the_log_is_answered_in_time(answered: tuple[bytes, Path], tmp_path: Path) -> None:
    """Those of the last day may be not, since nothing is simulated behind it; nor those that the answers bring."""
    _, file = answered
    settings = Settings()
    run(Backtest(str(file), "", str(tmp_path), settings.topic("events"), settings.partitions), 1, lambda _: None)
    with connect(str(tmp_path)) as lake:
        answers = """
            WITH answers AS (
                SELECT properties ->> 'trigger_id' AS id, event_time AS answered_at
                FROM events WHERE event = 'delivered'
            )
            SELECT count(*), count(answered_at),
                   count(*) FILTER (answered_at BETWEEN decided_at AND decided_at + INTERVAL 8 HOURS)
            FROM triggers LEFT JOIN answers USING (id)
            WHERE decided_at < (SELECT max(event_time) FROM events) - INTERVAL 1 DAY
        """
        sent, delivered, in_time = lake.execute(answers).fetchall()[0]
        assert sent == delivered == in_time > 50
        shares = "SELECT clicked, exposed FROM outcomes_by_rule ORDER BY triggers DESC LIMIT 1"
        clicked, exposed = lake.execute(shares).fetchall()[0]
        assert 0 < clicked < exposed < 1
        ids = "SELECT count(*), count(DISTINCT event_id) FROM events WHERE status = 'applied'"
        assert len(set(lake.execute(ids).fetchall()[0])) == 1


def test_the_same_seed_gives_the_same_answers(answered: tuple[bytes, Path], tmp_path: Path) -> None:
    write_file(BANK, again := tmp_path / "bank.jsonl")
    append_answers(again, BANK, Settings())
    assert again.read_bytes() == answered[1].read_bytes()
