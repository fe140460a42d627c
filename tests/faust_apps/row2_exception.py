"""Sums of amounts, one event at a time and by `take`; one event has an amount that is no number."""

from tests.faust_apps.common import TOPIC, Event, make_app, note

app = make_app()
events = app.topic(TOPIC, value_type=Event)


@app.agent(events)
async def each(stream):
    async for event in stream:
        amount = float(event.properties["amount"])
        note(f"each {event.event_id} {amount}")


@app.agent(events)
async def taken(stream):
    async for batch in stream.take(10, within=0.5):
        amounts = [float(event.properties["amount"]) for event in batch]
        for event, amount in zip(batch, amounts, strict=True):
            note(f"taken {event.event_id} {amount}")


if __name__ == "__main__":
    app.main()
