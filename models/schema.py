"""JSON Schemas (2020-12) of what goes in and comes out, from the structs. Changes to them are additive."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from inspect import cleandoc
from typing import Any, Final, TypeAlias

import msgspec
import xxhash
from msgspec import Raw, Struct

from models.bad_rows import BadRow
from models.events import MAX_EVENT_BYTES, MAX_ID_CHARS, Event, PropertyType
from models.published import Decision, Transition, Trigger

Schema: TypeAlias = dict[str, Any]
_KEY_LIMITS: Final[Schema] = {"minLength": 1, "maxLength": MAX_ID_CHARS}

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
OUTPUTS: Final[Mapping[str, tuple[type[Struct], str]]] = {
    "transition": (Transition, "zhice.transitions"),
    "decision": (Decision, "zhice.decisions"),
    "trigger": (Trigger, "zhice.triggers"),
    "bad_row": (BadRow, "zhice.bad-rows"),
}
_NOTES: Final = {
    "context": "Where and how it happened; kept as it is.",
    "properties": "What happened, as the event type declares; other properties are kept as they are.",
}


def schemas(
    events: Mapping[str, Mapping[str, PropertyType]] | None = None, keys: Collection[str] = ()
) -> dict[str, Schema]:
    """The schemas by file name: of any event, of each of these event types, and of what Zhice publishes.

    `events` has the declared properties by event type, as `event_layout` takes them; `keys` name entities.
    """
    made = {"event.schema.json": _event_schema()}
    for name, properties in (events or {}).items():
        made[f"event.{_slug(name)}.schema.json"] = _event_type_schema(name, properties, keys)
    for name, (struct, topic) in OUTPUTS.items():
        made[f"{name}.schema.json"] = _struct_schema(struct, f"{struct.__name__}, a value of {topic}")
    return made


def _event_schema() -> Schema:
    """msgspec has no schema for raw JSON text, so objects stand in for it."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(Event):
        kind = dict[str, Any] | None if field.type is Raw else field.type
        fields.append((field.name, kind) if field.required else (field.name, kind, None))
    schema = _struct_schema(msgspec.defstruct("Event", fields), "Event, a value of zhice.events")
    schema["description"] = (
        "One thing that a customer did, or that happened to them. "
        f"At most {MAX_EVENT_BYTES} bytes of UTF-8; null counts as absent."
    )
    for name, note in _NOTES.items():
        schema["properties"][name] = {"type": ["object", "null"], "description": note, "default": None}
    return schema


def _event_type_schema(name: str, properties: Mapping[str, PropertyType], keys: Collection[str]) -> Schema:
    schema = _event_schema()
    schema["title"] = f"Event {name}"
    schema["properties"]["event"] = {"const": name}
    schema["properties"]["properties"]["properties"] = {
        property_: _property_schema(declared) | (_KEY_LIMITS if property_ in keys else {})
        for property_, declared in properties.items()
    }
    return schema


def _property_schema(declared: PropertyType) -> Schema:
    if isinstance(declared, str):
        return {"type": [declared, "null"]}
    return {
        "type": ["string", "null"],
        "description": "Expressions compare with the examples; other values are kept as they are.",
        "examples": list(declared),
    }


def _struct_schema(struct: type[Struct], title: str) -> Schema:
    """The schema of a struct, with those that it refers to in `$defs`."""
    (_,), defs = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    for one in defs.values():
        one["description"] = cleandoc(one.get("description", ""))  # as Python 3.13 and later have it
    schema = {"$schema": DIALECT, **defs.pop(struct.__name__), "title": title}
    return schema | {"$defs": dict(sorted(defs.items()))} if defs else schema


def _slug(name: str) -> str:
    """A part of a file name; different names stay different."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:100]
    return slug if slug == name else f"{slug}-{xxhash.xxh32_hexdigest(name.encode())}"
