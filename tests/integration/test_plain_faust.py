"""What plain Faust 0.15.3 loses or counts twice, and that Zhice does not: each fault by its trigger.

Their numbers are those of a list that has more: here is what can be shown.

Every test gives one log to an app of tests/faust_apps, written as Faust's documentation does it, and to `zhice worker`.
It asserts that the app is wrong, in the way that the test is named, and that Zhice is right. If a new version of Faust
mends one, its test fails, and a reason for our own way is gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.settings import Settings
from streams.topics import ensure_topics
from tests import workers
from tests.workers import ask, ended, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
SMALL = Path(__file__).parents[1] / "catalogues" / "small.toml"
START = 1_767_225_600_000
WAIT_S = 90  # Faust's rebalances after a kill take up to 30 s
SOON_S, ATTEMPTS = 25, 4
Row = tuple[bytes, bytes]  # key, value


def event(number: int, **changes: Any) -> Row:
    """A transfer of 100 by one of three customers."""
    body = {
        "event_id": f"e{number}",
        "event": "transfer",
        "customer_id": f"c{number % 3}",
        "event_time": START + number,
        "properties": {"amount": 100.0, "direction": "out"},
        **changes,
    }
    return body["customer_id"].encode(), json.dumps(body).encode()


class Bench:
    """A broker and a topic that both sides read; the processes' files."""

    def __init__(self, address: str, prefix: str, folder: Path, *, apache: bool) -> None:
        self.address, self.folder, self.app = address, folder, f"{prefix}-faust"
        self.notes_file, self.flag = folder / "notes.txt", folder / "down"
        self.log = folder / "faust.log"
        self.settings = Settings(
            broker=address, prefix=prefix, app=prefix, lake=str(folder / "lake"), catalogue=str(SMALL),
            partitions=1, tick_ms=0, checkpoint_s=0.3, session_timeout_s=6.0 if not apache else 3.0,
            rebalance_timeout_s=2.0, transactions=apache,
        )  # fmt: skip
        ensure_topics(self.settings, keep_forever=True)
        self.topic = self.settings.topic("events")

    def send(self, rows: list[Row]) -> None:
        """Append to the log, in one batch."""

        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.address) as producer:
                batch = producer.create_batch()
                for number, (key, value) in enumerate(rows):
                    assert batch.append(key=key, value=value, timestamp=START + number, headers=[]) is not None
                await (await producer.send_batch(batch, self.topic, partition=0))

        asyncio.run(send())

    def faust(self, name: str, **environment: str) -> Any:
        """Start an app; a context."""
        return ended(
            workers.start(
                ["-m", f"tests.faust_apps.{name}", "worker", "--loglevel=warn", "--without-web"],
                self.log,
                APP=self.app,
                BROKER=self.address,
                TOPIC=self.topic,
                NOTES=str(self.notes_file),
                FLAG=str(self.flag),
                DATADIR=str(self.folder / "faust"),
                F_DATADIR=str(self.folder / "faust"),
                **environment,
            )
        )

    def notes(self) -> list[str]:
        """What the app says it has done."""
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    def committed(self) -> int:
        """The offset that the app's group has committed; 0 for none."""

        async def read() -> int:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.address, group_id=self.app, enable_auto_commit=False)
            await consumer.start()
            try:
                return await consumer.committed(TopicPartition(self.topic, 0)) or 0
            finally:
                await consumer.stop()

        return asyncio.run(read())

    def values(self, topic: str, count: int) -> list[bytes]:
        """The values of a topic's partition 0, `count` of them or what comes within two seconds."""

        async def read() -> list[bytes]:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False)
            await consumer.start()
            found: list[bytes] = []
            try:
                consumer.assign([tp := TopicPartition(topic, 0)])
                await consumer.seek_to_beginning(tp)
                for _ in range(10):
                    found += [r.value for r in (await consumer.getmany(tp, timeout_ms=200)).get(tp, ())]
                    if len(found) >= count:
                        break
                return found
            finally:
                await consumer.stop()

        return asyncio.run(read())

    def until(self, condition: Callable[[], bool], what: str) -> None:
        wait_for(condition, what, WAIT_S, self.log)

    def soon(self, condition: Callable[[], bool]) -> bool:
        """Whether it holds within a time in which Faust is most often done."""
        try:
            wait_for(condition, "soon", SOON_S)
        except AssertionError:
            return False
        return True

    def zhice(self, records: int) -> None:
        """Work through the log with `zhice worker`, and end it by SIGTERM."""
        log = self.folder / "zhice.log"
        with ended(workers.start_worker(self.settings, log)) as worker:
            self._archived(records, log)
            workers.stop(worker, log)

    def zhice_killed(self, records: int, more: list[Row]) -> None:
        """The same with a kill -9 when the lake has the records; `more` comes when nobody works."""
        log = self.folder / "zhice.log"
        with ended(workers.start_worker(self.settings, log)):
            self._archived(records, log)
        self.send(more)
        self.zhice(records + len(more))

    def _archived(self, records: int, log: Path) -> None:
        wait_for(lambda: workers.archived(self.settings.lake) >= records, f"{records} records", WAIT_S, log)

    def counted(self) -> dict[str, float]:
        """Transferred amount by customer, from the features in the lake."""
        return dict(ask(self.settings.lake, "SELECT customer_id, transfer_out_7d FROM customers"))


