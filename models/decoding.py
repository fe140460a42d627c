"""From the records of a batch to columns.

Every record takes the same short way of msgspec calls; one that fails on it is looked at again, to say why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash
from msgspec import Raw
from numpy.typing import NDArray

from models.bad_rows import (
    MAX_DEPTH,
    BadRow,
    Failure,
    Reason,
    field_failure,
    is_too_deep,
    text_failure,
)
from models.columns import BAD, TICK, UNKNOWN, Columns, KeyColumn
from models.events import (
    ABSENT,
    MAX_AHEAD_MS,
    MAX_EVENT_BYTES,
    Event,
    EventLayout,
    Id,
    PropertyType,
    Record,
    is_tick,
)
from models.zones import DAY_MS, HOUR_MS, local_ms

NULL: Final = float("nan")
OTHER: Final = -1.0  # the number of a string that is none of the declared values
SHORT_BYTES: Final = 2 * MAX_DEPTH  # a value up to this size is neither too large nor too deep

# The type of a property's field and its default: NULL as a float spares the conversion where it is absent.
_FIELDS: Final[Mapping[PropertyType, tuple[Any, Any]]] = {
    "number": (float | None, NULL),
    "boolean": (bool | None, NULL),
}

Values = dict[str | None, float]
# An event type's number, the decoder of its properties (None for null), and what stands for absent ones.
TypeReader = tuple[int, Callable[[Raw], Any], Any]
Group = tuple[NDArray[np.int64], list[Any]]  # records of one event type, and their properties


class _Cell(NamedTuple):
    """A property of an event type and its column; `values` numbers its strings, None for what is a number."""

    read: Callable[[Any], Any]
    column: int
    values: Values | None


@dataclass(slots=True)
class _Rows:
    """What was read of the records, one item each."""

    events: list[Event | None] = field(default_factory=list)
    event_types: list[int] = field(default_factory=list)
    properties: list[Any] = field(default_factory=list)
    bad_rows: list[BadRow] = field(default_factory=list)


class Decoder:
    """Decodes whole record batches; holds no state between them."""

    def __init__(self, layout: EventLayout) -> None:
        self.layout = layout
        keys = {keyed.key for keyed in layout.keyed}
        structs = [_properties_struct(types, keys) for types in layout.property_types]
        self._decode_event = msgspec.json.Decoder(Event).decode
        self._decode_object = msgspec.json.Decoder(msgspec.defstruct("Properties", []) | None).decode
        self._readers: dict[str, TypeReader] = {
            name: (number, msgspec.json.Decoder(struct | None).decode, struct())
            for number, (name, struct) in enumerate(zip(layout.event_types, structs, strict=True))
        }
        self._unknown: TypeReader = (UNKNOWN, self._decode_object, None)
        self._cells = [self._cells_of(struct) for struct in structs]
        self._keys = [
            {number: read for number in keyed.event_types if (read := _getter(structs[number], keyed.key))}
            for keyed in layout.keyed
        ]
        self._channels = _numbered(layout.channels)

    def columns(self, topic: str, partition: int, records: Sequence[Record]) -> Columns:
        """The records as columns, one row each; what is no event is a tick or a bad row."""
        rows = self._read(topic, partition, records)
        events = rows.events
        valid = np.flatnonzero([event is not None for event in events])
        found = [event for event in events if event is not None]
        event_type = np.array(rows.event_types, dtype=np.int32)
        times = np.fromiter([event.event_time for event in found], np.int64, len(found))
        groups = _groups(event_type, rows.properties)
        declared = [event for event, number in zip(events, rows.event_types, strict=True) if event and number >= 0]
        customers = [event.customer_id for event in declared]
        customer = _indexed(len(events), np.flatnonzero(event_type >= 0), customers)
        return Columns(
            topic=topic,
            partition=partition,
            offset=np.array([record.offset for record in records], dtype=np.int64),
            timestamp=np.array([record.timestamp for record in records], dtype=np.int64),
            event_type=event_type,
            event_time=_spread(len(events), valid, times),
            event_id=_spread(len(events), valid, _hashes([event.event_id for event in found])),
            customer=customer.index,
            customers=customer.values,
            properties=self._properties(len(events), valid, found, times, groups),
            keys=[_key_column(len(events), readers, groups) for readers in self._keys],
            events=events,
            bad_rows=rows.bad_rows,
        )

    def _read(self, topic: str, partition: int, records: Iterable[Record]) -> _Rows:
        """The hot loop. What raises in it is no event; entering `try` costs nothing."""
        rows = _Rows()
        decode_text, decode_event, decode_object = bytes.decode, self._decode_event, self._decode_object
        reader_of, unknown = self._readers.get, self._unknown
        add_event, add_type, add_properties = (
            rows.events.append,
            rows.event_types.append,
            rows.properties.append,
        )
        for record in records:
            try:
                value = record.value or b""
                if len(value) > SHORT_BYTES:
                    _check_size(value)
                decode_text(value)  # msgspec does not look into strings that it skips
                event = decode_event(value)
                if event.event_time > record.timestamp + MAX_AHEAD_MS or event.customer_id.encode() != record.key:
                    raise ValueError
                if event.context and decode_object(event.context) is None:
                    event.context = ABSENT
                number, decode_properties, properties = reader_of(event.event, unknown)
                if event.properties:
                    given = decode_properties(event.properties)
                    if given is None:
                        event.properties = ABSENT
                    else:
                        properties = given
            except ValueError:  # msgspec's and Unicode's errors are
                add_event(None)
                add_properties(None)
                if is_tick(record):
                    add_type(TICK)
                else:
                    add_type(BAD)
                    rows.bad_rows.append(_bad_row(topic, partition, record, self._failure(record)))
            else:
                add_event(event)
                add_type(number)
                add_properties(properties)
        return rows

    def _failure(self, record: Record) -> Failure:
        """Why a record that `_read` rejected is no event: the same steps, slowly."""
        value = record.value or b""
        if failure := text_failure(value):
            return failure
        parent = ""
        try:
            event = self._decode_event(value)
            if failure := _record_failure(event, record):
                return failure
            parent = "context"
            if event.context:
                self._decode_object(event.context)
            parent = "properties"
            decode_properties = self._readers.get(event.event, self._unknown)[1]
            decode_properties(event.properties)
        except msgspec.ValidationError as error:
            return field_failure(error, parent)
        raise AssertionError(f"offset {record.offset} was rejected, but is a valid event")

    def _cells_of(self, struct: type[msgspec.Struct]) -> list[_Cell]:
        """The columns that an event type fills."""
        cells = []
        for column, declared in enumerate(self.layout.properties):
            if read := _getter(struct, declared.name):
                values = _numbered(declared.values) if declared.kind == "string" else None
                cells.append(_Cell(read, column, values))
        return cells

    def _properties(
        self,
        n: int,
        valid: NDArray[np.int64],
        found: list[Event],
        times: NDArray[np.int64],
        groups: dict[int, Group],
    ) -> NDArray[np.float64]:
        """`Columns.properties`; `valid` are the rows of the events `found`."""
        matrix = np.full((n, len(self.layout.properties)), np.nan)
        matrix[valid, 0] = _codes([event.channel for event in found], self._channels)
        matrix[valid, 1] = times
        local = local_ms(times, self.layout.time_zone)
        matrix[valid, 2] = local // HOUR_MS % 24
        matrix[valid, 3] = (local // DAY_MS + 3) % 7 + 1  # day 0 was a Thursday
        for number, (rows, properties) in groups.items():
            for read, column, values in self._cells[number]:
                cells = list(map(read, properties))
                matrix[rows, column] = np.array(cells, dtype=np.float64) if values is None else _codes(cells, values)
        return matrix


def _properties_struct(types: Mapping[str, PropertyType], keys: set[str]) -> type[msgspec.Struct]:
    """A struct of what an event type declares; its fields are p0, p1, …: a property may be called `class`."""
    fields: list[tuple[str, Any, Any]] = []
    for number, (name, declared) in enumerate(types.items()):
        text = (Id | None if name in keys else str | None, None)
        fields.append((f"p{number}", *_FIELDS.get(declared, text)))
    names = {f"p{number}": name for number, name in enumerate(types)}
    return msgspec.defstruct("Properties", fields, rename=names, gc=False)


def _getter(struct: type[msgspec.Struct], name: str) -> Callable[[Any], Any] | None:
    """Reads a declared property of a struct; None if the event type does not declare it."""
    names = [field.name for field in msgspec.structs.fields(struct) if field.encode_name == name]
    return attrgetter(names[0]) if names else None


def _numbered(values: Iterable[str]) -> Values:
    return {None: NULL, **{value: float(number) for number, value in enumerate(values)}}


def _codes(texts: list[str | None], values: Values) -> NDArray[np.float64]:
    return np.fromiter(map(values.get, texts, repeat(OTHER)), np.float64, len(texts))


def _hashes(ids: list[str]) -> NDArray[np.int64]:
    """64 bits of each id, the same in every process."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, map(str.encode, ids)), np.uint64, len(ids)).view(np.int64)


