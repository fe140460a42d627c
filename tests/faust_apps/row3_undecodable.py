"""Events of a declared type; some of the log is no JSON."""

from tests.faust_apps.common import TOPIC, Event, make_app, note

app = make_app()
events = app.topic(TOPIC, value_type=Event)


@app.agent(events)
async def process(stream):
    async for event in stream:
        note(event.event_id)


if __name__ == "__main__":
    app.main()
