"""Sources of a replay: any file that DuckDB reads, mapped by one SQL query, becomes a file of records.

Columns that are named as in the envelope fill it, in capitals or not; every other column becomes a property, beside
those of a column `properties`, which is an object or its JSON, as `context` is. A row without a time is sent at the
time of the one before it, and will be a bad row. NaN and infinity, which JSON has not, are null.
"""

from __future__ import annotations

import re
from glob import escape
from pathlib import Path

import duckdb

from models.errors import UserError
from sinks.lake import interruptible, quoted

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
    "properties",
)
REQUIRED = ("event", "customer_id", "event_time")
TIMES = ("event_time", "received_at")
MAY_HOLD_NAN = "contains(value, 'NaN') OR contains(value, 'Infinity')"  # or a text does
TEXT_OR_NAN = re.compile(r'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)')
OBJECTS = ("context", "properties")
MEND_TIME = "make a time of it in the query, as in: strptime(day, '%d.%m.%Y') AS event_time, ms::BIGINT AS event_time"


class SourceError(UserError):
    """A file or a query that gives no events; the message says what to do."""


def write_records(source: str, sql: str, target: Path) -> int:
    """Write timestamp (ms), key and value of each event that `sql` makes of `source` as Parquet; returns how many.

    In the query, `source` names the file. Raises SourceError.
    """
    with duckdb.connect() as connection:
        try:
            return interruptible(connection, lambda: _write_records(connection, source, sql, target))
        except duckdb.Error as error:
            raise SourceError(f"{source}: {error}") from None


def _write_records(connection: duckdb.DuckDBPyConnection, source: str, sql: str, target: Path) -> int:
    connection.execute("SET TimeZone = 'UTC'")  # the same events on every machine
    connection.create_function("without_nan", _without_nan, ["VARCHAR"], "VARCHAR")
    connection.execute(f"CREATE VIEW source AS FROM {quoted(escape(source))}")  # one file: its name is no pattern
    connection.execute(f"CREATE TEMP TABLE wanted AS {sql}")
    _write(connection, target)
    return int(connection.execute("SELECT count(*) FROM wanted").fetchall()[0][0])


def _write(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    columns = {name: type_ for name, type_, *_ in connection.execute("DESCRIBE wanted").fetchall()}
    of_envelope = {name.lower(): type_ for name, type_ in columns.items() if name.lower() in ENVELOPE}
    missing = [name for name in REQUIRED if name not in of_envelope]
    if missing:
        raise SourceError(
            f"the query gives no column {', '.join(missing)}; name one with AS, as in: CustomerID AS customer_id"
        )
    number = "n" * (1 + max(map(len, columns)))  # no column has this name
    fields = {"event_id": f"'row-' || {number}"}
    fields |= {name: _field(name, of_envelope[name]) for name in ENVELOPE if name in of_envelope}
    others = {name: type_ for name, type_ in columns.items() if name.lower() not in ENVELOPE}
    if others:
        fields["properties"] = _properties(others, fields.get("properties"))
    value = ", ".join(f"{name} := {text}" for name, text in fields.items())
    time = fields["event_time"]
    try:
        connection.execute(
            f"""COPY (
                SELECT timestamp, key, encode(CASE WHEN {MAY_HOLD_NAN} THEN without_nan(value) ELSE value END) AS value
                FROM (
                    SELECT {number},
                           coalesce({time}, lag({time} IGNORE NULLS) OVER (ORDER BY {number}), min({time}) OVER (), 0)
                               AS timestamp,
                           encode(customer_id::VARCHAR) AS key, to_json(struct_pack({value}))::VARCHAR AS value
                    FROM (SELECT row_number() OVER () AS {number}, * FROM wanted)
                )
                ORDER BY {number}
            ) TO {quoted(str(target))} (FORMAT parquet)"""
        )
    except duckdb.ConversionException as error:
        raise SourceError(f"{str(error).splitlines()[0]}: {MEND_TIME}") from None


def _field(name: str, type_: str) -> str:
    if name in TIMES:
        return _time(name, type_)
    return _object(name, type_) if name in OBJECTS else f"{name}::VARCHAR"


def _time(name: str, type_: str) -> str:
    """A time in ms; a text without an offset or zone is in UTC. Raises SourceError for types that hold no time."""
    if type_ in ("VARCHAR", "JSON") or type_.startswith(("TIMESTAMP", "DATE")):
        return f"epoch_ms({name}::TIMESTAMPTZ)"
    if type_.endswith(("INT", "INTEGER", 'NULL"')):
        return f"{name}::BIGINT"
    if type_ == "DOUBLE" or type_.startswith("DECIMAL"):
        broken = f"error('{name} ' || {name} || {quoted(f' is no whole number of ms: {MEND_TIME}')})"
        return (
            f"CASE WHEN {name} IS NULL OR NOT isfinite({name}) THEN NULL "
            f"WHEN {name} = trunc({name}) THEN {name}::BIGINT ELSE {broken} END"
        )
    raise SourceError(f"{name} is {type_}, which is no time: {MEND_TIME}")


def _object(name: str, type_: str) -> str:
    """An object as JSON, also one that is a text of JSON; what is none will be a bad row."""
    is_text = f"CASE WHEN json_valid({name}) THEN {name}::JSON ELSE to_json({name}) END"
    return is_text if type_ == "VARCHAR" else f"to_json({name})"


def _properties(columns: dict[str, str], object_: str | None) -> str:
    """The columns as properties, added to those of an object, if there is one: a column that is not NULL wins."""
    made = f"struct_pack({', '.join(f'{_name(name)} := {_property(name, columns[name])}' for name in columns)})"
    if object_ is None:
        return made
    known = f"json_merge_patch('{{}}', to_json({made}))"  # without those that are null, which would remove others
    return (
        f"CASE coalesce(json_type({object_}), 'NULL') WHEN 'OBJECT' THEN json_merge_patch({object_}, {known}) "
        f"WHEN 'NULL' THEN {known} ELSE {object_} END"
    )


def _property(name: str, type_: str) -> str:
    column = _name(name)
    return f"CASE WHEN isfinite({column}) THEN {column} END" if type_ in ("DOUBLE", "FLOAT") else column


def _without_nan(text: str) -> str:
    """JSON as DuckDB writes it, with NaN and infinity, without them; every other number keeps its digits.

    >>> _without_nan('{"n": [NaN, -Infinity, 0.10000000000000000001], "t": "NaN"}')
    '{"n": [null, null, 0.10000000000000000001], "t": "NaN"}'
    """
    return TEXT_OR_NAN.sub(lambda found: found[0] if found[0].startswith('"') else "null", text)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
