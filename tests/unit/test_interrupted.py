"""Ctrl-C at bad moments: while DuckDB works, and while a replay starts the process that sends."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.layout import Layout
from sinks.writer import Lake
from streams import replay
from streams.broker import free_port
from streams.cli import INTERRUPTED
from streams.producing import ReplayError
from streams.settings import Settings
from tests.forked import Forked
from tests.small_logs import small_catalogue
from tests.workers import ended, tail, wait_for

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
