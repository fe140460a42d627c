"""A producer that partitions otherwise: librdkafka at its defaults. Each event counts once, where its customer is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from models.layout import Layout
from sinks.lake import connect
from sinks.verify import verify
from sinks.writer import Lake
from streams import app
from streams.settings import Settings
from streams.telemetry import unready
from streams.topics import TopicError, ensure_topics
from streams.worker import Worker as Ready
from tests.brokers import Broker
from tests.integration.served import Worker, until
from tests.small_logs import MINUTE, SMALL, START, small_catalogue
from tests.workers import archived

pytestmark = pytest.mark.kafka
CUSTOMERS, EVENTS = 200, 4000
PARTITIONS = 4
DEADLINE_S = 60


def event(number: int) -> dict[str, object]:
    customer = f"c{number % CUSTOMERS}"
    return {
        "event_id": f"e{number}", "event": "transfer", "customer_id": customer, "event_time": START + number * MINUTE,
        "properties": {"amount": float(number), "direction": "out"},
    }  # fmt: skip


def produce(broker: str, topic: str, first: int, end: int) -> None:
    """At its defaults a batch that is tried again may come behind the next one, and the order be lost on the way.

    It is where a topic is new. So one event of each customer goes first; with the others nothing is tried again.
    """
    producer = Producer({"bootstrap.servers": broker})
    for number in range(first, end):
        body = event(number)
        producer.produce(topic, key=str(body["customer_id"]), value=json.dumps(body), timestamp=START + number * MINUTE)
        if number == first + CUSTOMERS - 1:
            producer.flush(30)
    producer.flush(30)


def test_strays_are_sent_on_once_and_in_order(apache_kafka: Broker, topic_prefix: str, tmp_path: Path) -> None:
    """With a kill -9 in the middle: strays are sent on in the transaction of the checkpoint that covers them."""
    settings = Settings(broker=apache_kafka.address, prefix=topic_prefix, partitions=PARTITIONS)
    ensure_topics(settings, keep_forever=True)
    lake, log = tmp_path / "lake", tmp_path / "log"
    given = {
        "broker": settings.broker, "prefix": topic_prefix, "app": topic_prefix, "lake": str(lake), "tick_ms": "0",
        "catalogue": str(SMALL),
    }  # fmt: skip
    produce(settings.broker, settings.topic("events"), 0, EVENTS // 2)
    with Worker(given, log) as worker:
        until(lambda: archived(lake) > EVENTS // 4, lambda: (archived(lake), log.read_text()[-2000:]))
        worker.process.kill()
    produce(settings.broker, settings.topic("events"), EVENTS // 2, EVENTS)
    with Worker(given, log) as worker:
        until(lambda: archived(lake) >= EVENTS, lambda: (archived(lake), log.read_text()[-2000:]))
        assert worker.metrics()["zhice_stray_events_total"] > 0
        assert worker.stop() == 0
    with connect(lake) as connection:
        counts = "SELECT count(*), count(DISTINCT event_id), count(*) FILTER (status = 'applied') FROM events"
        assert connection.execute(counts).fetchall() == [(EVENTS, EVENTS, EVENTS)]
        split = "SELECT max(n) FROM (SELECT count(DISTINCT partition) AS n FROM events GROUP BY customer_id)"
        assert connection.execute(split).fetchall() == [(1,)]
        order = """
            SELECT count(*) FROM (
                SELECT event_time < lag(event_time) OVER (PARTITION BY customer_id ORDER BY "offset") AS back,
                       "offset" FROM events
            ) WHERE back
        """
        turned = connection.execute(order).fetchall()[0][0]
    report = verify(lake, small_catalogue())
    assert (report.mismatches, report.customers) == ([], CUSTOMERS)
    assert turned == 0, "strays of a customer came in another order"
    assert "partitioner=murmur2_random" in log.read_text()


def test_a_worker_whose_topic_is_given_partitions_ends_and_says_why(
    apache_kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """It would restore what no other topic has, and customers move away from their state."""
    settings = Settings(
        broker=apache_kafka.address, prefix=topic_prefix, app=topic_prefix, lake=str(tmp_path / "lake"), partitions=1
    )
    ensure_topics(settings)
    bank = small_catalogue()

    async def add(worker: Ready) -> bool:
        while not worker.telemetry.partitions or unready(worker):
            await asyncio.sleep(0.1)
        admin = AdminClient({"bootstrap.servers": settings.broker})
        for made in admin.create_partitions([NewPartitions(settings.topic("events"), 2)]).values():
            made.result()
        await asyncio.sleep(DEADLINE_S)
        return False

    with pytest.raises(TopicError, match=r"events was given more partitions than its 1.*another --prefix"):
        asyncio.run(app.run(settings, Layout.compile(bank), Lake(settings.lake, bank), add))
    with pytest.raises(TopicError, match=r"events has 2 partitions, not 1.*use another --prefix"):
        ensure_topics(settings)
