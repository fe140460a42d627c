"""From what a shard put out to Arrow: the columns of the decoder are used as they are, nothing is parsed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models import catalogue_names
from models.catalogue import Catalogue, entities
from models.columns import Columns, Field
from models.decisions import DecisionColumn, DecisionText
from models.expressions import Kind, Type
from models.layout import OTHER_TEXT
from models.metrics import OTHER_CHANNEL
from models.outputs import BatchOutput, Snapshot
from models.plan import SnapshotColumn
from models.texts import NULL, Texts
from models.transitions import NO_STAGE, NO_TIME
from models.transpose import gather
from sinks import schemas
from sinks.arrays import bitmap, bits, kept, named, repeated, strings, taken, vocabulary
from sinks.schemas import TIME, LakeTable

STATUS = ("applied", "duplicate", "unknown")
VALUES = "values"  # a row of the engine, until its snapshot is written
CAUSES = vocabulary(("event", "timeout"))
STATUSES = vocabulary(STATUS)
POSITIONS = 2  # of a record in a table's transaction: its own, and the one before it for what `finish` adds
FIRST_MS, LAST_MS = -62_135_510_400_000, 253_402_214_399_999  # 0001-01-02 and 9999-12-30: shown in every time zone


class _Cause(msgspec.Struct, frozen=True, gc=False):
    """What the lake has in columns of a decision's evidence."""

    event_id: str | None
    event: str | None
    stage: str | None
    predicate: str
    topic: str
    partition: int
    offset: int


_causes = msgspec.json.Decoder(list[_Cause]).decode


def is_finish(output: BatchOutput) -> bool:
    """Whether this is of no record: what `Shard.finish` put out."""
    return len(output.columns) == 0


def position_of(output: BatchOutput) -> int:
    """How far the tables are after this output: 2 × offset for a record, 2 × next offset − 1 for a finish."""
    return POSITIONS * output.next_offset - (1 if is_finish(output) else POSITIONS)


