"""A replay through Apache Kafka leaves the lake that a backtest leaves, whatever is wrong with the log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer

from models.layout import Layout
from sinks.lake import connect
from sinks.writer import Lake
from streams import backtest
from streams.backtest import Backtest
from streams.catalogues import read_catalogue
from streams.cli import main
from streams.replay import follow
from streams.replay_runs import embedded_broker
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from tests.brokers import has_transactions
from tests.integration.worked import assert_same_lakes, records_of

pytestmark = pytest.mark.kafka
ZHICE = Path(sys.executable).parent / "zhice"
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


def replay(broker: Any, prefix: str, file: Path, *options: str) -> Result:
    """`zhice replay` onto a broker that runs."""
    transactions = "--transactions" if has_transactions(broker) else "--no-transactions"
    common = ["--no-embedded", "--broker", broker.address, "--prefix", prefix, transactions]
    fast = [] if "--no-work" in options else ["--rebalance-timeout-s", "2", "--session-timeout-s", "6"]
    return CliRunner().invoke(main, ["replay", str(file), *common, *fast, *options])


def test_a_replay_needs_an_empty_topic(broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    """A second one would send all events again, behind those that the state has, and leave an empty lake."""
    write_file(SimulationSettings(events=200, customers=20, days=2), file := tmp_path / "bank.jsonl")
    done = replay(broker, topic_prefix, file, "--lake", str(tmp_path / "lake"))
    assert done.exit_code == 0 and done.output.startswith("200 records in "), done.output
    settings = Settings(broker=broker.address, prefix=topic_prefix)
    before = records_of(settings)
    for options in (["--lake", str(tmp_path / "other")], ["--no-work"]):
        refused = replay(broker, topic_prefix, file, *options)
        assert refused.exit_code == 1
        assert f"{topic_prefix}.events has records already" in refused.output and "--prefix" in refused.output
    assert records_of(settings) == before
    assert not (tmp_path / "other").exists()
    sent = replay(broker, f"{topic_prefix}-2", file, "--no-work")
    assert sent.exit_code == 0 and f"sent to {topic_prefix}-2.events" in sent.output, sent.output


def test_one_record_is_seen_on_the_topic(broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    write_file(SimulationSettings(events=20, customers=2, days=2), file := tmp_path / "bank.jsonl")
    settings = Settings(broker=broker.address, prefix=topic_prefix)
    ensure_topics(settings, keep_forever=True)
    producer = KafkaProducer(bootstrap_servers=broker.address, enable_idempotence=False)
    producer.send(settings.topic("events"), b"an event", b"a customer").get(10)
    producer.close()
    assert "has records already" in replay(broker, topic_prefix, file, "--no-work").output


def test_a_broken_line_ends_a_replay_with_its_number(tmp_path: Path) -> None:
    write_file(SimulationSettings(events=20, customers=2, days=2, broken=0), file := tmp_path / "bank.jsonl")
    file.write_bytes(file.read_bytes() + b"no event\n")
    words = [ZHICE, "replay", file, "--lake", tmp_path / "lake"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"zhice: {file}:21: "), done.stderr


def test_a_broker_of_its_own_is_reached_whatever_the_environment_says_of_another() -> None:
    """A shell has the variables of a cluster with TLS and three brokers: the replay waited for ever, or failed."""
    of_cluster = Settings(
        broker="kafka:9093", security_protocol="SASL_SSL", sasl_username="bank", sasl_password="s", ssl_ca="ca.pem",
        replication=3, partitions=2,
    )  # fmt: skip
    with embedded_broker(of_cluster) as settings:
        assert [topic.partitions for topic in ensure_topics(settings)] == [2] * 7
