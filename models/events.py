"""Events: the envelope with its limits, and what the decoder must know of a catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Raw, Struct

if TYPE_CHECKING:
    from models.catalogue import Catalogue

MAX_EVENT_BYTES: Final = 64 * 1024
MAX_ID_CHARS: Final = 255
MIN_EVENT_TIME_MS: Final = 946_684_800_000  # 2000-01-01T00:00Z
MAX_EVENT_TIME_MS: Final = 4_102_444_800_000  # 2100-01-01T00:00Z: microseconds are beyond it, seconds before the first
MAX_AHEAD_MS: Final = 3_600_000  # of event_time before its record's timestamp
MIN_INT64: Final = -(2**63)
MAX_INT64: Final = 2**63 - 1
ENVELOPE_COLUMNS: Final = ("channel", "event_time", "event_hour", "event_weekday")  # numbers 0 to 3
ABSENT: Final = Raw(b"")

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
EventTime: TypeAlias = Annotated[
    int,
    Meta(
        ge=MIN_EVENT_TIME_MS,
        le=MAX_EVENT_TIME_MS,
        description="When it happened: ms since the epoch, UTC, without a fraction; "
        "at most 1 h ahead of the record's timestamp.",
    ),
]
Int64: TypeAlias = Annotated[int, Meta(ge=MIN_INT64, le=MAX_INT64)]

Scalar = Literal["number", "boolean", "string"]
PropertyType: TypeAlias = "Scalar | tuple[str, ...]"


def is_possible(time_ms: Any) -> Any:
    """Whether a record can have a time, ms; of many, bool[n]."""
    return (time_ms >= MIN_EVENT_TIME_MS) & (time_ms <= MAX_EVENT_TIME_MS)


class Event(Struct, gc=False):
    """One thing that a customer did, or that happened to them.

    `context` and `properties` are the JSON text of an object as it came, or empty: null counts as absent.
    """

    event_id: Annotated[
        Id, Meta(description="Unique; sent again among the last 16 events of the customer, it counts once.")
    ]
    event: Annotated[Id, Meta(description="The event type.")]
    customer_id: Annotated[Id, Meta(description="Also the key of the Kafka record, in UTF-8.")]
    event_time: EventTime
    channel: str | None = None
    session_id: str | None = None
    device_id: str | None = None
    received_at: Int64 | None = None
    context: Raw = ABSENT
    properties: Raw = ABSENT


class Property(NamedTuple):
    """A column of `Columns.properties`: numbers, booleans as 0 and 1, or strings as indices into `values`."""

    name: str
    kind: Scalar
    values: tuple[str, ...] = ()


class Keyed(NamedTuple):
    """An entity whose instances the string property `key` names; numbers of the event types it concerns."""

    entity: str
    key: str
    event_types: frozenset[int]


@dataclass(frozen=True, slots=True)
class EventLayout:
    """What the decoder must know. A position in `event_types`, `properties` or `channels` is a number."""

    event_types: tuple[str, ...]
    property_types: tuple[Mapping[str, PropertyType], ...]  # per event type
    properties: tuple[Property, ...]
    channels: tuple[str, ...]
    time_zone: str
    keyed: tuple[Keyed, ...]

    @classmethod
    def from_catalogue(cls, catalogue: Catalogue) -> EventLayout:
        """The layout of a checked catalogue."""
        from models.catalogue_names import concerned_events  # late: who only sends records needs no parser of SQL

        events: dict[str, Mapping[str, Any]] = {event.name: event.properties for event in catalogue.events}
        keys = {journey.entity: journey.key for journey in catalogue.journeys if journey.key is not None}
        keyed = [(entity, key, concerned_events(catalogue, entity)) for entity, key in keys.items()]
        return event_layout(catalogue.channels, catalogue.time_zone, events, keyed)


def event_layout(
    channels: Iterable[str],
    time_zone: str,
    events: Mapping[str, Mapping[str, PropertyType]],
    keyed: Iterable[tuple[str, str, Iterable[str]]] = (),
) -> EventLayout:
    """The layout for these event types and their properties; `keyed`: (entity, key, event types concerned).

    Raises ValueError for a property of two kinds, or a key that is no string.
    """
    channels = tuple(channels)
    number = {name: position for position, name in enumerate(events)}
    kinds = _kinds(events)
    for entity, key, _ in (keyed := tuple(keyed)):
        if kinds.get(key, "string") != "string":
            raise ValueError(f"{entity}: the key '{key}' must be a string")
    return EventLayout(
        event_types=tuple(events),
        property_types=tuple(events.values()),
        properties=(*_envelope_columns(channels), *_declared_columns(events, kinds)),
        channels=channels,
        time_zone=time_zone,
        keyed=tuple(Keyed(entity, key, frozenset(number[name] for name in on)) for entity, key, on in keyed),
    )


def _envelope_columns(channels: tuple[str, ...]) -> tuple[Property, ...]:
    channel, *numbers = ENVELOPE_COLUMNS
    return (Property(channel, "string", channels), *(Property(name, "number") for name in numbers))


def _kinds(events: Mapping[str, Mapping[str, PropertyType]]) -> dict[str, Scalar]:
    kinds: dict[str, Scalar] = {}
    for types in events.values():
        for name, declared in types.items():
            kind = declared if isinstance(declared, str) else "string"
            if kinds.setdefault(name, kind) != kind:
                raise ValueError(f"the property '{name}' is {kinds[name]} in one event and {kind} in another")
    return kinds


def _declared_columns(
    events: Mapping[str, Mapping[str, PropertyType]], kinds: Mapping[str, Scalar]
) -> Iterable[Property]:
    """One a property; of a string the values are the union over the events, in order, and may be none."""
    for name, kind in kinds.items():
        declared = [types[name] for types in events.values() if name in types]
        values = dict.fromkeys(value for one in declared if not isinstance(one, str) for value in one)
        yield Property(name, kind, tuple(values))