class RowMaker:
    """Makes Arrow tables (without `day`) of outputs of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.features = schemas.features_table(catalogue)
        self.entity_names = vocabulary(entities(catalogue))
        types = schemas.profile_types(catalogue)
        self.types = [{name: types[name] for name in self._profile_names(one)} for one in entities(catalogue)]
        self.width = SnapshotColumn.VALUES + max(map(len, self.types))  # of a row of the engine
        self.narrow = schemas.narrow(self.features, VALUES, self.width)
        journeys = catalogue.journeys
        self.journeys = vocabulary(journey.name for journey in journeys)
        self.journey_entities = vocabulary(journey.entity for journey in journeys)
        self.stages = vocabulary(stage for journey in journeys for stage in journey.stages)
        self.first_stage = np.cumsum([0, *(len(journey.stages) for journey in journeys)])
        self.event_names = vocabulary(event.name for event in catalogue.events)
        self.of_rules = _known_of_rules(catalogue)
        self.channels = vocabulary([*catalogue.channels, OTHER_TEXT])

    def tables(self, output: BatchOutput) -> dict[str, pa.Table]:
        """Rows by table; tables without rows are left out."""
        return {name: table for name, table in self._made(output) if table.num_rows}

    def _made(self, output: BatchOutput) -> Iterator[tuple[str, pa.Table]]:
        """Of what there is: most of a small output is not."""
        if len(output.columns):
            yield "events", self._events(output)
        if len(output.transitions):
            yield "transitions", self._transitions(output)
        if len(output.decisions):
            decisions = self._decisions(output)
            yield "decisions", decisions
            yield "triggers", kept(decisions, decisions["acted"]).select(_body(schemas.TRIGGERS).names)
        if output.snapshots:
            yield "features", self._features(output)
        if output.columns.bad_rows:
            yield "bad_rows", _bad_rows(output)
        if len(output.metrics):
            yield "metrics", self._metrics(output)

    def _features(self, output: BatchOutput) -> pa.Table:
        """Snapshots with all that the engine wrote of a row in one column; `taken` makes columns of its values."""
        return pa.concat_tables(self._snapshot(snapshot, output.partition) for snapshot in output.snapshots)

    def _snapshot(self, snapshot: Snapshot, partition: int) -> pa.Table:
        rows = len(snapshot)
        columns: dict[str, Any] = {
            "as_of": _times(snapshot.as_of),
            "customer_id": strings(snapshot.customers),
            "entity": named(snapshot.entities, self.entity_names),
            "entity_id": strings(snapshot.entity_ids),
            "partition": np.full(rows, partition, np.int32),
            "offset": snapshot.offset,
            VALUES: pa.FixedSizeListArray.from_arrays(snapshot.rows.ravel(), self.width),
        }
        return _arrow(self.narrow, columns, rows)

    def taken(self, name: str, rows: pa.Table, order: NDArray[np.int64]) -> pa.Table:
        """Some of the rows, each column of one chunk, in this order, as a file of the table of this name has them.

        Snapshots are of one entity, and without the columns of others.
        """
        if name != schemas.FEATURES:
            return taken(rows, order)
        head = taken(rows.drop_columns([VALUES]), order)
        types = self.types[head["entity"].chunk(0).indices[0].as_py()]
        columns = self._columns(rows[VALUES], order, len(types))
        made = [_typed(values, type_) for values, type_ in zip(columns, types.values(), strict=True)]
        return pa.Table.from_arrays([*head.columns, *made], names=[*head.column_names, *types])

    def _columns(self, values: pa.ChunkedArray, order: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """The first values of rows in this order, float64[count, rows]: each is read once, where the engine put it."""
        columns = np.empty((count, len(order)))
        blocks = [chunk.flatten().to_numpy() for chunk in values.chunks]
        firsts = np.cumsum([0, *map(len, values.chunks)])
        block = np.searchsorted(firsts, order, "right") - 1
        first_cells = (order - firsts[block]) * self.width + int(SnapshotColumn.VALUES)
        gather(np.array([one.ctypes.data for one in blocks])[block] + first_cells * columns.itemsize, columns)
        return columns

    def _profile_names(self, entity: str) -> list[str]:
        """The columns of features, tags and stages, as in a snapshot."""
        catalogue = self.catalogue
        return [
            *(feature.name for feature in catalogue.features if feature.entity == entity),
            *(tag.name for tag in catalogue.tags if catalogue.tag_entities[tag.name] == entity),
            *(f"{journey.name}_stage" for journey in catalogue.journeys if journey.entity == entity),
        ]

    def _events(self, output: BatchOutput) -> pa.Table:
        columns = output.columns
        at = np.flatnonzero(output.status < len(STATUS))

        def text(field: Field) -> pa.Array:
            return strings(columns.texts(field).take(at))

        data = {
            "event_id": text(Field.EVENT_ID),
            "event": self._event(columns, at),
            "customer_id": text(Field.CUSTOMER_ID),
            "event_time": _times(columns.event_time[at]),
            "channel": text(Field.CHANNEL),
            "session_id": text(Field.SESSION_ID),
            "device_id": text(Field.DEVICE_ID),
            "received_at": _times(columns.received_at[at], columns.has_received_at[at]),
            "context": text(Field.CONTEXT),
            "properties": text(Field.PROPERTIES),
            "status": named(output.status[at], STATUSES),
            "late": output.late[at],
            "record_time": _times(columns.timestamp[at]),
            "topic": repeated(columns.topic, len(at)),
            "partition": np.full(len(at), columns.partition, np.int32),
            "offset": columns.offset[at],
        }
        return _arrow(schemas.EVENTS, data, len(at))

    def _event(self, columns: Columns, at: NDArray[np.int64]) -> pa.Array:
        """Names of events; those that the catalogue does not declare are few, and read from their records."""
        numbers = columns.event_type[at].astype(np.int64)
        unknown = np.flatnonzero(numbers < 0)
        if not len(unknown):
            return named(numbers, self.event_names)
        texts = strings(columns.texts(Field.EVENT).take(at[unknown])).cast(pa.string()).dictionary_encode()
        numbers[unknown] = texts.indices.to_numpy() + len(self.event_names)
        return named(numbers, vocabulary([*self.event_names.to_pylist(), *texts.dictionary.to_pylist()]))

    def _transitions(self, output: BatchOutput) -> pa.Table:
        rows, columns = output.transitions, output.columns
        event_ids = columns.texts(Field.EVENT_ID).take(rows.record)
        by_event = Texts(event_ids.data, event_ids.start, np.where(rows.by_timeout, NULL, event_ids.size))
        data = {
            "customer_id": strings(rows.customers),
            "entity": named(rows.journey, self.journey_entities),
            "entity_id": strings(rows.entity_ids),
            "journey": named(rows.journey, self.journeys),
            "from_stage": self._stage(rows.journey, rows.from_stage),
            "to_stage": self._stage(rows.journey, rows.to_stage),
            "entered_at": _times(rows.entered_at),
            "time_in_stage_ms": pa.array(rows.time_in_stage, pa.int64(), mask=rows.time_in_stage == NO_TIME),
            "cause": named(rows.by_timeout, CAUSES),
            "event_id": strings(by_event),
            "clock": _times(rows.clock),
            "seq": rows.seq.astype(np.int32),
            "partition": np.full(len(rows), output.partition, np.int32),
            "offset": columns.offset[rows.record],
        }
        return _arrow(schemas.TRANSITIONS, data, len(rows))

    def _decisions(self, output: BatchOutput) -> pa.Table:
        rows, count = output.decisions, len(output.decisions)
        causes = _causes(b"[%b]" % b",".join(text or b"" for text in rows.texts(DecisionText.EVIDENCE).to_list()))
        times = (DecisionColumn.EVENT_TIME, DecisionColumn.DECIDED_AT, DecisionColumn.EXPIRES_AT)
        data = {
            **{name: named(rows.rule, words) for name, words in self.of_rules.items()},
            **{column.name.lower(): _times(rows.numbers[:, column]) for column in times},
            **{name: [getattr(one, name) for one in causes] for name in _Cause.__struct_fields__},
            "catalogue": repeated(self.catalogue.name, count),
            "catalogue_version": repeated(self.catalogue.version, count),
            **{text.name.lower(): strings(rows.texts(text)) for text in DecisionText},
            "moment": rows.numbers[:, DecisionColumn.MOMENT],
            "seq": rows.numbers[:, DecisionColumn.SEQ],
            "acted": rows.acted,
        }
        return _arrow(schemas.DECISIONS, data, count)

    def _stage(self, journey: NDArray[np.int64], stage: NDArray[np.int64]) -> pa.Array:
        return named(np.where(stage == NO_STAGE, -1, self.first_stage[journey] + stage), self.stages)

    def _metrics(self, output: BatchOutput) -> pa.Table:
        rows = output.metrics
        columns = {
            "clock_minute": _times(rows.clock_minute),
            "event": named(rows.event_type, self.event_names),
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
        return named(np.where(numbers == OTHER_CHANNEL, len(self.catalogue.channels), numbers), self.channels)


def _known_of_rules(catalogue: Catalogue) -> dict[str, pa.DictionaryArray]:
    """What the rule alone says of a decision, by column."""
    rules = catalogue.rules
    same = {name: [getattr(rule, name) for rule in rules] for name in ("action", "channel", "kind")}
    return {
        name: vocabulary(values)
        for name, values in {
            **same,
            "rule": [rule.name for rule in rules],
            "rule_version": [rule.version for rule in rules],
            "entity": [catalogue_names.entity_of_rule(catalogue, rule) for rule in rules],
        }.items()
    }


def _bad_rows(output: BatchOutput) -> pa.Table:
    rows = output.columns.bad_rows
    columns = {name: [getattr(row, name) for row in rows] for name in ("field", "detail", "key", "value", "topic")}
    columns |= {name: [getattr(row, name) for row in rows] for name in ("partition", "offset")}
    columns["reason"] = [str(row.reason) for row in rows]
    times = _times(np.array([row.timestamp for row in rows], np.int64))
    return _arrow(schemas.BAD_ROWS, {**columns, "record_time": times}, len(rows))


def _times(milliseconds: NDArray[np.int64], known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Times of ms, NULL where they are not known; one beyond the calendar is its first or last day."""
    microseconds = np.minimum(np.maximum(milliseconds, FIRST_MS), LAST_MS) * 1000
    nulls = None if known is None else bitmap(known)
    return pa.Array.from_buffers(TIME, len(microseconds), [nulls, pa.py_buffer(microseconds)])


