"""Two workers with HTTP on Apache Kafka: health, metrics, profiles by way of the other one, and what the logs hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sinks.lake import connect
from streams.producing import produce
from streams.routing import partition_of
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from tests.brokers import Broker
from tests.integration.served import TOKEN, Worker, processed, until
from tests.workers import archived

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
SECRET_WORDS = ("event_id", "properties", "amount")  # of payloads, good and broken


@contextmanager
def two_workers(settings: Settings, folder: Path) -> Iterator[list[Worker]]:
    given = {
        "broker": settings.broker, "prefix": settings.prefix, "app": settings.app, "lake": settings.lake,
        "log_format": "json", "tick_ms": "500",
    }  # fmt: skip
    with Worker(given, folder / "one.log") as one, Worker(given, folder / "two.log") as two:
        yield [one, two]


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
    customers = sorted(set(re.findall(r"\bC\d{8}\b", (tmp_path / "bank.jsonl").read_text(encoding="utf-8"))))
    produce(settings, str(tmp_path / "bank.jsonl"))
    with two_workers(settings, tmp_path) as workers:
        until(lambda: workers[0].get("/health")[0] == 503, lambda: "never unready")
        until(lambda: ready(workers) and processed(workers) >= records, lambda: [w.health() for w in workers])
        until(lambda: sum(worker.metrics()["zhice_lag_records"] for worker in workers) < 20, lambda: "lag stays")
        until(lambda: all(w.metrics()["zhice_checkpoint_seconds_count"] for w in workers), lambda: "no checkpoint")
        check_profiles(workers, customers, settings.partitions)
        sums = [worker.metrics() for worker in workers]
        assert [worker.stop() for worker in workers] == [0, 0]
    check_metrics(sums, settings)
    check_logs(workers, customers)
    assert archived(settings.lake) == records


def ready(workers: list[Worker]) -> bool:
    """Both are, with half of the partitions each."""
    answers = [worker.health() for worker in workers]
    return all(status == 200 and len(body["restored"]) == 2 for status, body in answers)


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


def check_metrics(sums: list[dict[str, float]], settings: Settings) -> None:
    """Counters are at least what the lake has: a rebalance may have repeated something."""

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
    assert total("zhice_state_rows") >= 100 and total("zhice_state_bytes") > 1000
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
        assert [line["message"] for line in lines if "is overlapping" in line["message"]] == []
        assert [customer for customer in customers if customer in text] == []
        assert [word for word in (*SECRET_WORDS, TOKEN) if word in text] == []
