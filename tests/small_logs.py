"""Logs by hand or at random for the small catalogue, and what shards put out for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from models import decision_records
from models.catalogue import Catalogue, load
from models.decoding import Decoder
from models.layout import Layout
from models.outputs import BatchOutput
from models.published import Decision
from models.records import Records
from models.shard import Shard
from sinks.lake import TABLES, connect

TOPIC = "zhice.events"
SMALL = Path(__file__).parent / "catalogues" / "small.toml"
START = 1_767_196_800_000  # 2026-01-01 00:00 in Shanghai
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
FEW_DAYS = 12


class LogRecord(NamedTuple):
    """A record with the attributes of aiokafka's ConsumerRecord."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@cache
def small_catalogue() -> Catalogue:
    return load({SMALL.name: SMALL.read_text(encoding="utf-8")})


def records(events: Iterable[dict[str, Any]]) -> list[LogRecord]:
    """A record each; `at` is its timestamp, and the event's time unless that is given."""
    made = []
    for offset, event in enumerate(events):
        body = {"event_id": f"e{offset}", "event_time": event["at"], "customer_id": "c1", **event}
        timestamp = body.pop("at")
        value = json.dumps(body, ensure_ascii=False).encode()
        made.append(LogRecord(offset, timestamp, body["customer_id"].encode(), value))
    return made


def outputs(catalogue: Catalogue, log: Sequence[LogRecord], batch: int = 100, partition: int = 0) -> list[BatchOutput]:
    """What a shard puts out for a log, batch by batch, and at its end."""
    layout = Layout.compile(catalogue)
    decoder, shard = Decoder(layout.event_layout), Shard(layout, TOPIC, partition)
    parts = [log[first : first + batch] for first in range(0, len(log), batch)]
    return [*(shard.process(decoder.columns(TOPIC, partition, Records.of(part))) for part in parts), shard.finish()]


def decided(output: BatchOutput, catalogue: Catalogue) -> list[Decision]:
    """The decisions as they are published."""
    values = decision_records.records_of(output.decisions, decision_records.pieces_of(catalogue), output.clock).values
    return [msgspec.json.decode(value or b"", type=Decision) for value in values.to_list()]


def lake_rows(path: Path) -> dict[str, list[str]]:
    """All rows of all tables of a lake, as text and sorted, for they hold NULL."""
    with connect(path) as connection:
        return {name: sorted(map(repr, connection.execute(f"FROM {name}").fetchall())) for name in TABLES}


def random_records(seed: int, count: int, days: int = 120) -> list[LogRecord]:
    """Events of few customers over some days: some late, some twice, properties that are NULL or absent.

    The lake writes a file a day and table, so a log of few days is written sooner.
    """
    random = Random(seed)
    clock, events = START, []
    for number in range(count):
        clock += int(random.expovariate(1 / (days * DAY / count)))
        if events and random.random() < 0.03:
            events.append({**random.choice(events[-20:]), "at": clock})
            continue
        behind = random.choice([0, 0, 0, MINUTE, HOUR, 2 * DAY, 40 * DAY]) * random.random()
        event = {
            "event_id": f"e{number}",
            "customer_id": f"c{random.randrange(12)}",
            "event": random.choice(["login", "transfer", "transfer", "loan_apply", "loan_step"]),
            "at": clock,
            "event_time": max(clock - int(behind), START),
            "channel": random.choice(["app", "branch", "elsewhere", None]),
        }
        event["properties"] = _properties(random, event["event"])
        events.append(event)
    return records(events)


def _properties(random: Random, event: str) -> dict[str, Any] | None:
    values: dict[str, dict[str, list[Any]]] = {
        "login": {"success": [True, True, False, None], "device": ["a", "b", None]},
        "transfer": {"amount": [round(random.uniform(-50, 5000), 2), 7, None], "direction": ["in", "out", "odd", None]},
        "loan_apply": {"application_id": ["a1", "a2", "客户3", None], "requested": [random.randrange(90_000), None]},
        "loan_step": {"application_id": ["a1", "a2", "客户3"], "step": ["verify", "submit", None], "amount": [5]},
    }
    chosen = {name: random.choice(choices) for name, choices in values[event].items()}
    chosen = {name: value for name, value in chosen.items() if random.random() > 0.05}
    return chosen or None
