"""Passes each event on to another topic; the broker refuses one of them, which is too large for that topic."""

import os

from tests.faust_apps.common import TOPIC, Event, make_app, note

app = make_app()
events = app.topic(TOPIC, value_type=Event)
alerts = app.topic(os.environ.get("ALERTS", "alerts"), value_type=Event)


@app.agent(events)
async def pass_on(stream):
    async for event in stream:
        await alerts.send(key=event.customer_id, value=event)
        note(event.event_id)


if __name__ == "__main__":
    app.main()
