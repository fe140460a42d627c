"""The published schemas agree with what the decoder accepts, and change only where the structs do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from models.bad_rows import BadRow, Reason
from models.events import MAX_EVENT_TIME_MS, MAX_ID_CHARS, MIN_EVENT_TIME_MS, Event
from models.published import Decision, Transition, Trigger
from models.schema import DIALECT, schemas

EVENTS: dict[str, Any] = {
    "pay": {"amount": "number", "first": "boolean", "note": "string", "direction": ("in", "out")},
    "Declaration SUBMITTED by EMPLOYEE": {},
    "Declaration/SUBMITTED by EMPLOYEE": {},
}
SCHEMAS = schemas(EVENTS)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def test_one_file_for_each_record_and_each_event_type() -> None:
    assert [name for name in SCHEMAS if "Declaration" not in name] == [
        "event.schema.json",
        "event.pay.schema.json",
        "transition.schema.json",
        "decision.schema.json",
        "trigger.schema.json",
        "bad_row.schema.json",
    ]
    assert len(SCHEMAS) == 8
    assert all("/" not in name and " " not in name for name in SCHEMAS)


def test_without_a_catalogue_there_is_the_envelope() -> None:
    assert schemas(None) == {name: schema for name, schema in SCHEMAS.items() if not name.startswith("event.")} | {
        "event.schema.json": SCHEMAS["event.schema.json"]
    }


def test_they_are_json_and_the_same_every_time() -> None:
    assert json.dumps(schemas(EVENTS)) == json.dumps(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_titled_described_and_closed(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["$schema"] == DIALECT
    assert schema["title"]
    assert schema["description"]
    for node in nodes(schema):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
        assert "\n  " not in str(node.get("description", ""))


@pytest.mark.parametrize(
    ("name", "struct"),
    [("event", Event), ("transition", Transition), ("decision", Decision), ("trigger", Trigger), ("bad_row", BadRow)],
)
def test_each_has_the_fields_of_its_struct(name: str, struct: type[msgspec.Struct]) -> None:
    schema = SCHEMAS[f"{name}.schema.json"]
    fields = msgspec.structs.fields(struct)
    assert list(schema["properties"]) == [field.encode_name for field in fields]
    assert schema["required"] == [field.encode_name for field in fields if field.required]


def test_the_limits_of_an_event() -> None:
    properties = SCHEMAS["event.schema.json"]["properties"]
    for name in ("event_id", "event", "customer_id"):
        assert (properties[name]["minLength"], properties[name]["maxLength"]) == (1, MAX_ID_CHARS)
    assert properties["event_time"]["minimum"] == MIN_EVENT_TIME_MS
    assert properties["event_time"]["maximum"] == MAX_EVENT_TIME_MS
    for name in ("context", "properties"):
        assert properties[name]["type"] == ["object", "null"]


def test_an_event_type_has_its_properties() -> None:
    properties = SCHEMAS["event.pay.schema.json"]["properties"]
    assert properties["event"] == {"const": "pay"}
    declared = properties["properties"]["properties"]
    assert {name: one["type"] for name, one in declared.items()} == {
        "amount": ["number", "null"],
        "first": ["boolean", "null"],
        "note": ["string", "null"],
        "direction": ["string", "null"],
    }
    assert declared["direction"]["examples"] == ["in", "out"]


def test_a_property_that_names_an_entity_is_an_id() -> None:
    """An empty one makes its event a bad row, whatever else the event says."""
    with_keys = schemas(EVENTS, keys={"note"})["event.pay.schema.json"]["properties"]["properties"]["properties"]
    assert with_keys["note"] == {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_ID_CHARS}
    without = SCHEMAS["event.pay.schema.json"]["properties"]["properties"]["properties"]
    assert with_keys | {"note": without["note"]} == without and without["note"] == {"type": ["string", "null"]}


def test_the_reasons_of_a_bad_row() -> None:
    assert SCHEMAS["bad_row.schema.json"]["$defs"]["Reason"]["enum"] == sorted(Reason)
