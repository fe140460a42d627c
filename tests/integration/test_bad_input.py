"""Bad input through broker and worker: every broken byte is kept, every good event counts, the worker never stops."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer

from models.bad_rows import MAX_PUBLISHED_BYTES, PROCESSOR, VERSION, BadRow, Reason
from models.events import MAX_EVENT_BYTES, MAX_ID_CHARS
from models.layout import Layout
from models.records import Record, Records
from sinks.lake import connect
from sinks.writer import Lake
from streams.catalogues import read_catalogue
from streams.replay import follow
from streams.routing import Router
from streams.settings import Settings
from streams.topics import ensure_topics
from tests import workers
from tests.brokers import Broker, has_transactions
from tests.integration.worked import records_on

pytestmark = pytest.mark.kafka
SMALL = Path(__file__).parents[1] / "catalogues" / "small.toml"
START = 1_767_225_600_000
Row = tuple[int, bytes | None, bytes | None]  # timestamp, key, value


def event(number: int, **changes: Any) -> dict[str, Any]:
    made = {
        "event_id": f"e{number}",
        "event": "login",
        "customer_id": f"c{number % 97}",
        "event_time": START + number,
        "channel": "app",
    }
    return {**made, "properties": {"success": True}, **changes}


def good(number: int) -> Row:
    one = event(number)
    return START + number, one["customer_id"].encode(), json.dumps(one).encode()


def broken(number: int, kind: int) -> Row:
    """A record of one of the kinds of bad rows."""
    key = f"c{number % 97}".encode()
    without = event(number)
    del without["event_time"]
    values: list[tuple[bytes | None, bytes | None]] = [
        (key, b'{"event_id": '),
        (key, b'{"event_id": "\xff"}'),
        (key, b"[1, 2]"),
        (key, json.dumps(without).encode()),
        (key, json.dumps(event(number, event_time="noon")).encode()),
        (key, json.dumps(event(number, properties={"success": "yes"})).encode()),
        (key, json.dumps(event(number, context={"x": "y" * MAX_EVENT_BYTES})).encode()),
        (key, json.dumps(event(number, event_id="i" * (MAX_ID_CHARS + 1))).encode()),
        (key, json.dumps(event(number, event_time=1)).encode()),
        (key, json.dumps(event(number, event_time=START + 10**10)).encode()),
        (key, b""),
        (key, None),
        (b"somebody else", json.dumps(event(number)).encode()),
        (None, json.dumps(event(number)).encode()),
        (key, json.dumps(event(number, event_id="")).encode()),
        (key, b"[" * 2000),
    ]
    return START + number, *values[kind % len(values)]


KINDS = 16
WAIT_S = 60


def run(rows: list[Row], broker: Any, prefix: str, folder: Path) -> tuple[Settings, list[Row]]:
    """Replay rows through the broker; returns the settings."""
    settings = Settings(
        broker=broker.address, prefix=prefix, app=prefix, transactions=has_transactions(broker), tick_ms=0,
        partitions=2, session_timeout_s=6.0, rebalance_timeout_s=2.0, lake=str(folder / "lake"), catalogue=str(SMALL),
    )  # fmt: skip
    ensure_topics(settings, keep_forever=True)
    timestamps, keys, values = zip(*rows, strict=True)
    table = pa.table({"timestamp": pa.array(timestamps, pa.int64()), "key": pa.array(keys, pa.binary()),
                      "value": pa.array(values, pa.binary())})  # fmt: skip
    pq.write_table(table, folder / "records.parquet")
    catalogue = read_catalogue(SMALL)
    lake = Lake(settings.lake, catalogue)
    follow(settings, Layout.compile(catalogue), lake, folder / "records.parquet", lambda _: None)
    return settings, rows


def assert_kept(settings: Settings, rows: list[Row], bad: set[int]) -> None:
    """The lake holds each good event once and each broken record with its bytes and its place."""
    batch = Records.of([Record(0, *row) for row in rows])
    wrong = {rows[number][1:] for number in bad}
    expected = {
        (number, one.offset): (one.key, one.value)
        for logs in Router(settings.partitions).logs([batch])
        for number, log in enumerate(logs)
        for one in map(log.record, range(log.count))
        if (one.key, one.value) in wrong and not one.headers
    }
    with connect(settings.lake) as lake:
        found = lake.execute('SELECT "partition", "offset", key, value FROM bad_rows').fetchall()
        events, distinct, counted = lake.execute(
            "SELECT count(*), count(DISTINCT event_id), count(*) FILTER (status = 'applied') FROM events"
        ).fetchall()[0]
        logins = lake.execute("SELECT sum(login_count_1d) FROM customers").fetchall()[0][0]
    assert {(p, o): (k, v) for p, o, k, v in found} == expected
    assert len(found) == len(bad)
    assert events == distinct == counted == len(rows) - len(bad) == logins


def test_every_kind_and_a_burst(broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    rows = [good(number) for number in range(1000)]
    places = range(100, 100 + KINDS)
    for number in places:
        rows[number] = broken(number, number - 100)
    burst = range(500, 700)
    for number in burst:
        rows[number] = broken(number, number)
    settings, rows = run(rows, broker, topic_prefix, tmp_path)
    assert_kept(settings, rows, {*places, *burst})
    with connect(settings.lake) as lake:
        reasons = {reason for (reason,) in lake.execute("SELECT DISTINCT reason FROM bad_rows").fetchall()}
    assert reasons == {str(reason) for reason in Reason}
    assert_published(settings)


def assert_published(settings: Settings) -> None:
    """`bad-rows` holds what the lake holds, each once: as JSON, under the record's key, in the record's partition."""
    other = ("processor", "version", "key_bytes", "value_bytes")
    columns = [field for field in BadRow.__struct_fields__ if field not in other]
    with connect(settings.lake) as lake:
        names = ", ".join(f'"{name}"' for name in columns)
        source = "SELECT *, epoch_ms(record_time) AS timestamp FROM bad_rows"
        kept = lake.execute(f"SELECT {names} FROM ({source})").fetchall()
    found = []
    for record in records_on(settings, "bad-rows"):
        row = msgspec.json.decode(record.value, type=BadRow)
        assert (record.partition, record.key) == (row.partition, row.key)
        assert (row.processor, row.version) == (PROCESSOR, VERSION)
        found.append((str(row.reason), *(getattr(row, name) for name in columns[1:])))
    assert sorted(map(repr, found)) == sorted(map(repr, kept))


def test_ten_percent_broken_in_100_000(broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    rows = [good(number) for number in range(100_000)]
    bad = set(random.Random(5).sample(range(100_000), 10_000))
    kinds = [kind for kind in range(KINDS) if kind != 6]  # 700 of 64 KiB say no more than one
    for number in bad:
        rows[number] = broken(number, kinds[number % len(kinds)])
    settings, rows = run(rows, broker, topic_prefix, tmp_path)
    assert_kept(settings, rows, bad)


def test_what_is_larger_than_the_topic_takes_costs_only_itself(
    apache_kafka: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """A broker takes 20 MB that are compressed, and not their base64: the worker began again for ever."""
    settings = Settings(
        broker=apache_kafka.address, prefix=topic_prefix, app=topic_prefix, partitions=1, checkpoint_s=0.3,
        lake=str(tmp_path / "lake"), catalogue=str(SMALL),
    )  # fmt: skip
    ensure_topics(settings, keep_forever=True)
    value, log = b"x" * 20_000_000, tmp_path / "log"
    producer = KafkaProducer(bootstrap_servers=settings.broker, compression_type="gzip", max_request_size=1 << 25)
    try:
        for row in (good(0), (START, b"k", value), good(1)):
            producer.send(settings.topic("events"), key=row[1], value=row[2], timestamp_ms=row[0]).get(30)
    finally:
        producer.close()
    with workers.ended(workers.start_worker(settings, log)) as worker:
        workers.wait_for(lambda: workers.archived(settings.lake) == 3, "all are in the lake", WAIT_S, log)
        workers.stop(worker, log)
    assert workers.ask(settings.lake, "SELECT value FROM bad_rows") == [(value,)]
    (record,) = records_on(settings, "bad-rows")
    row = msgspec.json.decode(record.value, type=BadRow)
    assert (row.reason, row.value_bytes, row.value) == (Reason.TOO_LARGE, len(value), value[:MAX_PUBLISHED_BYTES])
