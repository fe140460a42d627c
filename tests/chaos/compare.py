"""What came out against the oracle: the product's own backtest, which folds the same log without a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from deltalake import DeltaTable
from kafka import KafkaConsumer, TopicPartition

from sinks.lake import connect
from sinks.verify import verify
from streams.catalogues import read_catalogue
from streams.settings import Settings

# `features` has a row for each stop of a worker, too: its latest rows are compared instead.
TABLES = ("events", "transitions", "decisions", "triggers", "bad_rows", "metrics")
OUTPUTS = {"triggers": "triggers", "decisions": "decisions", "transitions": "transitions", "bad-rows": "bad_rows"}
VERSIONED = dict.fromkeys(("decisions", "triggers"), ("id", "catalogue_version"))
NOT_COMPARED = {"metrics": 'WHERE "offset" < ends[partition + 1]'}  # open minutes are written at the end of a log only


@dataclass
class Comparison:
    """`lost` and `doubled` are rows of the lake, outputs and features that should be there, or should not."""

    rows: int = 0
    triggers: int = 0
    customers: int = 0
    lost: int = 0
    doubled: int = 0
    wire_duplicates: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, lost: int, doubled: int) -> None:
        self.lost += lost
        self.doubled += doubled
        if lost or doubled:
            self.wrong.append(f"{what}: {lost} missing, {doubled} too many")


def compare(settings: Settings, oracle: Path, ends: list[int], changed: Collection[str] = ()) -> Comparison:
    """Of a lake and topics that are worked through, and stopped. `ends` are the ends of the log.

    `changed` are features that the oracle's catalogue does not have: then the versions of decisions differ, too.
    """
    found = Comparison()
    for table in TABLES:
        _compare_rows(found, table, Path(settings.lake), oracle, ends, VERSIONED.get(table, ()) if changed else ())
    _compare_features(found, Path(settings.lake), oracle, changed)
    for kind, table in OUTPUTS.items():
        _compare_topic(found, settings, kind, _count(oracle, table))
    report = verify(settings.lake, read_catalogue(settings.catalogue))
    if mismatches := [one for one in report.mismatches if one.feature not in changed]:
        found.wrong.append(f"zhice verify: {len(mismatches)} mismatches")
    found.customers = report.customers
    return found


def _compare_rows(
    found: Comparison, table: str, lake: Path, oracle: Path, ends: list[int], without: Collection[str]
) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        where = NOT_COMPARED.get(table, "").replace("ends", str(ends))
        columns = f"* EXCLUDE ({', '.join(without)})" if without else "*"
        got, right = (f"(SELECT {columns} FROM {_files(place, table)} {where})" for place in (lake, oracle))
        lost, doubled = (
            connection.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})").fetchall()[0][0]
            for one, other in ((right, got), (got, right))
        )
        found.rows += connection.execute(f"SELECT count(*) FROM {right}").fetchall()[0][0]
    found.note(f"{table} in the lake", lost, doubled)


def _files(lake: Path, table: str) -> str:
    """SQL that reads a table; one without rows has the columns of its schema."""
    delta = DeltaTable(lake / table)
    if files := delta.file_uris():
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = true, hive_types = {{'day': DATE}})"
    columns = ", ".join(f'NULL AS "{name}"' for name in delta.schema().to_arrow().names)
    return f"(SELECT {columns} WHERE false)"


def _count(lake: Path, table: str) -> int:
    return int(DeltaTable(lake / table).count())


def _compare_features(found: Comparison, lake: Path, oracle: Path, changed: Collection[str]) -> None:
    """The latest values of every customer and of every instance; as of when differs, since workers stopped."""
    latest = [_latest(place, changed) for place in (lake, oracle)]
    with duckdb.connect() as connection:
        connection.register("got", latest[0])
        connection.register("oracle", latest[1])
        lost, doubled = (
            connection.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})").fetchall()[0][0]
            for one, other in (("oracle", "got"), ("got", "oracle"))
        )
    found.note("features", lost, doubled)


def _latest(lake: Path, changed: Collection[str]) -> Any:
    with connect(lake) as connection:
        columns = {name for name, *_ in connection.execute("DESCRIBE latest_features").fetchall()}
        without = ", ".join(
            f'"{name}"' for name in ("as_of", "offset", "day", "partition", *changed) if name in columns
        )
        return connection.sql(f"SELECT * EXCLUDE ({without}) FROM latest_features").to_arrow_table()


def _compare_topic(found: Comparison, settings: Settings, kind: str, right: int) -> None:
    sent = _sent(settings, kind)
    found.note(f"{kind} on the topic", max(0, right - len(sent)), max(0, len(sent) - right))
    found.wire_duplicates += sum(sent.values()) - len(sent)
    if kind == "triggers":
        found.triggers = len(sent)


def _sent(settings: Settings, kind: str) -> Counter[Any]:
    """How often each output is on its topic: by id, or by the place that caused it."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker.split(","), enable_auto_commit=False)
    try:
        partitions = [TopicPartition(settings.topic(kind), number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends, found = consumer.end_offsets(partitions), Counter[Any]()
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for records in consumer.poll(timeout_ms=500, max_records=10_000).values():
                found.update(_name(record.value) for record in records)
        return found
    finally:
        consumer.close()


def _name(value: bytes) -> Any:
    one = msgspec.json.decode(value)
    return one.get("id") or (one["partition"], one["offset"], one.get("seq"))