def _typed(values: NDArray[np.float64], type_: Type) -> pa.Array:
    """A column of values; NaN is NULL."""
    count, nulls = len(values), bitmap(values == values)
    if type_.kind is Kind.STRING:
        other = len(type_.values)
        numbers = np.where(values >= 0, values, other).astype(np.int32)
        indices = pa.Array.from_buffers(pa.int32(), count, [nulls, pa.py_buffer(numbers)])
        return pa.DictionaryArray.from_arrays(indices, pa.array([*type_.values, OTHER_TEXT], pa.string()))
    if type_.kind is Kind.BOOLEAN:
        return pa.Array.from_buffers(pa.bool_(), count, [nulls, bits(values == 1.0)])
    return pa.Array.from_buffers(pa.float64(), count, [nulls, pa.py_buffer(values)])


def _body(table: LakeTable) -> pa.Schema:
    return table.schema.remove(table.schema.get_field_index(schemas.DAY))


def _arrow(table: LakeTable, columns: dict[str, Any], rows: int) -> pa.Table:
    """A table with these columns; others are NULL. Texts may be views or dictionaries."""
    body = _body(table)
    arrays = [_column(columns.get(field.name), field.type, rows) for field in body]
    return pa.Table.from_arrays(arrays, names=body.names)


def _column(values: Any, type_: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, type_)
    return values if isinstance(values, pa.Array) else pa.array(values, type_)