@pytest.fixture
def bench(apache_kafka: Any, topic_prefix: str, tmp_path: Path) -> Bench:
    return Bench(apache_kafka.address, topic_prefix, tmp_path, apache=True)


@pytest.fixture
def embedded_bench(embedded_broker: Any, topic_prefix: str, tmp_path: Path) -> Bench:
    return Bench(embedded_broker.address, topic_prefix, tmp_path, apache=False)


def amounts(numbers: range) -> dict[str, float]:
    return {f"c{c}": 100.0 * sum(n % 3 == c for n in numbers) for c in range(3)}


def test_row_1_commits_past_an_event_in_work(bench: Bench) -> None:
    bench.send([event(number) for number in range(30)])
    bench.flag.touch()
    with bench.faust("row1_concurrency"):
        bench.until(lambda: bench.committed() > 0, "a commit")
    assert "e0" not in bench.notes()
    bench.flag.unlink()
    for _ in range(ATTEMPTS):  # Faust sometimes never gets its partitions back after a kill
        with bench.faust("row1_concurrency"):
            if bench.soon(lambda: "e29" in bench.notes() and bench.committed() == 30):
                break
    assert "e29" in bench.notes() and bench.committed() == 30
    assert "e0" not in bench.notes(), "lost: it was in work when the app was killed, and committed"

    bench.zhice_killed(30, [event(30)])
    assert bench.counted() == amounts(range(31))


def test_row_2_an_exception_drops_the_event_or_the_whole_batch(bench: Bench) -> None:
    broken = {"amount": "much", "direction": "out"}
    bench.send([event(n, properties=broken) if n == 4 else event(n) for n in range(30)])
    with bench.faust("row2_exception"):
        bench.until(lambda: bench.committed() == 30, "everything is committed")
    done = {kind: {note.split()[1] for note in bench.notes() if note.startswith(kind)} for kind in ("each", "taken")}
    assert "e4" not in done["each"]
    lost = {f"e{n}" for n in range(30)} - done["taken"]
    assert "e4" in lost and len(lost) > 1, "good events went with the bad one"

    bench.zhice(30)
    good = amounts(range(30))
    assert bench.counted() == {**good, "c1": good["c1"] - 100}
    kept = ask(bench.settings.lake, 'SELECT reason, field, "offset" FROM bad_rows')
    assert kept == [("mistyped_field", "properties.amount", 4)]


def test_row_3_what_cannot_be_decoded_is_gone(bench: Bench) -> None:
    broken = b'{"event_id": "e7", '
    bench.send([(b"c1", broken) if n == 7 else event(n) for n in range(30)])
    with bench.faust("row3_undecodable"):
        bench.until(lambda: bench.committed() == 30, "everything is committed")
    assert "e7" not in bench.notes(), "acked, logged, and nowhere to be found"

    bench.zhice(30)
    kept = ask(bench.settings.lake, 'SELECT reason, key, value, "offset" FROM bad_rows')
    assert kept == [("not_json", b"c1", broken, 7)]
    good = amounts(range(30))
    assert bench.counted() == {**good, "c1": good["c1"] - 100}


