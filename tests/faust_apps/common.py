"""What the apps share: settings from the environment, the event, and a file of what they have done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faust

TOPIC = os.environ.get("TOPIC", "events")
FLAG = Path(os.environ.get("FLAG", "/nonexistent"))  # while this file is there, something that the app calls is down


class Event(faust.Record, serializer="json"):
    """The envelope, as far as these apps read it."""

    event_id: str
    customer_id: str
    properties: dict[str, Any]


def make_app() -> faust.App:
    """One app a process; short timeouts, so that a restart after kill -9 is quick."""
    name = os.environ["APP"]
    return faust.App(
        name,
        broker=f"kafka://{os.environ['BROKER']}",
        store="memory://",
        datadir=os.environ["DATADIR"],
        topic_partitions=1,
        topic_replication_factor=1,
        web_enabled=False,
        broker_session_timeout=float(os.environ.get("SESSION_S", 3)),
        broker_heartbeat_interval=0.5,
        broker_rebalance_timeout=float(os.environ.get("REBALANCE_S", 3)),
        producer_linger=float(os.environ.get("LINGER_S", 0)),
        broker_commit_interval=float(os.environ.get("COMMIT_S", 0.5)),
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        reply_create_topic=False,
    )


def note(text: str) -> None:
    """A line in the file of what is done; it outlives kill -9."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(text + "\n")
