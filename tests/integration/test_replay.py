"""A replay through Apache Kafka leaves the lake that a backtest leaves, whatever is wrong with the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.layout import Layout
from sinks.lake import connect
from sinks.writer import Lake
from streams import backtest
from streams.backtest import Backtest
from streams.catalogues import read_catalogue
from streams.replay import follow
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from tests.integration.worked import assert_same_lakes

pytestmark = pytest.mark.kafka
SHARE = 0.05  # of the log, for each of late, duplicate and broken


def test_late_duplicate_and_broken_events_replay_as_they_backtest(
    apache_kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    log, replayed, backtested = tmp_path / "bank.jsonl", tmp_path / "replayed", tmp_path / "backtested"
    written = write_file(
        SimulationSettings(events=20_000, customers=1000, days=20, late=SHARE, duplicates=SHARE, broken=SHARE), log
    )
    settings = Settings(
        broker=apache_kafka.address, prefix=topic_prefix, app=topic_prefix, lake=str(replayed), tick_ms=0,
        checkpoint_s=0.3, fetch_records=1000, session_timeout_s=6.0, rebalance_timeout_s=2.0, profiles=False,
    )  # fmt: skip
    ensure_topics(settings, keep_forever=True)
    catalogue = read_catalogue()
    follow(settings, Layout.compile(catalogue), Lake(settings.lake, catalogue), log, lambda _: None)
    backtest.run(
        Backtest(str(log), settings.catalogue, str(backtested), settings.topic("events"), settings.partitions),
        2,
        lambda _: None,
    )
    assert_same_lakes(replayed, backtested)
    assert written.late > 500 and written.duplicates > 500 and written.broken > 500
    with connect(replayed) as lake:
        ((duplicates,),) = lake.execute("SELECT count(*) FROM events WHERE status = 'duplicate'").fetchall()
        ((broken,),) = lake.execute("SELECT count(*) FROM bad_rows").fetchall()
    assert broken == written.broken
    assert 0.9 * written.duplicates < duplicates <= written.duplicates  # events that nobody declared are no duplicates
