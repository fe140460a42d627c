"""The main job through a broker: nothing bad stops it, nothing is lost or doubled when it is killed, and a replay is
a backtest."""

from __future__ import annotations

import json
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.bad_rows import BadRow, Reason
from models.events import MAX_EVENT_BYTES, MAX_ID_CHARS, TICK_HEADER, Record
from models.layout import Layout
from sinks.lake import TABLES, connect
from sinks.verify import verify
from sinks.writer import Lake
from streams import backtest as backtests
from streams.backtest import Backtest
from streams.broker import EmbeddedBroker
from streams.catalogues import read_catalogue
from streams.replay import follow
from streams.routing import Router
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics
from tests.integration.conftest import Broker
from tests.integration.test_real_data import rows_of
from tests.integration.worker_process import WorkerProcess, read_topic, send, settings_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
SMALL = Path(__file__).parents[1] / "catalogues" / "small.toml"
START = 1_767_225_600_000  # 2026-01-01T00:00Z
BURST = 200
STOP_S = 25.0
PART = 20_000  # records that are sent at once
OLD_TICK = Record(0, START, None, None, (TICK_HEADER,))  # its time has passed: it changes nothing

Row = tuple[int, bytes | None, bytes | None]  # timestamp, key, value
Bad = tuple[Reason, bytes | None, bytes | None]


# --- bad input


def event(number: int, **changes: Any) -> dict[str, Any]:
    """An event that the feature login_count_1d counts."""
    made = {
        "event_id": f"e{number}",
        "event": "login",
        "customer_id": f"c{number % 97}",
        "event_time": START + number,
        "channel": "app",
        "properties": {"success": True},
    }
    return made | changes


def text(number: int, **changes: Any) -> bytes:
    return json.dumps(event(number, **changes)).encode()


def good(number: int) -> Row:
    return START + number, f"c{number % 97}".encode(), text(number)


def without(number: int, field: str) -> bytes:
    return json.dumps({name: value for name, value in event(number).items() if name != field}).encode()


def small_bad(number: int) -> list[Bad]:
    """Each kind of bad row but those that are large."""
    key = f"c{number % 97}".encode()
    return [
        (Reason.NOT_JSON, key, b'{"event_id": '),
        (Reason.NOT_UTF8, key, b'{"event_id": "\xff\xfe"}'),
        (Reason.NOT_AN_OBJECT, key, b"[1, 2]"),
        (Reason.MISSING_FIELD, key, without(number, "event_time")),
        (Reason.MISTYPED_FIELD, key, text(number, event_time="noon")),
        (Reason.MISTYPED_FIELD, key, text(number, properties={"success": "yes"})),
        (Reason.EMPTY_ID, key, text(number, event_id="")),
        (Reason.ID_TOO_LONG, key, text(number, event_id="i" * (MAX_ID_CHARS + 1))),
        (Reason.TIME_OUT_OF_RANGE, key, text(number, event_time=1)),
        (Reason.TIME_OUT_OF_RANGE, key, text(number, event_time=START + 10**10)),
        (Reason.EMPTY_VALUE, key, b""),
        (Reason.EMPTY_VALUE, key, None),
        (Reason.WRONG_KEY, b"somebody else", text(number)),
        (Reason.WRONG_KEY, None, text(number)),
        (Reason.WRONG_KEY, b"\xff\x00", text(number)),
        (Reason.TOO_DEEP, key, b"[" * 2000),
    ]


def large_bad(number: int) -> list[Bad]:
    """Just too large, and so large that the base64 of it is more than Kafka takes by default."""
    key = f"c{number % 97}".encode()
    return [(Reason.TOO_LARGE, key, text(number, context={"x": "y" * size})) for size in (MAX_EVENT_BYTES, 900_000)]


def test_every_kind_of_bad_row_and_a_burst(broker: Broker, topic_prefix: str, tmp_path: Path) -> None:
    kinds = small_bad(0) + large_bad(0)
    assert {reason for reason, *_ in kinds} == set(Reason)
    places = [*range(100, 100 + len(kinds)), *range(500, 500 + BURST)]
    bad = {number: (small_bad(number) + large_bad(number))[at % len(kinds)] for at, number in enumerate(places[:18])}
    bad |= {number: small_bad(number)[number % len(small_bad(0))] for number in places[18:]}
    assert_kept(work(broker, topic_prefix, tmp_path, 1000, bad), 1000, bad)


