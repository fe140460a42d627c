"""The topics of the bench, and a reader of the triggers that contenders publish."""

from __future__ import annotations

import json
import time
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.log import PARTITIONS
from benchmarks.reference import Trigger

FOREVER = "-1"
ADMIN_TIMEOUT_S = 30.0
POLL_S = 0.2


def make_topic(broker: str, name: str) -> None:
    """A topic that keeps everything."""
    topic = NewTopic(name, num_partitions=PARTITIONS, replication_factor=1, config={"retention.ms": FOREVER})
    admin = AdminClient({"bootstrap.servers": broker})  # it must outlive what it is asked for
    for future in admin.create_topics([topic]).values():
        future.result(ADMIN_TIMEOUT_S)


def topics(broker: str) -> set[str]:
    """The names of all topics."""
    return set(AdminClient({"bootstrap.servers": broker}).list_topics().topics)


def delete_topics_but(broker: str, kept: set[str]) -> None:
    """Delete what a run left: all topics but these and the broker's own, and wait until they are gone."""
    admin = AdminClient({"bootstrap.servers": broker})
    deadline = time.monotonic() + ADMIN_TIMEOUT_S
    while left := [name for name in admin.list_topics().topics if not name.startswith("__") and name not in kept]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the broker still has {', '.join(left)}")
        for future in admin.delete_topics(left).values():
            future.exception(ADMIN_TIMEOUT_S)  # one that is already being deleted is an error, and well
        time.sleep(POLL_S)


class TriggerReader:
    """Reads a topic of triggers from its beginning: those that are committed, as they come."""

    def __init__(self, broker: str, topic: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": broker, "group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
        )
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])

    def read(self, wait_s: float) -> list[bytes]:
        """What is there after at most so long, as it was published."""
        return [message.value() for message in self._consumer.consume(1000, wait_s) if not message.error()]

    def close(self) -> None:
        self._consumer.close()


def trigger_of(value: bytes) -> Trigger:
    """A trigger as a peer publishes it, or as Zhice does: with its evidence."""
    published = json.loads(value)
    if "evidence" in published:
        published = _from_evidence(published)
    return Trigger(
        published["customer_id"],
        published["event_id"],
        published["event_time"],
        tuple(sorted((kind, int(count)) for kind, count in published["counts"].items() if count)),
        int(published["amount"]),
        published["stage"],
    )


def _from_evidence(trigger: dict[str, Any]) -> dict[str, Any]:
    values = trigger["evidence"]["values"]
    return {
        "customer_id": trigger["customer_id"],
        "event_id": trigger["evidence"]["event_id"],
        "event_time": trigger["event_time"],
        "counts": {name.removesuffix("_7d"): count for name, count in values.items() if name.endswith("_7d")},
        "amount": values["amount_24h"],
        "stage": values["loan_stage"],
    }
