"""The job as a Faust app: an agent on a topic of JSON, one Table keyed by customer, triggers to a topic.

BENCH_STORE is Faust's `store`: memory:// or rocksdb:// (by rocksdict), whose changelog topic makes either durable.
"""

from __future__ import annotations

import os

import faust
from customer import new_customer, update
from first import First

app = faust.App(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_BROKER']}",
    store=os.environ["BENCH_STORE"],
    datadir=os.environ["BENCH_FOLDER"],
    topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
    web_enabled=False,
)
events = app.topic(os.environ["BENCH_EVENTS"], key_type=str, value_serializer="json")
triggers = app.topic(os.environ["BENCH_TRIGGERS"], key_type=str, value_serializer="json")
customers = app.Table("customers", default=new_customer, key_type=str)
first = First()


@app.agent(events)
async def work(stream: faust.StreamT[dict]) -> None:
    async for customer_id, event in stream.items():
        first.seen()
        state = customers[customer_id]
        trigger = update(state, event)
        customers[customer_id] = state
        if trigger:
            await triggers.send(key=customer_id, value=trigger)


if __name__ == "__main__":
    app.main()
