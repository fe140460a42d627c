"""The slow way from one record to an event: the judge of what is none, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from models.bad_rows import MAX_DEPTH, Failure, Reason, field_failure, is_too_deep, text_failure
from models.columns import UNKNOWN
from models.decode_kernel import OTHER
from models.events import (
    ABSENT,
    ENVELOPE_COLUMNS,
    MAX_AHEAD_MS,
    MAX_EVENT_BYTES,
    MAX_EVENT_TIME_MS,
    Event,
    EventLayout,
    Id,
    PropertyType,
)
from models.records import Record

SHORT_BYTES: Final = 2 * MAX_DEPTH  # a value up to this size is neither too large nor too deep
ABSENT_VALUE: Final = float("nan")

# The type of a property's field and its default: NULL as a float spares the conversion where it is absent.
_FIELDS: Final[Mapping[PropertyType, tuple[Any, Any]]] = {
    "number": (float | None, ABSENT_VALUE),
    "boolean": (bool | None, ABSENT_VALUE),
}

Values = dict[str | None, float]


class Reading(NamedTuple):
    """An event; its number in the catalogue or UNKNOWN; (column, value) of its properties; the key of each entity."""

    event: Event
    event_type: int
    cells: list[tuple[int, float]]
    keys: list[str | None]


class _Cell(NamedTuple):
    """A property of an event type and its column; `values` numbers its strings, None for what is a number."""

    read: Callable[[Any], Any]
    column: int
    values: Values | None


class _Type(NamedTuple):
    """How the properties of an event type are read; of an unknown one nothing is."""

    number: int
    decode: Callable[[Raw], Any]  # None for null
    absent: Any  # what stands for absent properties
    cells: list[_Cell]
    keys: list[Callable[[Any], Any]]  # of each keyed entity


class RecordReader:
    """Reads single records."""

    def __init__(self, layout: EventLayout) -> None:
        self._decode_event = msgspec.json.Decoder(Event).decode
        self._decode_object = msgspec.json.Decoder(msgspec.defstruct("Properties", []) | None).decode
        self._channels = _numbered(layout.channels)
        self._types = {name: _type(layout, number) for number, name in enumerate(layout.event_types)}
        self._unknown = _Type(UNKNOWN, self._decode_object, None, [], [_nothing] * len(layout.keyed))

    def read(self, record: Record) -> Reading:
        """The event in a record. Raises ValueError if there is none; `failure` tells why."""
        value = record.value or b""
        if len(value) > SHORT_BYTES and (len(value) > MAX_EVENT_BYTES or is_too_deep(value)):
            raise ValueError
        value.decode()  # msgspec does not look into strings that it skips
        event = self._decode_event(value)
        if _record_failure(event, record):
            raise ValueError
        if event.context and self._decode_object(event.context) is None:
            event.context = ABSENT
        type_ = self._types.get(event.event, self._unknown)
        properties = type_.decode(event.properties) if event.properties else None
        if properties is None:
            event.properties, properties = ABSENT, type_.absent
        cells = [(0, self._channels.get(event.channel, OTHER))]
        cells.extend((cell.column, _cell_value(cell, properties)) for cell in type_.cells)
        return Reading(event, type_.number, cells, [key(properties) for key in type_.keys])

    def failure(self, record: Record) -> Failure:
        """Why a record that `read` rejected is no event: the same steps, once more."""
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
            self._types.get(event.event, self._unknown).decode(event.properties)
        except msgspec.ValidationError as error:
            return field_failure(error, parent)
        raise AssertionError(f"offset {record.offset} was rejected, but is a valid event")


def _type(layout: EventLayout, number: int) -> _Type:
    struct = _properties_struct(layout.property_types[number], {keyed.key for keyed in layout.keyed})
    fields = msgspec.structs.fields(struct)
    getters: dict[str, Callable[[Any], Any]] = {field.encode_name: attrgetter(field.name) for field in fields}
    first = len(ENVELOPE_COLUMNS)
    cells = [
        _Cell(read, column, _numbered(declared.values) if declared.kind == "string" else None)
        for column, declared in enumerate(layout.properties[first:], first)
        if (read := getters.get(declared.name))
    ]
    keys = [(number in keyed.event_types and getters.get(keyed.key)) or _nothing for keyed in layout.keyed]
    return _Type(number, msgspec.json.Decoder(struct | None).decode, struct(), cells, keys)


def _properties_struct(types: Mapping[str, PropertyType], keys: set[str]) -> type[msgspec.Struct]:
    """A struct of what an event type declares; its fields are p0, p1, …: a property may be called `class`."""
    fields: list[tuple[str, Any, Any]] = []
    for number, (name, declared) in enumerate(types.items()):
        text = (Id | None if name in keys else str | None, None)
        fields.append((f"p{number}", *_FIELDS.get(declared, text)))
    names = {f"p{number}": name for number, name in enumerate(types)}
    return msgspec.defstruct("Properties", fields, rename=names, gc=False)


def _nothing(properties: Any) -> None:
    """Reads the key of an entity that the event type does not concern."""


def _numbered(values: Iterable[str]) -> Values:
    return {None: ABSENT_VALUE, **{value: float(number) for number, value in enumerate(values)}}


def _cell_value(cell: _Cell, properties: Any) -> float:
    value = cell.read(properties)
    if cell.values is not None:
        return cell.values.get(value, OTHER)
    return ABSENT_VALUE if value is None else float(value)


def _record_failure(event: Event, record: Record) -> Failure | None:
    """What of an event does not fit its record."""
    if record.timestamp > MAX_EVENT_TIME_MS:
        detail = f"the record's timestamp is {record.timestamp} ms, at most {MAX_EVENT_TIME_MS} are allowed"
        return Failure(Reason.TIME_OUT_OF_RANGE, None, detail)
    if event.event_time > record.timestamp + MAX_AHEAD_MS:
        ahead_ms = event.event_time - record.timestamp
        detail = f"{ahead_ms} ms ahead of the record's timestamp, at most {MAX_AHEAD_MS} are allowed"
        return Failure(Reason.TIME_OUT_OF_RANGE, "event_time", detail)
    if event.customer_id.encode() != record.key:
        detail = "the record has no key" if record.key is None else "the record's key is not the customer_id"
        return Failure(Reason.WRONG_KEY, "customer_id", detail)
    return None
