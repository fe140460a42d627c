"""Reading the lake: DuckDB over the files that Delta's logs name, and the views of sinks/views/*.sql."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from glob import escape
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from sinks.about import NoLakeError, about_lake
from sinks.schemas import DAY

VIEWS = Path(__file__).parent / "views"
TABLES = ("events", "transitions", "decisions", "triggers", "features", "bad_rows", "metrics")
ORDER = ("snapshots", "latest_features", "customers", "aum", "retention")  # views that others read, before them
NEEDS = "-- needs: "
FILE_OPTIONS = "union_by_name = true, hive_partitioning = true, hive_types = {'day': DATE}"
INTERRUPT_S: Final = 0.1  # between two interruptions of a query: one may fall between queries, and reach none
T = TypeVar("T")


def connect(path: str | Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with a view each table of the lake, and the views over them. Raises NoLakeError.

    To make a view DuckDB opens every file that it reads, and there are some a day. So the views are made over tables
    without rows, which then become those of the lake.
    """
    place = Path(path)
    about = about_lake(place)
    if any(part.lower().startswith(f"{DAY}=") for part in place.absolute().parts):
        raise NoLakeError(f"DuckDB would take a folder of {place.absolute()} for the day of every row: rename it")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = ?", [about["time_zone"]])
    connection.execute("SET parquet_metadata_cache = true")  # a file of the lake never changes
    tables = {name: table for name in TABLES if (table := _table(place / name))}
    for name, table in tables.items():
        connection.execute(f"CREATE VIEW {name} AS {table.no_rows}")
    _create_stages(connection, about["journeys"])
    _create_policies(connection, about)
    for name, text in views():
        if _can_have(text, tables):
            connection.execute(f"CREATE VIEW {name} AS {text}")
    for name, table in tables.items():
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS {table.rows}")
    return connection


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """What `work` returns, which queries the connection; Ctrl-C ends it at once.

    A thread that waits for a query hears no signal before its end, so the work has a thread of its own.
    """
    made: Future[T] = Future()

    def make() -> None:
        try:
            made.set_result(work())
        except BaseException as error:
            made.set_exception(error)

    thread = Thread(target=make, daemon=True)
    try:
        thread.start()
        return made.result()
    except KeyboardInterrupt:
        while thread.is_alive():
            connection.interrupt()
            thread.join(INTERRUPT_S)
        raise


def views() -> list[tuple[str, str]]:
    """(name, SQL) of every view, those that others read first."""
    files = {file.stem: file.read_text(encoding="utf-8") for file in sorted(VIEWS.glob("*.sql"))}
    return [(name, files[name]) for name in (*ORDER, *(name for name in files if name not in ORDER))]


class _Table(NamedTuple):
    """Types of columns, and SQL: of no rows, and of all."""

    columns: dict[str, str]
    no_rows: str
    rows: str


def _table(place: Path) -> _Table | None:
    """Of the files of a table, with its columns in their order, whether files have them; None where there is none."""
    try:
        table = DeltaTable(place)
        files = files_of(table)
        schema = {field.name: _duckdb_type(str(field.type.type)) for field in table.schema().fields}
    except (TableNotFoundError, DeltaError):
        return None
    nulls = ", ".join(f'NULL::{type_} AS "{column}"' for column, type_ in schema.items())
    rows = no_rows = f"SELECT {nulls} WHERE false"
    if files:
        names = ", ".join(f'"{column}"' for column in schema)  # a folder above, such as bank=1, is no column
        rows = f"SELECT {names} FROM ({no_rows} UNION ALL BY NAME FROM {files})"
    return _Table(schema, no_rows, rows)


def files_of(table: DeltaTable) -> str | None:
    """SQL that reads the files that a table's log names; None where it names none. Raises DeltaError.

    Delta escapes paths as URIs, and DuckDB takes some of their characters for a pattern.
    """
    files = [quoted(escape(unquote(file))) for file in table.file_uris()]
    return f"read_parquet([{', '.join(files)}], {FILE_OPTIONS})" if files else None


def _duckdb_type(delta: str) -> str:
    names = {"string": "VARCHAR", "long": "BIGINT", "integer": "INTEGER", "timestamp": "TIMESTAMPTZ", "binary": "BLOB"}
    return names.get(delta, delta)


def _create_stages(connection: duckdb.DuckDBPyConnection, journeys: dict[str, list[str]]) -> None:
    connection.execute("CREATE TABLE stages (journey VARCHAR, number INTEGER, stage VARCHAR)")
    rows = [(journey, number, stage) for journey, stages in journeys.items() for number, stage in enumerate(stages)]
    if rows:
        connection.executemany("INSERT INTO stages VALUES (?, ?, ?)", rows)


def _create_policies(connection: duckdb.DuckDBPyConnection, about: dict[str, Any]) -> None:
    """Tables of what decisions name: the goals of rules, contact limits and holdouts."""
    connection.execute("CREATE TABLE goals (rule VARCHAR, event VARCHAR, within INTERVAL)")
    goals = [(rule, goal["event"], goal["within_ms"]) for rule, goal in about.get("goals", {}).items()]
    if goals:
        connection.executemany("INSERT INTO goals VALUES (?, ?, to_milliseconds(?))", goals)
    for table in ("contact_limits", "holdouts"):
        connection.execute(f"CREATE TABLE {table} (name VARCHAR)")
        if names := about.get(table, []):
            connection.executemany(f"INSERT INTO {table} VALUES (?)", [(name,) for name in names])


def _can_have(text: str, tables: Mapping[str, _Table]) -> bool:
    """Whether the lake has what a view needs: a table, or a column of it, which may have to be of a type."""
    line = next(line for line in text.splitlines() if line.startswith(NEEDS))
    return all(_has(tables, *need.partition(" ")[::2]) for need in line.removeprefix(NEEDS).split(", "))


def _has(tables: Mapping[str, _Table], name: str, type_: str) -> bool:
    table, _, column = name.partition(".")
    if table not in tables or not column:
        return table in tables
    found = tables[table].columns.get(column)
    return found is not None and type_ in ("", found)


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
