"""Ctrl-C at bad moments: while DuckDB works, and while a replay starts the process that sends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.layout import Layout
from sinks.writer import Lake
from streams import replay
from streams.broker import free_port
from streams.producing import ReplayError
from streams.settings import Settings
from streams.start import INTERRUPTED, TERMINATED
from tests.forked import Forked
from tests.small_logs import small_catalogue
from tests.workers import ended, start, tail, wait_for

ENDLESS = "SELECT count(*) AS c FROM range(1000000000000) WHERE hash(range) = 5"
STOPS_IN_S = 30  # on a busy machine; the query would take hours


def test_a_query_ends_at_once(tmp_path: Path) -> None:
    """DuckDB's threads work on, and the thread that waits for them hears no signal."""
    Lake(tmp_path / "lake", small_catalogue())
    began, log = tmp_path / "began", tmp_path / "log"
    query = f"COPY (SELECT 1) TO '{began}' (FORMAT csv); {ENDLESS}"
    with ended(Forked(["sql", "--lake", str(tmp_path / "lake"), query], log)) as process:
        wait_for(began.exists, "the query begins", 20, log)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOPS_IN_S) == INTERRUPTED
    assert tail(log) == "zhice: stopped\n"


BACKGROUND = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # where a shell has no Ctrl-C for it


@pytest.mark.parametrize("shell", ["", BACKGROUND])
def test_sigterm_tidies_up_as_ctrl_c_does(shell: str, tmp_path: Path) -> None:
    (source := tmp_path / "source.csv").write_text("one\n1\n")
    (folder := tmp_path / "tmp").mkdir()
    words = ["backtest", str(source), "--sql", ENDLESS, "--lake", str(tmp_path / "lake")]
    command = ["-c", f"{shell}from streams.start import run; run()", *words]
    with ended(start(command, log := tmp_path / "log", TMPDIR=str(folder))) as process:
        wait_for(lambda: any(folder.iterdir()), "the query begins", 20, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOPS_IN_S) == TERMINATED
    assert tail(log) == "zhice: stopped\n" and not any(folder.iterdir())


IMPORTING = """
import signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == "rich_click":
            signal.raise_signal(signal.SIG)

sys.meta_path.insert(0, Finder())
from streams.start import run
run()
"""


@pytest.mark.parametrize(("number", "code"), [("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED)])
def test_a_signal_before_there_is_a_command_is_one_line(number: str, code: int) -> None:
    program = [sys.executable, "-c", IMPORTING.replace("SIG)", f"{number})"), "sql"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "zhice: stopped\n")


def test_the_process_that_sends_leaves_ctrl_c_to_the_one_that_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it starts: it goes on, and says in its own words that it found no broker."""

    async def run(_settings: object, _layout: object, _lake: object, job: Callable[[Any], Any]) -> None:
        (sender,) = multiprocessing.active_children()
        os.kill(sender.pid or 0, signal.SIGINT)
        await job(SimpleNamespace())

    monkeypatch.setattr(replay.app, "run", run)
    settings = Settings(broker=f"127.0.0.1:{free_port()}")
    (file := tmp_path / "bank.jsonl").touch()
    lake, layout = Lake(tmp_path / "lake", small_catalogue()), Layout.compile(small_catalogue())
    with pytest.raises(ReplayError, match="KafkaConnectionError"):
        replay.follow(settings, layout, lake, file, lambda _: None)
