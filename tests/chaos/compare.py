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

from sinks.lake import connect, files_of
from sinks.verify import verify
from streams.catalogues import read_catalogue
from streams.settings import Settings

# `features` has a row for each stop of a worker, too: its latest rows are compared instead.
TABLES = ("events", "transitions", "decisions", "triggers", "bad_rows", "metrics")
IDENTITY = {  # what makes an output of a topic the one of a row in its table
    "triggers": ("id",),
    "decisions": ("id",),
    "transitions": ("partition", "offset", "seq"),
    "bad-rows": ("partition", "offset"),
}
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
    for kind in IDENTITY:
        _compare_topic(found, settings, kind, oracle, is_by_id=not changed or kind not in VERSIONED)
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
        rows, lost, doubled = _differing(connection, got, right)
    found.rows += rows
    found.note(f"{table} in the lake", lost, doubled)


def _differing(connection: duckdb.DuckDBPyConnection, got: str, right: str) -> tuple[int, int, int]:
    """Rows that are right, how many of them are missing, and how many there are besides."""
    queries = (f"FROM {right} EXCEPT ALL FROM {got}", f"FROM {right}", f"FROM {got}")
    lost, wanted, there = (connection.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0] for query in queries)
    return wanted, lost, there - (wanted - lost)


def _files(lake: Path, table: str) -> str:
    """SQL that reads a table; one without rows has the columns of its schema."""
    delta = DeltaTable(lake / table)
    columns = ", ".join(f'NULL AS "{name}"' for name in delta.schema().to_arrow().names)
    return files_of(delta) or f"(SELECT {columns} WHERE false)"


def _compare_features(found: Comparison, lake: Path, oracle: Path, changed: Collection[str]) -> None:
    """The latest values of every customer and of every instance; as of when differs, since workers stopped."""
    latest = [_latest(place, changed) for place in (lake, oracle)]
    with duckdb.connect() as connection:
        connection.register("got", latest[0])
        connection.register("oracle", latest[1])
        _, lost, doubled = _differing(connection, "got", "oracle")
    found.note("features", lost, doubled)


def _latest(lake: Path, changed: Collection[str]) -> Any:
    with connect(lake) as connection:
        columns = {name for name, *_ in connection.execute("DESCRIBE latest_features").fetchall()}
        without = ", ".join(
            f'"{name}"' for name in ("as_of", "offset", "day", "partition", *changed) if name in columns
        )
        return connection.sql(f"SELECT * EXCLUDE ({without}) FROM latest_features").to_arrow_table()


def _compare_topic(found: Comparison, settings: Settings, kind: str, oracle: Path, *, is_by_id: bool) -> None:
    """Where a newer catalogue gives other ids, as many of them are right."""
    sent, right = _sent(settings, kind), _right(oracle, kind)
    lost, doubled = len(right - sent.keys()), len(sent.keys() - right)
    if not is_by_id:
        lost, doubled = max(0, len(right) - len(sent)), max(0, len(sent) - len(right))
    found.note(f"{kind} on the topic", lost, doubled)
    found.wire_duplicates += sum(sent.values()) - len(sent)
    if kind == "triggers":
        found.triggers = len(sent)


def _right(oracle: Path, kind: str) -> set[tuple[Any, ...]]:
    """The identities of all outputs that should be on a topic."""
    columns = ", ".join(f'"{name}"' for name in IDENTITY[kind])
    with duckdb.connect() as connection:
        query = f"SELECT {columns} FROM {_files(oracle, kind.replace('-', '_'))}"
        return set(connection.execute(query).fetchall())


def _sent(settings: Settings, kind: str) -> Counter[tuple[Any, ...]]:
    """How often each output is on its topic, by identity."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.broker.split(","), enable_auto_commit=False, check_crcs=False
    )  # the checks are in Python, and take longer than all else here
    try:
        partitions = [TopicPartition(settings.topic(kind), number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends, found = consumer.end_offsets(partitions), Counter[tuple[Any, ...]]()
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for records in consumer.poll(timeout_ms=500, max_records=10_000).values():
                values = [msgspec.json.decode(record.value) for record in records]
                found.update(tuple(value[name] for name in IDENTITY[kind]) for value in values)
        return found
    finally:
        consumer.close()
