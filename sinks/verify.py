"""Verify: every feature in the lake against the same feature, computed again in SQL from the lake's events.

Nothing is shared with the engine but the catalogue and docs/semantics.md. Lateness needs no replay: T only grows, so
that an event in the window at the end was in the window when it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from models.catalogue import CUSTOMER, Catalogue, Feature, concerned_events, entities, event_names, key_of
from models.expressions import Kind, names_in, parse, to_duckdb
from models.layout import OTHER_TEXT
from models.windows import DAY_MS, tile_count
from sinks.about import about_lake, other_than
from sinks.lake import connect, interruptible, quoted
from sinks.writer import LakeError

TOLERANCE: Final = 1e-9  # relative; of a sum to the sum of magnitudes, for its terms may cancel out
FEATURES_A_QUERY: Final = 20
SQL_TYPES: Final = {Kind.NUMBER: "DOUBLE", Kind.BOOLEAN: "BOOLEAN"}
COLUMN_TYPES: Final = {**SQL_TYPES, Kind.STRING: "VARCHAR", Kind.NULL: "DOUBLE"}  # of features in the lake
ENVELOPE: Final = {
    "channel": "channel",
    "event_time": "CAST(utc_ms AS DOUBLE)",
    "event_hour": "event_hour",
    "event_weekday": "event_weekday",
}


@dataclass(frozen=True)
class Mismatch:
    """A feature of an entity whose value in the lake is another than that of its events; None is NULL."""

    entity: str
    customer_id: str
    entity_id: str | None
    feature: str
    lake: float | bool | str | None
    recomputed: float | bool | str | None


@dataclass(frozen=True)
class VerifyReport:
    """What was compared: entities (customers among them), features (columns) and values; and what differs."""

    customers: int
    entities: int
    features: int
    compared: int
    mismatches: list[Mismatch]


def verify(path: str | Path, catalogue: Catalogue) -> VerifyReport:
    """Compare the latest snapshot of every entity with its events before that.

    Raises NoLakeError; LakeError where the lake is of another catalogue or has nothing to compare; duckdb.Error.
    """
    with connect(path) as connection:
        _check_catalogue(connection, Path(path), catalogue)
        report = interruptible(connection, lambda: _verify(connection, catalogue))
    if not report.entities:
        raise LakeError(
            f"the lake at {path} has no snapshots, so there is nothing to compare: workers take them at each hour of "
            "the log, and when they stop"
        )
    return report


def _verify(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> VerifyReport:
    _cut(connection)
    counts, compared, mismatches = {}, 0, []
    for entity in entities(catalogue):
        features = _features(catalogue, entity)
        _take_events(connection, catalogue, entity)
        counts[entity] = _take_latest(connection, entity, features)
        compared += counts[entity] * len(features)
        for first in range(0, len(features), FEATURES_A_QUERY):
            mismatches += _compare(connection, catalogue, entity, features, first)
    return VerifyReport(
        customers=counts[CUSTOMER],
        entities=sum(counts.values()),
        features=len(catalogue.features),
        compared=compared,
        mismatches=mismatches,
    )


def _check_catalogue(connection: duckdb.DuckDBPyConnection, place: Path, catalogue: Catalogue) -> None:
    """Raises LakeError where the lake cannot be of this catalogue."""
    about = about_lake(place)
    known, version = about["catalogue"], about["catalogue_version"]
    if other := other_than(about, {"catalogue": catalogue.name, "time_zone": catalogue.time_zone}):
        raise LakeError(f"the lake at {place} {other}; name its own by --catalogue")
    types = {name: type_ for name, type_, *_ in connection.execute("DESCRIBE features").fetchall()}
    for feature in catalogue.features:
        wanted = COLUMN_TYPES[catalogue.feature_types[feature.name].kind]
        if types.get(feature.name) != wanted:
            raise LakeError(
                f"the lake at {place} is of version {version} of catalogue {known}, and has no {wanted} {feature.name} "
                f"as version {catalogue.version} has; name its own by --catalogue"
            )


def _features(catalogue: Catalogue, entity: str) -> list[Feature]:
    return [feature for feature in catalogue.features if feature.entity == entity]


def _cut(connection: duckdb.DuckDBPyConnection) -> None:
    """The applied events that the last snapshot of their partition can have seen."""
    connection.execute("""
        CREATE TEMP VIEW applied AS
        SELECT events.*
        FROM events
        JOIN (SELECT partition, max("offset") AS until FROM features GROUP BY partition) AS cut USING (partition)
        WHERE status = 'applied' AND "offset" < until
    """)


def _take_events(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, entity: str) -> None:
    """Make `taken`: the entity's events, with the properties that its features read as columns p0, p1, …"""
    key = key_of(catalogue, entity)
    names = [*_properties(catalogue, entity), *([key] if key else [])]
    entity_id = f"p{len(names) - 1}" if key else "''"
    columns = "".join(f", {_property(catalogue, name, at)} AS p{at}" for at, name in enumerate(names))
    concerned = concerned_events(catalogue, entity)
    numbers = [f"({quoted(event.name)}, {at})" for at, event in enumerate(catalogue.events) if event.name in concerned]
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE taken AS
        WITH numbers(event, event_type) AS (VALUES {", ".join(numbers)}),
        raw AS (
            SELECT customer_id, event_type, "offset", channel, epoch_ms(event_time) AS utc_ms,
                   timezone({quoted(catalogue.time_zone)}, event_time) AS local_time,
                   {_last_texts(names)} AS texts
            FROM applied JOIN numbers USING (event)
        ),
        typed AS (
            SELECT * EXCLUDE (texts, local_time), epoch_ms(local_time) AS local_ms,
                   CAST(hour(local_time) AS DOUBLE) AS event_hour, CAST(isodow(local_time) AS DOUBLE) AS event_weekday
                   {columns}
            FROM raw
        )
        SELECT *, {entity_id} AS entity_id,
               max(utc_ms) OVER own AS newest_utc_ms, max_by(local_ms, utc_ms) OVER own AS newest_local_ms,
               row_number() OVER (PARTITION BY customer_id ORDER BY utc_ms, "offset") AS number
        FROM typed
        WHERE {entity_id} IS NOT NULL
        WINDOW own AS (PARTITION BY customer_id, {entity_id})
    """)


def _last_texts(names: Sequence[str]) -> str:
    """SQL of the texts of properties as a list. Of a key that comes twice the last counts; DuckDB takes the first."""
    paths = ", ".join(quoted(f'$."{name}"') for name in names)
    listed = ", ".join(map(quoted, names))
    keys, values = "json_keys(properties)", "json_extract_string(properties, '$.*')"
    last = f"{values}[len({keys}) + 1 - list_position(list_reverse({keys}), name)]"
    return f"""
        CASE WHEN len(list_distinct({keys})) < len({keys})
             THEN list_transform([{listed}]::VARCHAR[], lambda name: {last})
             ELSE json_extract_string(properties, [{paths}]::VARCHAR[]) END
    """


def _properties(catalogue: Catalogue, entity: str) -> list[str]:
    """The properties that the entity's features read."""
    texts = [
        text for feature in _features(catalogue, entity) for text in (feature.where, feature.value) if text is not None
    ]
    read = dict.fromkeys(name for text in texts for name in names_in(text))
    return [name for name in read if name in catalogue.property_types]


