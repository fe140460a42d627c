"""Bad rows: inputs that are no valid events, kept whole with the reason (after Snowplow's bad rows)."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from models.events import MAX_EVENT_BYTES

MAX_DEPTH: Final = 256  # of nested arrays and objects; far below where a JSON parser runs out of stack
MAX_DETAIL_CHARS: Final = 200
MAX_PUBLISHED_BYTES: Final = 1 << 20  # of a key, and of a value, on the topic of bad rows; the lake has every byte
PROCESSOR: Final = "zhice"
VERSION: Final = 2  # of the checks: grows when they accept or reject something else

_TRUNCATED: Final = "Input data was truncated"  # as msgspec says it
_WHITE: Final = b" \t\n\r"  # of JSON
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_PATH: Final = re.compile(r" - at `\$\.?(.*)`$")
_MISSING: Final = re.compile(r"missing required field `(.*?)`")


class Reason(StrEnum):
    """Why an input is no valid event."""

    EMPTY_VALUE = "empty_value"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    MISTYPED_FIELD = "mistyped_field"
    EMPTY_ID = "empty_id"
    ID_TOO_LONG = "id_too_long"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    WRONG_KEY = "wrong_key"


class Failure(NamedTuple):
    """What is wrong. `field` is as in `properties.amount`, None for the whole value; `detail` is one line."""

    reason: Reason
    field: str | None
    detail: str


class BadRow(Struct, frozen=True, kw_only=True, gc=False):
    """An input that is no valid event, with the reason and where it came from.

    In JSON, `key` and `value` are base64 of the bytes as they came. Of one that is larger than 1 MiB the topic has the
    first MiB, and `key_bytes` or `value_bytes` says how large it is; the lake has every byte.
    """

    processor: str = PROCESSOR
    version: Annotated[int, Meta(description="Of the checks.")] = VERSION
    reason: Reason
    field: Annotated[str | None, Meta(description="The wrong field, such as `properties.amount`.")]
    detail: Annotated[str, Meta(description="One line for a person.")]
    topic: str
    partition: int
    offset: int
    timestamp: Annotated[int, Meta(description="Of the record: ms since the epoch, UTC.")]
    key: bytes | None
    value: bytes | None
    key_bytes: Annotated[int | UnsetType, Meta(description="Size of the key, where `key` is cut.")] = UNSET
    value_bytes: Annotated[int | UnsetType, Meta(description="Size of the value, where `value` is cut.")] = UNSET

    def published(self) -> BadRow:
        """As the topic has it: itself, or cut where it would be larger than a broker takes."""
        cut: dict[str, bytes | int] = {}
        for name, text in (("key", self.key), ("value", self.value)):
            if text and len(text) > MAX_PUBLISHED_BYTES:
                cut |= {name: text[:MAX_PUBLISHED_BYTES], f"{name}_bytes": len(text)}
        return replace(self, **cut) if cut else self


class _Object(Struct):
    """Any JSON object."""


_text = msgspec.json.Decoder(Raw).decode
_object = msgspec.json.Decoder(_Object).decode


def text_failure(value: bytes) -> Failure | None:
    """What is wrong with the value before any field is looked at; None if it is a JSON object."""
    if not value:
        return Failure(Reason.EMPTY_VALUE, None, "the record has no value, and no header that makes it a tick")
    if len(value) > MAX_EVENT_BYTES:
        return Failure(Reason.TOO_LARGE, None, f"{len(value)} bytes, at most {MAX_EVENT_BYTES} are allowed")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return Failure(Reason.NOT_UTF8, None, f"{error.reason} at byte {error.start}")
    if is_too_deep(value):
        return Failure(Reason.TOO_DEEP, None, f"nested more than {MAX_DEPTH} deep")
    try:
        _text(value)  # the whole text, before a type is expected of any part
    except msgspec.DecodeError as error:
        return Failure(Reason.NOT_JSON, None, _syntax_error(value, error))
    try:
        _object(value)
    except msgspec.ValidationError as error:
        return Failure(Reason.NOT_AN_OBJECT, None, _one_line(error))
    return None


def field_failure(error: msgspec.ValidationError, parent: str = "") -> Failure:
    """The failure that msgspec reports for a JSON object of the right syntax, found in the field `parent`."""
    message = str(error)
    at, missing = _PATH.search(message), _MISSING.search(message)
    path = ".".join(name for name in (parent, at[1] if at else "", missing[1] if missing else "") if name)
    return Failure(_reason(message, path), path or None, _one_line(error))


def is_too_deep(value: bytes) -> bool:
    """Whether arrays and objects are nested more than MAX_DEPTH deep.

    >>> is_too_deep(b"[" * 256 + b"]" * 256), is_too_deep(b"[" * 257 + b"]" * 257)
    (False, True)
    """
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    text = np.frombuffer(_STRING.sub(b"", value), dtype=np.uint8)
    opens = (text == ord("[")) | (text == ord("{"))
    closes = (text == ord("]")) | (text == ord("}"))
    return int(np.cumsum(opens.astype(np.int64) - closes).max(initial=0)) > MAX_DEPTH


def _reason(message: str, path: str) -> Reason:
    if "missing required field" in message:
        return Reason.MISSING_FIELD
    if "`str` of length >=" in message:
        return Reason.EMPTY_ID
    if "`str` of length <=" in message:
        return Reason.ID_TOO_LONG
    if path == "event_time" and ("`int` >=" in message or "`int` <=" in message):
        return Reason.TIME_OUT_OF_RANGE
    return Reason.MISTYPED_FIELD


def _syntax_error(value: bytes, error: msgspec.DecodeError) -> str:
    """What msgspec says of a text; it calls some truncated that are whole."""
    said = _one_line(error)
    if said != _TRUNCATED:
        return said
    if not value.strip(_WHITE):
        return "nothing but white space"
    try:
        json.loads(value)  # which lets strings have halves of surrogate pairs
    except ValueError:
        return said
    return "a string has half of a surrogate pair"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:MAX_DETAIL_CHARS]
