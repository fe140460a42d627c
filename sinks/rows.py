"""From what a shard put out to Arrow: the columns of the decoder are used as they are, nothing is parsed again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple
from numpy.typing import NDArray

from models.catalogue import Catalogue
from models.decisions import Decision
from models.expressions import Kind, Type
from models.layout import OTHER_TEXT
from models.metrics import OTHER_CHANNEL
from models.outputs import BatchOutput, Snapshot
from sinks import schemas
from sinks.schemas import TIME, LakeTable

STATUS = ("applied", "duplicate", "unknown")
POSITIONS = 2  # of a record in a table's transaction: its own, and the one before it for what `finish` adds
FIRST_MS, LAST_MS = -62_135_510_400_000, 253_402_214_399_999  # 0001-01-02 and 9999-12-30: shown in every time zone

_json = msgspec.json.Encoder().encode


def position_of(output: BatchOutput) -> int:
    """How far the tables are after this output: 2 × offset for a record, 2 × next offset − 1 for a finish."""
    return POSITIONS * output.next_offset - (1 if len(output.columns) == 0 else POSITIONS)


class RowMaker:
    """Makes Arrow tables (without `day`) of outputs of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.features = schemas.features_table(catalogue)
        self.types = schemas.profile_types(catalogue)
        self.event_names = pa.array([event.name for event in catalogue.events], pa.string())

    def tables(self, output: BatchOutput) -> dict[str, pa.Table]:
        """Rows by table; tables without rows are left out."""
        found = {
            "events": _events(output),
            "transitions": _structs(schemas.TRANSITIONS, output.transitions),
            "decisions": _decisions(schemas.DECISIONS, output.decisions),
            "triggers": _decisions(schemas.TRIGGERS, [one for one in output.decisions if one.acted]),
            "features": self._features(output),
            "bad_rows": _bad_rows(output),
            "metrics": self._metrics(output),
        }
        return {name: table for name, table in found.items() if table.num_rows}

    def _features(self, output: BatchOutput) -> pa.Table:
        """One part an entity: there are many snapshots of few rows, and a column costs more than its values."""
        by_entity: dict[str, list[Snapshot]] = {}
        for snapshot in output.snapshots:
            by_entity.setdefault(snapshot.entity, []).append(snapshot)
        parts = [self._snapshots(entity, snapshots, output.partition) for entity, snapshots in by_entity.items()]
        return pa.concat_tables(parts) if parts else _body(self.features).empty_table()

    def _snapshots(self, entity: str, snapshots: list[Snapshot], partition: int) -> pa.Table:
        counts = [len(snapshot.customer_ids) for snapshot in snapshots]
        rows = sum(counts)
        columns: dict[str, Any] = {
            "as_of": _times(np.repeat([snapshot.as_of for snapshot in snapshots], counts)),
            "customer_id": [one for snapshot in snapshots for one in snapshot.customer_ids],
            "entity": [entity] * rows,
            "entity_id": [one for snapshot in snapshots for one in snapshot.entity_ids],
            "partition": np.full(rows, partition, np.int32),
            "offset": np.repeat([snapshot.offset for snapshot in snapshots], counts),
        }
        blocks = [np.hstack([snapshot.features, snapshot.tags, snapshot.stages]) for snapshot in snapshots]
        values = np.asfortranarray(np.concatenate(blocks))
        for number, name in enumerate(self._profile_names(entity)):
            columns[name] = _typed(values[:, number], self.types[name])
        return _arrow(self.features, columns, rows)

    def _profile_names(self, entity: str) -> list[str]:
        """The columns of features, tags and stages, as in a snapshot."""
        catalogue = self.catalogue
        return [
            *(feature.name for feature in catalogue.features if feature.entity == entity),
            *(tag.name for tag in catalogue.tags if catalogue.tag_entities[tag.name] == entity),
            *(f"{journey.name}_stage" for journey in catalogue.journeys if journey.entity == entity),
        ]

    def _metrics(self, output: BatchOutput) -> pa.Table:
        rows = output.metrics
        columns = {
            "clock_minute": _times(rows.clock_minute),
            "event": self.event_names.take(pa.array(rows.event_type, pa.int64())),
            "channel": self._channel(rows.channel),
            "event_minute": _times(rows.event_minute),
            "events": rows.events,
            "customers": rows.customers,
            "amount": rows.amount,
            "partition": np.full(len(rows), output.partition, np.int32),
            "offset": rows.offset,
        }
        return _arrow(schemas.METRICS, columns, len(rows))

    def _channel(self, numbers: NDArray[np.int64]) -> pa.Array:
        names = pa.array([*self.catalogue.channels, OTHER_TEXT], pa.string())
        return _named(np.where(numbers == OTHER_CHANNEL, len(self.catalogue.channels), numbers), names)


