"""The job with Pathway: a stateful reducer by customer, its changes as a stream to Kafka, persistence on.

Pathway reads in mini-batches of 1.5 s and calls our code at the end of one. So the clock starts when its consumer has
its partitions, for which a thread asks the broker.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import pathway as pw
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient
from customer import new_customer, update
from first import First

SETTINGS = {
    "bootstrap.servers": os.environ["BENCH_BROKER"],
    "group.id": os.environ["BENCH_GROUP"],
    "auto.offset.reset": "earliest",
}
POLL_S = 0.02


class Event(pw.Schema):
    event_id: str
    event: str
    customer_id: str
    event_time: int
    amount: int | None = pw.column_definition(default_value=None)


@pw.reducers.stateful_many
def work(state: tuple[str, tuple[str, ...]] | None, rows: list[tuple[list[Any], int]]) -> tuple[str, tuple[str, ...]]:
    """The customer's state as JSON, and the triggers of this mini-batch, whose rows come in no order."""
    customer = json.loads(state[0]) if state else new_customer()
    triggers = []
    for (event_id, kind, customer_id, event_time, amount), _ in sorted(rows, key=lambda row: row[0][0]):
        event = {"event_id": event_id, "event": kind, "customer_id": customer_id, "event_time": event_time}
        if trigger := update(customer, event | {"properties": {} if amount is None else {"amount": amount}}):
            triggers.append(json.dumps(trigger))
    return json.dumps(customer), tuple(triggers)


def wait_for_partitions() -> None:
    admin, first = AdminClient({"bootstrap.servers": SETTINGS["bootstrap.servers"]}), First()
    while True:
        (asked,) = admin.describe_consumer_groups([SETTINGS["group.id"]]).values()
        try:
            if asked.result().state == ConsumerGroupState.STABLE:
                return first.seen()
        except Exception:
            pass  # there is no such group yet
        time.sleep(POLL_S)


events = pw.io.kafka.read(
    SETTINGS,
    topic=os.environ["BENCH_EVENTS"],
    schema=Event,
    format="json",
    json_field_paths={"amount": "/properties/amount"},
)
customers = events.groupby(pw.this.customer_id).reduce(
    pw.this.customer_id,
    result=work(pw.this.event_id, pw.this.event, pw.this.customer_id, pw.this.event_time, pw.this.amount),
)
changes = customers.select(
    pw.this.customer_id, triggers=pw.declare_type(tuple[str, ...], pw.this.result[1])
).to_stream()
triggers = (
    changes.filter(pw.this.is_upsert).flatten(pw.this.triggers).select(pw.this.customer_id, trigger=pw.this.triggers)
)
pw.io.kafka.write(
    triggers,
    SETTINGS,
    topic_name=os.environ["BENCH_TRIGGERS"],
    format="raw",
    key=triggers.customer_id,
    value=triggers.trigger,
)

if __name__ == "__main__":
    threading.Thread(target=wait_for_partitions, daemon=True).start()
    pw.run(
        monitoring_level=pw.MonitoringLevel.NONE,
        persistence_config=pw.persistence.Config(pw.persistence.Backend.filesystem(os.environ["BENCH_FOLDER"])),
    )