def _property(catalogue: Catalogue, name: str, at: int) -> str:
    """A property as the engine reads it: NULL on events that do not declare it."""
    kind = catalogue.property_types[name].kind
    text = f"texts[{at + 1}]"
    value = f"TRY_CAST({text} AS {SQL_TYPES[kind]})" if kind in SQL_TYPES else text
    declaring = [at for at, event in enumerate(catalogue.events) if name in event.properties]
    return f"CASE WHEN event_type IN ({', '.join(map(str, declaring))}) THEN {value} END"


def _take_latest(connection: duckdb.DuckDBPyConnection, entity: str, features: Sequence[Feature]) -> int:
    """Make `latest`: the entity's last snapshots, with features as columns f0, f1, … Returns the number of rows."""
    columns = "".join(f', "{feature.name}" AS f{at}' for at, feature in enumerate(features))
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE latest AS
        SELECT customer_id, coalesce(entity_id, '') AS entity_id {columns}
        FROM latest_features
        WHERE entity = {quoted(entity)}
    """)
    return int(connection.execute("SELECT count(*) FROM latest").fetchall()[0][0])


def _compare(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, entity: str, features: Sequence[Feature], first: int
) -> list[Mismatch]:
    """What differs of the entity's features number first, first + 1, …, as many as one query takes."""
    some = features[first : first + FEATURES_A_QUERY]
    columns_of = {name: f"p{at}" for at, name in enumerate(_properties(catalogue, entity))} | ENVELOPE
    makers = [_Recomputed(catalogue, feature, columns_of) for feature in some]
    values = ", ".join(maker.columns(at) for at, maker in enumerate(makers, first))
    same = [maker.same(at) for at, maker in enumerate(makers, first)]
    columns = ", ".join(f"{is_same}, f{at}, r{at}" for at, is_same in enumerate(same, first))
    rows = connection.execute(f"""
        WITH recomputed AS (SELECT customer_id, entity_id, {values} FROM taken GROUP BY customer_id, entity_id)
        SELECT customer_id, entity_id, {columns}
        FROM latest FULL JOIN recomputed USING (customer_id, entity_id)
        WHERE NOT ({" AND ".join(same)})
        ORDER BY customer_id, entity_id
    """).fetchall()
    return [
        Mismatch(entity, customer_id, entity_id or None, feature.name, lake, recomputed)
        for customer_id, entity_id, *cells in rows
        for feature, is_same, lake, recomputed in zip(some, cells[::3], cells[1::3], cells[2::3], strict=True)
        if not is_same
    ]