def test_row_4_a_table_counts_twice_after_a_crash(bench: Bench) -> None:
    """The count is on its changelog before the offset is committed: a kill in between counts again."""
    bench.send([event(number) for number in range(30)])
    changelog = f"{bench.app}-counts-changelog"
    with bench.faust("row4_table", COMMIT_S="300"):
        bench.until(lambda: len(bench.notes()) == 30, "the end of the log")
        bench.until(lambda: len(bench.values(changelog, 30)) == 30, "the changelog")
    assert bench.committed() == 0
    for _ in range(ATTEMPTS):  # Faust sometimes never gets out of the recovery after a kill
        with bench.faust("row4_table"):
            if bench.soon(lambda: len(bench.notes()) == 60):
                break
    last = {note.split()[1]: int(note.split()[2]) for note in bench.notes()}
    assert sum(last.values()) > 30, "10 events each"

    bench.zhice_killed(30, [event(30)])
    assert bench.counted() == amounts(range(31))


def test_row_6_flush_hides_a_send_that_failed(bench: Bench) -> None:
    """The broker refuses what is too large for a topic. Zhice ends and says so, with nothing committed."""
    big, limit = "x" * 5000, 3000
    broken = (b"c0", json.dumps({"event_id": "e3", "more": big}).encode())
    alerts, bad_rows = (bench.settings.topic(kind) for kind in ("alerts", "bad-rows"))
    asyncio.run(_make_topic(bench.address, alerts, {"max.message.bytes": str(limit)}))

    rows = [event(n, properties={"amount": 1, "text": big if n == 3 else ""}) for n in range(10)]
    own_log = Bench(bench.address, f"{bench.settings.prefix}-own", bench.folder, apache=True)
    own_log.send(rows)
    with own_log.faust("row6_flush", ALERTS=alerts):
        own_log.until(lambda: own_log.committed() == 10, "everything is committed")
    passed = {json.loads(value)["event_id"] for value in own_log.values(alerts, 10)}
    assert "e3" not in passed, "committed, and never sent"

    log = bench.folder / "zhice.log"
    with ended(workers.start_worker(bench.settings, log)) as worker:  # at a start the topic would be refused
        wait_for(lambda: "restored partition 0" in log.read_text(), "it is ready", WAIT_S, log)
        asyncio.run(_limit(bench.address, bad_rows, limit))
        bench.send([broken if n == 3 else event(n) for n in range(10)])
        assert worker.wait(WAIT_S) == 1
    assert f"{bad_rows} takes no record batch of" in log.read_text()
    assert _committed_of(bench, bench.settings.app) == workers.archived(bench.settings.lake) == 0
    asyncio.run(_limit(bench.address, bad_rows, 4 << 20))
    with ended(workers.start_worker(bench.settings, log)) as worker:
        wait_for(lambda: workers.archived(bench.settings.lake) == 10, "it goes on", WAIT_S, log)
        workers.stop(worker, log)
    (kept,) = {json.loads(value)["offset"] for value in bench.values(bad_rows, 1)}
    assert kept == 3
    assert ask(bench.settings.lake, 'SELECT "offset" FROM bad_rows') == [(3,)]


def test_row_8_recovery_of_a_table_stops_at_the_reported_end(embedded_bench: Bench) -> None:
    """The embedded broker reports the base offset of the last batch as the end; a Table misses what is behind."""
    bench = embedded_bench
    times = {"SESSION_S": "6", "REBALANCE_S": "2", "LINGER_S": "0.1"}  # the changelog is in few batches
    first, more = [event(number) for number in range(30)], [event(number) for number in range(30, 33)]
    bench.send(first)
    with bench.faust("row4_table", **times) as app:
        bench.until(lambda: bench.committed() == 30, "everything is committed")
        app.terminate()
        app.wait()
    bench.send(more)
    with bench.faust("row4_table", **times):
        bench.until(lambda: bench.committed() == 33, "everything is committed")
    last = {note.split()[1]: int(note.split()[2]) for note in bench.notes()}
    assert sum(last.values()) < 33, "11 events each"

    bench = Bench(bench.address, f"{bench.settings.prefix}-own", bench.folder, apache=False)
    bench.send(first)
    bench.zhice(30)
    bench.send(more)
    bench.zhice(33)
    assert bench.counted() == amounts(range(33))


async def _make_topic(address: str, name: str, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config)])
    finally:
        await admin.close()


async def _limit(address: str, topic: str, limit: int) -> None:
    """Set the largest record batch that the topic takes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        config = {"max.message.bytes": str(limit), "retention.ms": "-1", "cleanup.policy": "delete"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=config)])
    finally:
        await admin.close()


def _committed_of(bench: Bench, group: str) -> int:
    app, bench.app = bench.app, group
    try:
        return bench.committed()
    finally:
        bench.app = app
