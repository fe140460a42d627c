"""The job with Quix Streams: a StreamingDataFrame and a stateful function, state in RocksDB and a changelog topic."""

from __future__ import annotations

import os
from typing import Any

from customer import new_customer, update
from first import First
from quixstreams import Application, State

app = Application(
    broker_address=os.environ["BENCH_BROKER"],
    consumer_group=os.environ["BENCH_GROUP"],
    auto_offset_reset="earliest",
    state_dir=os.environ["BENCH_FOLDER"],
    loglevel="WARNING",
)
events = app.topic(os.environ["BENCH_EVENTS"], value_deserializer="json")
triggers = app.topic(os.environ["BENCH_TRIGGERS"], value_serializer="json")
first = First()


def work(event: dict[str, Any], state: State) -> dict[str, Any] | None:
    first.seen()
    customer = state.get("customer") or new_customer()
    trigger = update(customer, event)
    state.set("customer", customer)
    return trigger


stream = app.dataframe(events)
stream = stream.apply(work, stateful=True)
stream = stream.filter(lambda trigger: trigger is not None)
stream.to_topic(triggers)

if __name__ == "__main__":
    app.run()
