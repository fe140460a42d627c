"""Two instances of an agent; one of them waits for a slow service."""

import asyncio

from tests.faust_apps.common import FLAG, TOPIC, Event, make_app, note

app = make_app()
events = app.topic(TOPIC, value_type=Event)


@app.agent(events, concurrency=2)
async def process(stream):
    async for event in stream:
        while event.event_id == "e0" and FLAG.exists():
            await asyncio.sleep(0.05)
        note(event.event_id)


if __name__ == "__main__":
    app.main()
