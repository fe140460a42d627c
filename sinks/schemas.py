"""The tables of the lake: columns, in which day a row lies, and how rows are sorted so that DuckDB can skip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from models.expression_types import Kind, Type

if TYPE_CHECKING:  # who reads a lake needs none
    from models.catalogue import Catalogue

ABOUT = "zhice.json"  # beside the tables: what a reader must know of the catalogue
TIME = pa.timestamp("us", tz="UTC")  # Delta Lake keeps microseconds
DAY = "day"  # the partition column: a local date
FEATURES = "features"  # the table of snapshots
KINDS = {Kind.NUMBER: pa.float64(), Kind.BOOLEAN: pa.bool_(), Kind.STRING: pa.string(), Kind.NULL: pa.float64()}


@dataclass(frozen=True)
class LakeTable:
    """A table: its schema with `day`, the time column that decides the day, and what rows of a file are sorted by.

    apart: the first column of those, where rows with another value of it are in another file.
    """

    name: str
    schema: pa.Schema
    time: str
    sort: tuple[str, ...]
    apart: str | None = None


def _table(name: str, time: str, sort: tuple[str, ...], **columns: pa.DataType) -> LakeTable:
    return LakeTable(name, pa.schema([*columns.items(), (DAY, pa.date32())]), time, sort)


_SOURCE = {"topic": pa.string(), "partition": pa.int32(), "offset": pa.int64()}
_ENTITY = {"customer_id": pa.string(), "entity": pa.string(), "entity_id": pa.string()}
MOMENT = "moment"  # of a decision; in other tables `offset` is that of the record that put the row out
_ACTION = {
    **{"id": pa.string(), "catalogue": pa.string(), "catalogue_version": pa.string()},
    **{"rule": pa.string(), "rule_version": pa.string(), **_ENTITY},
    **{"action": pa.string(), "channel": pa.string(), "kind": pa.string()},
    **{"event_time": TIME, "decided_at": TIME, MOMENT: pa.int64(), "expires_at": TIME},
    **{"event_id": pa.string(), "event": pa.string(), "stage": pa.string(), "predicate": pa.string()},
    **{"evidence": pa.string(), **_SOURCE},
}

EVENTS = _table(
    "events",
    "event_time",
    ("customer_id", "event_time"),  # a customer's history is one run of rows in each day
    event_id=pa.string(),
    event=pa.string(),
    customer_id=pa.string(),
    event_time=TIME,
    channel=pa.string(),
    session_id=pa.string(),
    device_id=pa.string(),
    received_at=TIME,
    context=pa.string(),
    properties=pa.string(),
    status=pa.string(),
    late=pa.bool_(),
    record_time=TIME,
    **_SOURCE,
)
TRANSITIONS = _table(
    "transitions",
    "entered_at",
    ("journey", "entered_at"),
    **_ENTITY,
    journey=pa.string(),
    from_stage=pa.string(),
    to_stage=pa.string(),
    entered_at=TIME,
    time_in_stage_ms=pa.int64(),
    cause=pa.string(),
    event_id=pa.string(),
    clock=TIME,
    seq=pa.int32(),
    partition=pa.int32(),
    offset=pa.int64(),
)
DECISIONS = _table(
    "decisions", "decided_at", ("rule", "decided_at"), **_ACTION, acted=pa.bool_(), gate=pa.string(), gates=pa.string(),
    seq=pa.int32(),
)  # fmt: skip
TRIGGERS = _table("triggers", "decided_at", ("rule", "decided_at"), **_ACTION)
BAD_ROWS = _table(
    "bad_rows",
    "record_time",
    ("reason", "record_time"),
    reason=pa.string(),
    field=pa.string(),
    detail=pa.string(),
    key=pa.binary(),
    value=pa.binary(),
    record_time=TIME,
    **_SOURCE,
)
METRICS = _table(
    "metrics",
    "event_minute",
    ("event", "event_minute"),
    clock_minute=TIME,
    event=pa.string(),
    channel=pa.string(),
    event_minute=TIME,
    events=pa.int64(),
    customers=pa.int64(),
    amount=pa.float64(),
    partition=pa.int32(),
    offset=pa.int64(),
)


def features_table(catalogue: Catalogue) -> LakeTable:
    """The table of snapshots: a column each feature, tag and stage; those of other entities are NULL."""
    columns = {name: KINDS[type_.kind] for name, type_ in profile_types(catalogue).items()}
    head = {"as_of": TIME, **_ENTITY, "partition": pa.int32(), "offset": pa.int64()}
    table = _table(FEATURES, "as_of", ("entity", "customer_id", "as_of"), **head, **columns)
    return replace(table, apart="entity")  # they have no column in common


def narrow(features: LakeTable, name: str, values: int) -> LakeTable:
    """The table of snapshots with `values` numbers of a row in the column `name`."""
    head = [field for field in features.schema if field.name in ("as_of", *_ENTITY, "partition", "offset")]
    column = pa.field(name, pa.list_(pa.float64(), values))
    day = features.schema.field(DAY)
    return replace(features, schema=pa.schema([*head, column, day]))


def profile_types(catalogue: Catalogue) -> dict[str, Type]:
    """The type of each feature, tag and `<journey>_stage`, of all entities."""
    stages = {f"{journey.name}_stage": Type(Kind.STRING, journey.stages) for journey in catalogue.journeys}
    return {**catalogue.feature_types, **catalogue.tag_types, **stages}


def tables(catalogue: Catalogue) -> list[LakeTable]:
    """All tables of the lake, in the order in which a commit writes them."""
    return [EVENTS, TRANSITIONS, DECISIONS, TRIGGERS, features_table(catalogue), BAD_ROWS, METRICS]
