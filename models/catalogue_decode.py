"""From the tables of a TOML file to structs, field by field, so that one mistake hides no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from models.catalogue_errors import did_you_mean

S = TypeVar("S", bound=msgspec.Struct)
Note = Callable[[str, str], None]  # takes a field and what is wrong with it

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
EXPECTED: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
NO_CHOICE: Final = re.compile(r"Invalid enum value ['\"](.*)['\"]", re.DOTALL)
INDEX: Final = re.compile(r"\[(\d+)\]")
WORDS: Final = {
    "str": "string",
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "array": "list",
    "object": "table",
}


def decode(kind: type[S], table: object, note: Note, given: Mapping[str, Any] = NOTHING, prefix: str = "") -> S | None:
    """The struct that a TOML table holds, or None after `note` was told all that is wrong.

    `given` holds fields that are decoded already, by their TOML names.
    """
    if not isinstance(table, dict):
        note(prefix.rstrip("."), "must be a table")
        return None
    fields = _fields(kind)
    wrong = False

    def failed(field: str, message: str) -> None:
        nonlocal wrong
        wrong = True
        note(prefix + field, message)

    for name in table:
        if name not in fields:
            failed(name, f"unknown field{did_you_mean(name, fields)}")
    values = {fields[name].name: value for name, value in given.items()}
    for name, field in fields.items():
        if name in table and name not in given:
            values[field.name] = _value(field, table[name], name, failed)
        elif name not in given and field.required:
            failed(name, "is missing")
    return None if wrong else kind(**values)


@cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, FieldInfo]:
    """The fields of a struct by their TOML names; msgspec evaluates all annotations each time it is asked."""
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _value(field: FieldInfo, value: object, name: str, failed: Note) -> Any:
    struct = _struct(field.type)
    if struct is not None:
        return decode(struct, value, failed, prefix=f"{name}.")
    if get_origin(field.type) is dict and isinstance(value, dict):
        item = get_args(field.type)[1]
        return {key: _convert(one, item, f"{name}.{key}", failed) for key, one in value.items()}
    return _convert(value, field.type, name, failed)


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def _convert(value: object, kind: Any, name: str, failed: Note) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        failed(*_in_words(str(error), kind, name))
        return None


def _in_words(message: str, kind: Any, name: str) -> tuple[str, str]:
    """The field and the message, in the words of TOML instead of msgspec's."""
    text, _, path = message.partition(" - at `$")
    field = name + INDEX.sub(lambda index: f" #{int(index[1]) + 1}", path.removesuffix("`"))
    if match := EXPECTED.fullmatch(text):
        return field, f"expected {_words(match[1], int='whole number')}, got {_words(match[2])}"
    if match := NO_CHOICE.fullmatch(text):
        choices = list(_choices(kind))
        return field, f"'{match[1]}' is none of {', '.join(choices)}{did_you_mean(match[1], choices)}"
    return field, text


def _choices(kind: Any) -> Iterator[str]:
    for one in get_args(kind):
        yield from [one] if get_origin(kind) is Literal else _choices(one)


def _words(kinds: str, **instead: str) -> str:
    words, known = {**WORDS, **instead}, [kind for kind in kinds.split(" | ") if kind != "null"]
    return " or ".join(words.get(kind, kind) for kind in known)
