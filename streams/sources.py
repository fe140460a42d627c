"""Sources of a replay: any file that DuckDB reads, mapped by one SQL query, becomes a file of records.

Columns that are named as in the envelope fill it; every other column becomes a property. A row without a time is sent
at the time of the one before it, and will be a bad row. NaN and infinity, which JSON has not, are null.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

ENVELOPE = (
    "event_id",
    "event",
    "customer_id",
    "event_time",
    "channel",
    "session_id",
    "device_id",
    "received_at",
    "context",
)
REQUIRED = ("event", "customer_id", "event_time")
TIMES = ("event_time", "received_at")
MEND_TIME = "make a time of it in the query, as in: strptime(day, '%d.%m.%Y') AS event_time, ms::BIGINT AS event_time"


class SourceError(ValueError):
    """A file or a query that gives no events; the message says what to do."""


def write_records(source: str, sql: str, target: Path) -> int:
    """Write timestamp (ms), key and value of each event that `sql` makes of `source` as Parquet; returns how many.

    In the query, `source` names the file. Raises SourceError.
    """
    with duckdb.connect() as connection:
        try:
            connection.execute("SET TimeZone = 'UTC'")  # the same events on every machine
            connection.execute(f"CREATE VIEW source AS FROM {_quoted(source)}")
            connection.execute(f"CREATE TEMP TABLE wanted AS {sql}")
            _write(connection, target)
        except duckdb.Error as error:
            raise SourceError(f"{source}: {error}") from None
        return int(connection.execute("SELECT count(*) FROM wanted").fetchall()[0][0])


def _write(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    columns = {name: type_ for name, type_, *_ in connection.execute("DESCRIBE wanted").fetchall()}
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise SourceError(
            f"the query gives no column {', '.join(missing)}; name one with AS, as in: CustomerID AS customer_id"
        )
    fields = {name: _field(name, columns[name]) for name in ENVELOPE if name in columns}
    number = "n" * (1 + max(map(len, columns)))  # no column has this name
    fields.setdefault("event_id", f"'row-' || {number}")
    properties = [f"{_name(name)} := {_property(name, columns[name])}" for name in columns if name not in ENVELOPE]
    if properties:
        fields["properties"] = f"struct_pack({', '.join(properties)})"
    value = ", ".join(f"{name} := {text}" for name, text in fields.items())
    time = fields["event_time"]
    try:
        connection.execute(
            f"""COPY (
                SELECT coalesce({time}, lag({time} IGNORE NULLS) OVER (ORDER BY {number}), min({time}) OVER (), 0)
                           AS timestamp,
                       encode(customer_id::VARCHAR) AS key, encode(to_json(struct_pack({value}))::VARCHAR) AS value
                FROM (SELECT row_number() OVER () AS {number}, * FROM wanted)
                ORDER BY {number}
            ) TO {_quoted(str(target))} (FORMAT parquet)"""
        )
    except duckdb.ConversionException as error:
        raise SourceError(f"{str(error).splitlines()[0]}: {MEND_TIME}") from None


def _field(name: str, type_: str) -> str:
    if name in TIMES:
        return _time(name, type_)
    return name if name == "context" else f"{name}::VARCHAR"


def _time(name: str, type_: str) -> str:
    """A time in ms; a text without an offset or zone is in UTC. Raises SourceError for types that hold no time."""
    if type_ in ("VARCHAR", "JSON"):
        return f"epoch_ms({name}::TIMESTAMPTZ)"
    if type_.startswith(("TIMESTAMP", "DATE")):
        return f"epoch_ms({name}::TIMESTAMP)"
    if type_.endswith(("INT", "INTEGER", 'NULL"')):
        return f"{name}::BIGINT"
    if type_ == "DOUBLE" or type_.startswith("DECIMAL"):
        broken = f"error('{name} ' || {name} || ' is no whole number of ms: {_doubled(MEND_TIME)}')"
        return (
            f"CASE WHEN {name} IS NULL OR NOT isfinite({name}) THEN NULL "
            f"WHEN {name} = trunc({name}) THEN {name}::BIGINT ELSE {broken} END"
        )
    raise SourceError(f"{name} is {type_}, which is no time: {MEND_TIME}")


def _property(name: str, type_: str) -> str:
    column = _name(name)
    return f"CASE WHEN isfinite({column}) THEN {column} END" if type_ in ("DOUBLE", "FLOAT") else column


def _quoted(text: str) -> str:
    return "'" + _doubled(text) + "'"


def _doubled(text: str) -> str:
    return text.replace("'", "''")


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
