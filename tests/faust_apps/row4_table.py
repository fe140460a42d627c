"""A count of each customer's events in a Table, as in Faust's own first example."""

from tests.faust_apps.common import TOPIC, Event, make_app, note

app = make_app()
events = app.topic(TOPIC, value_type=Event)
counts = app.Table("counts", default=int, partitions=1)


@app.agent(events)
async def count(stream):
    async for event in stream:
        counts[event.customer_id] += 1
        note(f"{event.event_id} {event.customer_id} {counts[event.customer_id]}")


if __name__ == "__main__":
    app.main()