def _events(output: BatchOutput) -> pa.Table:
    columns = output.columns
    at = np.flatnonzero(output.status < len(STATUS))
    events: Sequence[Any] = [event for event in columns.events if event is not None]
    data = {
        "event_id": [event.event_id for event in events],
        "event": [event.event for event in events],
        "customer_id": [event.customer_id for event in events],
        "event_time": _times(columns.event_time[at]),
        "channel": [event.channel for event in events],
        "session_id": [event.session_id for event in events],
        "device_id": [event.device_id for event in events],
        "received_at": _times(pa.array([event.received_at for event in events], pa.int64())),
        "context": _texts([event.context for event in events]),
        "properties": _texts([event.properties for event in events]),
        "status": pa.array(STATUS).take(pa.array(output.status[at], pa.int8())),
        "late": output.late[at],
        "record_time": _times(columns.timestamp[at]),
        "topic": pa.repeat(columns.topic, len(at)),
        "partition": np.full(len(at), columns.partition, np.int32),
        "offset": columns.offset[at],
    }
    return _arrow(schemas.EVENTS, data, len(at))


def _texts(raws: list[Any]) -> pa.Array:
    """JSON texts; an empty one is NULL."""
    return pa.array([bytes(raw) or None for raw in raws], pa.binary()).cast(pa.string())


def _structs(table: LakeTable, structs: Sequence[Any]) -> pa.Table:
    """Columns of structs whose fields are named as the table's columns."""
    return _arrow(table, _timed(table, _fields(structs)), len(structs))


def _decisions(table: LakeTable, decisions: Sequence[Decision]) -> pa.Table:
    columns = _fields([decision.evidence for decision in decisions]) | _fields(decisions)
    if decisions:
        columns["evidence"] = [_json(decision.evidence).decode() for decision in decisions]
        columns["gates"] = [_json(decision.gates).decode() for decision in decisions]
    return _arrow(table, _timed(table, columns), len(decisions))


def _fields(structs: Sequence[Any]) -> dict[str, Any]:
    """The values of each field; nothing for no structs."""
    if not structs:
        return {}
    return dict(zip(structs[0].__struct_fields__, zip(*map(astuple, structs), strict=True), strict=True))


def _timed(table: LakeTable, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns, with those of the table's times made of ms."""
    times = {field.name for field in table.schema if field.type == TIME} & columns.keys()
    return columns | {name: _times(pa.array(columns[name], pa.int64())) for name in times}


def _bad_rows(output: BatchOutput) -> pa.Table:
    rows = output.columns.bad_rows
    columns = {name: [getattr(row, name) for row in rows] for name in ("field", "detail", "key", "value", "topic")}
    columns |= {name: [getattr(row, name) for row in rows] for name in ("partition", "offset")}
    columns["reason"] = [str(row.reason) for row in rows]
    times = _times(pa.array([row.timestamp for row in rows], pa.int64()))
    return _arrow(schemas.BAD_ROWS, {**columns, "record_time": times}, len(rows))


def _times(milliseconds: Any) -> pa.Array:
    """Times of ms; one beyond the calendar is its first or last day."""
    known = pc.min_element_wise(
        pc.max_element_wise(pa.array(milliseconds, pa.int64()), FIRST_MS, skip_nulls=False), LAST_MS, skip_nulls=False
    )
    return known.cast(pa.timestamp("ms", tz="UTC")).cast(TIME)


def _typed(values: NDArray[np.float64], type_: Type) -> pa.Array:
    if type_.kind is Kind.STRING:
        numbers = np.where(np.isnan(values), -1, np.where(values < 0, len(type_.values), values)).astype(np.int64)
        return _named(numbers, pa.array([*type_.values, OTHER_TEXT], pa.string()))
    array = pa.array(values, pa.float64(), from_pandas=True)
    return array.cast(pa.bool_()) if type_.kind is Kind.BOOLEAN else array


def _named(numbers: NDArray[np.int64], names: pa.Array) -> pa.Array:
    """Names by number; NULL for a negative one."""
    return names.take(pa.array(numbers, pa.int64(), mask=numbers < 0))


def _body(table: LakeTable) -> pa.Schema:
    return table.schema.remove(table.schema.get_field_index(schemas.DAY))


def _arrow(table: LakeTable, columns: dict[str, Any], rows: int) -> pa.Table:
    """A table with these columns; others are NULL."""
    body = _body(table)
    return pa.Table.from_arrays([_column(columns.get(field.name), field.type, rows) for field in body], schema=body)


def _column(values: Any, type_: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, type_)
    return values if isinstance(values, pa.Array) else pa.array(values, type_)
