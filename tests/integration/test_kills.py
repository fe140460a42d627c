"""Kill -9 in the middle, and SIGTERM: every event counts once, no trigger is lost, none is in the lake twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from sinks.lake import NoLakeError, connect
from sinks.verify import verify
from streams.catalogues import read_catalogue
from streams.replay import produce
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
EVENTS = 30_000
DEADLINE_S = 90
STOP_S = 25


def start(settings: Settings) -> subprocess.Popen[bytes]:
    options = {
        "broker": settings.broker, "prefix": settings.prefix, "app": settings.app, "lake": settings.lake,
        "tick-ms": 0, "checkpoint-s": 0.3, "session-timeout-s": 6, "rebalance-timeout-s": 2, "fetch-records": 2000,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    flag = "--transactions" if settings.transactions else "--no-transactions"
    command = [str(Path(sys.executable).parent / "zhice"), "worker", flag, *words]
    with Path(settings.lake).with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def archived(settings: Settings) -> int:
    """Records that the lake has; 0 before there is one."""
    try:
        with connect(settings.lake) as lake:
            query = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM bad_rows)"
            return int(lake.execute(query).fetchall()[0][0])
    except NoLakeError:
        return 0


def wait_for(settings: Settings, records: int, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while archived(settings) < records:
        assert worker.poll() is None, Path(settings.lake).with_suffix(".log").read_text()[-3000:]
        assert time.monotonic() < deadline, f"{archived(settings)} of {records} records after {DEADLINE_S} s"
        time.sleep(0.2)


def wait_until_restored(settings: Settings, worker: subprocess.Popen[bytes], before: int) -> None:
    """Until this worker, whose log begins after `before` characters, has said that each partition is restored."""
    log, deadline = Path(settings.lake).with_suffix(".log"), time.monotonic() + DEADLINE_S
    while log.read_text()[before:].count("restored partition") < settings.partitions:
        assert worker.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def published(settings: Settings, kind: str) -> list[str]:
    """The ids on an output topic, repeats among them."""
    consumer = KafkaConsumer(
        settings.topic(kind), bootstrap_servers=settings.broker, auto_offset_reset="earliest", consumer_timeout_ms=4000
    )
    ids = [dict(record.headers)["ce_id"].decode() for record in consumer]
    consumer.close()
    return ids


def test_two_kills_and_a_stop(broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    settings = Settings(
        broker=broker.address, prefix=topic_prefix, app=topic_prefix, lake=str(tmp_path / "lake"),
        transactions="Apache" in type(broker).__name__, tick_ms=0,
    )  # fmt: skip
    ensure_topics(settings, keep_forever=True)
    written = write_file(SimulationSettings(events=EVENTS, customers=2000, days=20), tmp_path / "bank.jsonl")
    produce(settings, str(tmp_path / "bank.jsonl"))
    for share in (0.2, 0.5):
        worker = start(settings)
        wait_for(settings, int(written.records * share), worker)
        worker.kill()
        worker.wait()
    before = len(Path(settings.lake).with_suffix(".log").read_text())
    worker = start(settings)
    wait_until_restored(settings, worker, before)
    wait_for(settings, written.records, worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(STOP_S) == 0
    assert archived(settings) == written.records
    with connect(settings.lake) as lake:
        for table in ("events", "bad_rows"):
            query = f'SELECT count(*) - count(DISTINCT ("partition", "offset")) FROM {table}'
            assert lake.execute(query).fetchall() == [(0,)]
        triggers = [id_ for (id_,) in lake.execute("SELECT id FROM triggers").fetchall()]
    assert len(triggers) == len(set(triggers)) > 0
    assert set(published(settings, "triggers")) == set(triggers)
    report = verify(settings.lake, read_catalogue())
    assert report.mismatches == [] and report.customers > 1000