def test_a_tenth_is_broken(broker: Broker, topic_prefix: str, tmp_path: Path) -> None:
    count = 100_000 if isinstance(broker, EmbeddedBroker) else 20_000
    chosen = random.Random(5).sample(range(count), count // 10)
    bad = {number: small_bad(number)[at % len(small_bad(0))] for at, number in enumerate(chosen)}
    assert_kept(work(broker, topic_prefix, tmp_path, count, bad), count, bad)


def rows_with(count: int, bad: dict[int, Bad]) -> list[Row]:
    return [(START + number, *bad[number][1:]) if number in bad else good(number) for number in range(count)]


def work(broker: Broker, prefix: str, folder: Path, count: int, bad: dict[int, Bad]) -> Settings:
    """Replay `count` records, of which some are bad."""
    settings = settings_for(broker, prefix, folder / "lake", partitions=2, catalogue=str(SMALL))
    ensure_topics(settings, keep_forever=True)
    timestamps, keys, values = zip(*rows_with(count, bad), strict=True)
    columns = {"timestamp": pa.array(timestamps, pa.int64()), "key": pa.array(keys, pa.binary())}
    pq.write_table(pa.table({**columns, "value": pa.array(values, pa.binary())}), folder / "records.parquet")
    replay(settings, folder / "records.parquet")
    return settings


def replay(settings: Settings, path: Path) -> None:
    catalogue = read_catalogue(settings.catalogue)
    follow(settings, Layout.compile(catalogue), Lake(settings.lake, catalogue), path, lambda _: None)


def assert_kept(settings: Settings, count: int, bad: dict[int, Bad]) -> None:
    """Lake and topic hold each broken record with its bytes and place, the lake each good event once, and counted."""
    expected = placed(settings, count, bad)
    with connect(settings.lake) as lake:
        found = lake.execute("""
            SELECT "partition", "offset", topic, reason, epoch_ms(record_time), key, value FROM bad_rows
        """).fetchall()
        applied = lake.execute("""
            SELECT count(*), count(DISTINCT event_id), count(*) FILTER (status = 'applied') FROM events
        """).fetchall()[0]
        counted = lake.execute("SELECT sum(login_count_1d) FROM customers").fetchall()[0][0]
    assert len(found) == len(bad)
    assert {(row[0], row[1]): row[2:] for row in found} == expected
    published = read_topic(settings, "bad-rows")
    rows = [msgspec.json.decode(record.value, type=BadRow) for record in published]
    assert len(rows) == len(bad)
    assert {(r.partition, r.offset): (r.topic, r.reason, r.timestamp, r.key, r.value) for r in rows} == expected
    assert all(
        (record.partition, record.key) == (r.partition, r.key) for record, r in zip(published, rows, strict=True)
    )
    assert applied == (count - len(bad),) * 3
    assert counted == count - len(bad)


def placed(settings: Settings, count: int, bad: dict[int, Bad]) -> dict[tuple[int, int], tuple[Any, ...]]:
    """By (partition, offset) what the bad row there must hold."""
    timestamps, keys, values = zip(*rows_with(count, bad), strict=True)
    logs = Router(settings.partitions).logs([(np.array(timestamps, np.int64), list(keys), list(values))])
    return {
        (number, one.offset): (settings.topic("events"), reason, one.timestamp, one.key, one.value)
        for parts in logs
        for number, log in enumerate(parts)
        for one in log
        if not one.headers and (reason := bad.get(one.timestamp - START, (None,))[0])
    }


# --- killed and stopped


def test_killed_twice_and_stopped(broker: Broker, topic_prefix: str, tmp_path: Path) -> None:
    """As if nothing had been: the lake is that of a backtest, each trigger of the topic is in it once."""
    path, lake = tmp_path / "bank.parquet", tmp_path / "lake"
    stats = write_file(SimulationSettings(events=60_000, customers=2_000, days=4, seed=3), path)
    settings = settings_for(
        broker, topic_prefix, lake, partitions=2, fetch_records=1000, checkpoint_s=0.5, checkpoint_max_s=1.0
    )
    ensure_topics(settings, keep_forever=True)
    logs = parts_of(path, settings.partitions)

    send(settings, next(logs))
    with WorkerProcess(settings, tmp_path / "first.log") as worker:  # killed in its first checkpoint
        worker.until(lambda: commits_of(lake, "events") > 1, 30)
        worker.kill()
    with WorkerProcess(settings, tmp_path / "second.log") as worker:  # killed in a later one: there is a state
        worker.until(lambda: records_of(lake) == PART, 30)
        before = commits_of(lake, "events")
        send(settings, next(logs))
        worker.until(lambda: commits_of(lake, "events") > before, 30)
        worker.kill()
    for some in logs:
        send(settings, some)
    assert restored(settings, tmp_path / "third.log", signal.SIGTERM, stats.records) > 0
    send(settings, [[OLD_TICK]])
    assert restored(settings, tmp_path / "fourth.log", signal.SIGINT, stats.records) > 0

    with connect(lake) as connection:
        places = 'SELECT count(*), count(DISTINCT ("partition", "offset")) FROM'
        both = '(SELECT "partition", "offset" FROM events UNION ALL SELECT "partition", "offset" FROM bad_rows)'
        assert connection.execute(f"{places} {both}").fetchall() == [(stats.records, stats.records)]
        ids = [row[0] for row in connection.execute("SELECT id FROM triggers").fetchall()]
    assert len(ids) == len(set(ids)) > 0
    assert {json.loads(record.value)["id"] for record in read_topic(settings, "triggers")} == set(ids)
    report = verify(lake, read_catalogue(settings.catalogue))
    assert report.compared > 0
    assert report.mismatches == []
    assert_same(lake, backtest(settings, path, tmp_path / "backtest"), [name for name in TABLES if name != "metrics"])


def parts_of(path: Path, partitions: int) -> Iterator[list[list[Record]]]:
    """The logs of a file, cut into parts of PART records."""
    timestamps, keys, values = pq.read_table(path).select(["timestamp", "key", "value"]).columns
    cuts = [slice(first, first + PART) for first in range(0, len(timestamps), PART)]
    batches = ((timestamps[cut].to_numpy(), keys[cut].to_pylist(), values[cut].to_pylist()) for cut in cuts)
    return Router(partitions).logs(batches)


def restored(settings: Settings, log: Path, how: signal.Signals, records: int) -> int:
    """Run a worker until the lake has all records and stop it well; returns how many customers it began with."""
    with WorkerProcess(settings, log) as worker:
        said = re.compile(r"restored partition 0: (\d+) customers")
        worker.until(lambda: bool(said.search(log.read_text())) and records_of(Path(settings.lake)) == records, 60)
        assert worker.stop(how, STOP_S) == 0, log.read_text()
    assert "the next start goes on from here" in log.read_text()
    (customers,) = said.findall(log.read_text())
    return int(customers)


def commits_of(lake: Path, table: str) -> int:
    """How many commits a Delta table has."""
    return len(list((lake / table / "_delta_log").glob("*.json")))


def records_of(lake: Path) -> int:
    """How many records are in the lake, as events or bad rows."""
    with connect(lake) as connection:
        return sum(
            connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in ("events", "bad_rows")
        )


# --- a replay is a backtest


def test_a_replay_is_a_backtest(broker: Broker, topic_prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "bank.jsonl"
    wanted = SimulationSettings(events=20_000, customers=1_000, days=5, late=0.05, duplicates=0.03, broken=0.02, seed=9)
    stats = write_file(wanted, path)
    assert min(stats.late, stats.duplicates, stats.broken) > 0
    settings = settings_for(broker, topic_prefix, tmp_path / "replay", partitions=3, checkpoint_s=0.3)
    ensure_topics(settings, keep_forever=True)
    replay(settings, path)
    assert_same(Path(settings.lake), backtest(settings, path, tmp_path / "backtest"), list(TABLES))


def backtest(settings: Settings, path: Path, lake: Path) -> Path:
    """The lake of a backtest that stands for the topic of these settings."""
    catalogue = read_catalogue(settings.catalogue)
    Lake(lake, catalogue)
    wanted = Backtest(str(path), settings.catalogue, str(lake), settings.topic("events"), settings.partitions)
    backtests.run(wanted, 2, lambda _: None)
    return lake


def assert_same(one: Path, other: Path, names: list[str]) -> None:
    """The same rows, as often, in each of these tables, none of which is empty."""
    with duckdb.connect() as connection:
        for name in names:
            first, second = rows_of(one, name), rows_of(other, name)
            assert first and second, f"{name} is empty"
            for left, right in ((first, second), (second, first)):
                differing = connection.execute(f"FROM {left} EXCEPT ALL FROM {right} LIMIT 3").fetchall()
                assert not differing, f"{name}: {differing}"
