"""Two workers with HTTP on Apache Kafka: health, metrics, profiles by way of the other one, and what the logs hold."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sinks.lake import connect
from streams.broker import free_port
from streams.replay import produce
from streams.routing import partition_of
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from tests.integration.conftest import Broker, archived

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
TOKEN = "offen-0451"
DEADLINE_S = 60
SECRET_WORDS = ("event_id", "properties", "amount")  # of payloads, good and broken


class Worker:
    """`zhice worker` with HTTP; its log is a file."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.port, self.log = free_port(), Path(settings.lake).with_name(f"{name}.log")
        given = {
            "broker": settings.broker, "prefix": settings.prefix, "app": settings.app, "lake": settings.lake,
            "http": str(self.port), "http_token": TOKEN, "log_format": "json", "log_level": "debug",
            "checkpoint_s": "0.5", "tick_ms": "500", "session_timeout_s": "6", "rebalance_timeout_s": "4",
        }  # fmt: skip
        env = {**os.environ, **{f"ZHICE_{key.upper()}": value for key, value in given.items()}}
        with self.log.open("ab") as out:
            command = [str(Path(sys.executable).parent / "zhice"), "worker"]
            self.process = subprocess.Popen(command, env=env, stdout=out, stderr=out)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """(status, body); status 0 while nobody listens."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", headers=headers), timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def health(self) -> tuple[int, dict[str, Any]]:
        status, body = self.get("/health")
        return status, json.loads(body or "{}")

    def metrics(self) -> dict[str, float]:
        """Of each name the sum over its labels."""
        _, text = self.get("/metrics")
        sums: dict[str, float] = {}
        for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def profile(self, customer: str) -> tuple[int, dict[str, Any]]:
        status, body = self.get(f"/customers/{customer}", Authorization=f"Bearer {TOKEN}")
        return status, json.loads(body)


@contextmanager
def two_workers(settings: Settings) -> Iterator[list[Worker]]:
    workers = [Worker(settings, name) for name in ("one", "two")]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()


def until(what: Callable[[], object], said: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)


def write_log(path: Path) -> int:
    """Simulated events, a tenth of them broken; returns how many."""
    written = write_file(SimulationSettings(events=2000, customers=100, days=5, broken=0.1), path)
    return written.records


@pytest.fixture
def settings(apache_kafka: Broker, topic_prefix: str, tmp_path: Path) -> Settings:
    return Settings(broker=apache_kafka.address, prefix=topic_prefix, app=topic_prefix, lake=str(tmp_path / "lake"))


def test_two_workers_in_operation(settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings, keep_forever=True)
    records = write_log(tmp_path / "bank.jsonl")
    produce(settings, str(tmp_path / "bank.jsonl"))
    with two_workers(settings) as workers:
        until(lambda: workers[0].get("/health")[0] == 503, lambda: "never unready")
        until(lambda: ready(workers) and processed(workers) >= records, lambda: [w.health() for w in workers])
        until(lambda: archived(settings) >= records // 2, lambda: archived(settings))
        customers = known_customers(settings)
        check_profiles(workers, customers, settings.partitions)
        check_metrics(workers, settings)
        for worker in workers:
            worker.process.send_signal(signal.SIGTERM)
        assert [worker.process.wait(25) for worker in workers] == [0, 0]
        check_logs(workers, customers)


def ready(workers: list[Worker]) -> bool:
    """Both are, with half of the partitions each."""
    answers = [worker.health() for worker in workers]
    return all(status == 200 and len(body["restored"]) == 2 for status, body in answers)


def processed(workers: list[Worker]) -> float:
    return sum(worker.metrics().get("zhice_records_total", 0.0) for worker in workers)


def known_customers(settings: Settings) -> list[str]:
    with connect(settings.lake) as lake:
        return [name for (name,) in lake.execute("SELECT DISTINCT customer_id FROM events").fetchall()]


def check_profiles(workers: list[Worker], customers: list[str], partitions: int) -> None:
    by_partition = {partition_of(customer.encode(), partitions): customer for customer in customers}
    assert len(by_partition) == partitions
    for customer in by_partition.values():
        for worker in workers:
            status, profile = worker.profile(customer)
            assert (status, profile.get("customer_id")) == (200, customer), profile
            assert {"features", "tags", "stages"} <= set(profile)
    for partition, customer in by_partition.items():  # who owns it answers, the other one must not forward again
        answers = [w.get(f"/customers/{customer}", Authorization=f"Bearer {TOKEN}", **{"Zhice-Forwarded": "1"})[0]
                   for w in workers]  # fmt: skip
        assert sorted(answers) == [200, 503], partition
    assert [workers[0].profile(f"nobody-{number}")[0] for number in range(8)] == [404] * 8
    customer = customers[0]
    assert workers[0].get(f"/customers/{customer}")[0] == 401
    assert workers[0].get(f"/customers/{customer}", Authorization="Bearer falsch")[0] == 401


def check_metrics(workers: list[Worker], settings: Settings) -> None:
    sums = [worker.metrics() for worker in workers]

    def total(name: str) -> float:
        return sum(found[name] for found in sums)

    with connect(settings.lake) as lake:
        counted = [
            lake.execute(query).fetchall()[0][0]
            for query in ("SELECT count(*) FROM events", "SELECT count(*) FROM bad_rows",
                          "SELECT count(*) FROM decisions", "SELECT count(*) FROM triggers")
        ]  # fmt: skip
    names = ("zhice_events_total", "zhice_bad_rows_total", "zhice_decisions_total", "zhice_triggers_total")
    assert [total(name) >= count > 0 for name, count in zip(names, counted, strict=True)] == [True] * 4
    assert total("zhice_candidates_total") == total("zhice_decisions_total")
    assert total("zhice_partitions") == settings.partitions and total("zhice_ready") == 2
    assert total("zhice_lag_records") < 50 and total("zhice_state_rows") >= 100
    for name in ("zhice_checkpoint_seconds_count", "zhice_lake_commit_seconds_count", "zhice_restore_seconds_count"):
        assert total(name) >= 2
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    shown = {re.sub("_(count|sum|bucket)$", "", name) for found in sums for name in found if name.startswith("zhice_")}
    assert [name for name in sorted(shown) if f"`{name}`" not in text] == []


def check_logs(workers: list[Worker], customers: list[str]) -> None:
    for worker in workers:
        text = worker.log.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert any("restored partition" in line["message"] for line in lines)
        assert [customer for customer in customers if customer in text] == []
        assert [word for word in (*SECRET_WORDS, TOKEN) if word in text] == []