class _Recomputed:
    """SQL of one feature: its value r… over rows of `taken`, and whether that is the same as f… of the lake."""

    def __init__(self, catalogue: Catalogue, feature: Feature, columns: Mapping[str, str]) -> None:
        types = event_names(catalogue, feature.on)
        numbers = [at for at, event in enumerate(catalogue.events) if event.name in feature.on]
        takes = [f"event_type IN ({', '.join(map(str, numbers))})", *_in_window(feature)]
        if feature.where is not None:
            takes.append(to_duckdb(parse(feature.where, types), columns))
        self.feature = feature
        self.input = None if feature.value is None else parse(feature.value, types)
        self.input_sql = "TRUE"
        if self.input is not None:
            self.input_sql = to_duckdb(self.input, columns)
            takes.append(f"{self.input_sql} IS NOT NULL")
        self.filter = f"FILTER ({' AND '.join(takes)})"

    def columns(self, at: int) -> str:
        """The value and, of a sum, the sum of magnitudes: rounding depends on the order of its terms."""
        if self.feature.aggregate != "sum":
            return f"{self._value()} AS r{at}"
        return f"{self._value()} AS r{at}, sum(abs({self._number()})) {self.filter} AS s{at}"

    def same(self, at: int) -> str:
        """TRUE or FALSE."""
        equal = f"f{at} IS NOT DISTINCT FROM r{at}"
        if self.feature.aggregate != "sum":
            return f"({equal})"
        return f"({equal} OR coalesce(abs(f{at} - r{at}) <= {TOLERANCE} * s{at}, FALSE))"

    def _value(self) -> str:
        """The aggregate, in the column type of the lake."""
        aggregate = self.feature.aggregate
        if aggregate == "count":
            return f"CAST(count(*) {self.filter} AS DOUBLE)"
        if aggregate == "sum":
            return f"coalesce(sum({self._number()}) {self.filter}, 0)"
        if aggregate == "distinct":
            return f"CAST(bit_count(coalesce(bit_or({self._bit()}) {self.filter}, 0)) AS DOUBLE)"
        if aggregate in ("first", "last"):
            by = "arg_min" if aggregate == "first" else "arg_max"
            return f"{by}({self._shown()}, number) {self.filter}"
        return f"{aggregate}({self._number()}) {self.filter}"

    def _number(self) -> str:
        return f"CAST({self.input_sql} AS DOUBLE)"

    def _values(self) -> list[str]:
        assert self.input is not None, "only count has no value"
        return [quoted(value) for value in self.input.type.values]

    def _bit(self) -> str:
        """A bit for each declared value; NULL for others, which do not count."""
        cases = " ".join(f"WHEN {value} THEN {1 << at}" for at, value in enumerate(self._values()))
        return f"CAST(CASE {self.input_sql} {cases} END AS BIGINT)"

    def _shown(self) -> str:
        """The input as the lake shows it: what is not declared has no text there."""
        assert self.input is not None, "only count has no value"
        if self.input.type.kind is not Kind.STRING:
            return self.input_sql
        declared = f"{self.input_sql} IN ({', '.join(self._values())})"
        return f"CASE WHEN {declared} THEN {self.input_sql} ELSE {quoted(OTHER_TEXT)} END"


def _in_window(feature: Feature) -> list[str]:
    """Conditions that the event's tile is one of the window that ends with the entity's newest event."""
    window_ms, tile_ms = feature.window_ms, feature.tile_ms
    if window_ms is None or tile_ms is None:
        return []
    column = "local_ms" if tile_ms % DAY_MS == 0 else "utc_ms"
    return [f"{column} // {tile_ms} > newest_{column} // {tile_ms} - {tile_count(window_ms, tile_ms)}"]
