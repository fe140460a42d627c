"""`zhice backtest` as a process: Ctrl-C and errors end it with one line and an exit code; no thread stays."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from streams.simulate import SimulationSettings, write_file
from tests.workers import archived

ZHICE = Path(sys.executable).parent / "zhice"
DEADLINE_S = 60


def backtest(log: Path, lake: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ZHICE, "backtest", log, "--lake", lake, "--threads", "2"], stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_ends_it_with_130_and_a_lake_without_halves(tmp_path: Path) -> None:
    write_file(SimulationSettings(customers=20_000, days=20, events=400_000), tmp_path / "bank.jsonl")
    running = backtest(tmp_path / "bank.jsonl", tmp_path / "lake")
    deadline = time.monotonic() + DEADLINE_S
    while not (tmp_path / "lake" / "zhice.json").exists():  # the lake is opened, folding begins
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    said = running.communicate(timeout=DEADLINE_S)[1]
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert archived(tmp_path / "lake") == 0  # the only commit is at the end of so short a log


def test_a_broken_line_ends_it_with_1_and_names_the_line(tmp_path: Path) -> None:
    log = tmp_path / "bank.jsonl"
    write_file(SimulationSettings(customers=20, days=2, events=500, broken=0), log)
    with log.open("ab") as file:
        file.write(b"no event\n")
    running = backtest(log, tmp_path / "lake")
    assert running.stderr is not None
    said = running.communicate(timeout=DEADLINE_S)[1]
    assert running.returncode == 1, said
    assert "bank.jsonl:501: " in said
    assert len(said.splitlines()) == 1, said