def _spread(n: int, rows: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`values` at `rows`, 0 elsewhere."""
    spread = np.zeros(n, dtype=np.int64)
    spread[rows] = values
    return spread


def _indexed(n: int, rows: NDArray[np.int64], texts: list[str]) -> KeyColumn:
    """The distinct `texts` in order of first appearance; the index of its own in each of `rows`, else -1."""
    number = {text: position for position, text in enumerate(dict.fromkeys(texts))}
    index = np.full(n, -1, dtype=np.int64)
    index[rows] = np.fromiter(map(number.__getitem__, texts), np.int64, len(texts))
    return KeyColumn(index, list(number))


def _groups(event_type: NDArray[np.int32], properties: list[Any]) -> dict[int, Group]:
    """Rows (ascending) and properties of the declared event types that occur."""
    order = np.argsort(event_type, kind="stable")
    types, starts = np.unique(event_type[order], return_index=True)
    parts = np.split(order, starts)[1:]
    return {
        int(number): (rows, [properties[row] for row in rows.tolist()])
        for number, rows in zip(types, parts, strict=True)
        if number >= 0
    }


def _key_column(n: int, readers: dict[int, Callable[[Any], Any]], groups: dict[int, Group]) -> KeyColumn:
    """The key of one keyed entity in the event types that concern it."""
    carried: dict[int, str] = {}
    for number in readers.keys() & groups.keys():
        rows, properties = groups[number]
        keys = zip(rows.tolist(), map(readers[number], properties), strict=True)
        carried.update((row, key) for row, key in keys if key is not None)
    order = sorted(carried)
    return _indexed(n, np.array(order, dtype=np.int64), [carried[row] for row in order])


def _check_size(value: bytes) -> None:
    if len(value) > MAX_EVENT_BYTES or is_too_deep(value):
        raise ValueError


def _record_failure(event: Event, record: Record) -> Failure | None:
    """What of an event does not fit its record."""
    if event.event_time > record.timestamp + MAX_AHEAD_MS:
        ahead_ms = event.event_time - record.timestamp
        detail = f"{ahead_ms} ms ahead of the record's timestamp, at most {MAX_AHEAD_MS} are allowed"
        return Failure(Reason.TIME_OUT_OF_RANGE, "event_time", detail)
    if event.customer_id.encode() != record.key:
        detail = "the record has no key" if record.key is None else "the record's key is not the customer_id"
        return Failure(Reason.WRONG_KEY, "customer_id", detail)
    return None


def _bad_row(topic: str, partition: int, record: Record, failure: Failure) -> BadRow:
    return BadRow(
        reason=failure.reason,
        field=failure.field,
        detail=failure.detail,
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
    )
