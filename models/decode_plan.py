"""What the decoder's kernel must know of a catalogue, as arrays, and the arrays that it fills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.columns import Field
from models.events import ENVELOPE_COLUMNS, EventLayout, Scalar
from models.hashing import xxh64
from models.jit import kernel, part
from models.texts import NULL, Bytes, Ints, Texts, equal_bytes
from models.zones import zone_offsets_ms

# What a word is: the name of a field, of an event type, of a property, or a value of column `group`.
FIELDS: Final = -1
EVENT_TYPES: Final = -2
PROPERTIES: Final = -3
NO_WORD: Final = -1

# Fields that are no text, numbered after those that are.
EVENT_TIME: Final = 8
RECEIVED_AT: Final = 9
FIELD_NAMES: Final = (*(field.name.lower() for field in Field if field < Field.KEYS), "event_time", "received_at")
REQUIRED: Final = 1 << Field.EVENT_ID | 1 << Field.EVENT | 1 << Field.CUSTOMER_ID | 1 << EVENT_TIME

SLOW: Final = -4  # event_type of a record that the kernel is not sure of, until it was read the slow way

# kinds of a property's values
NUMBER: Final = 0
BOOLEAN: Final = 1
TEXT: Final = 2  # of which only the presence is seen
CODED: Final = 3  # a text that is one of the column's values, or another
_KINDS: Final[dict[Scalar, int]] = {"number": NUMBER, "boolean": BOOLEAN, "string": TEXT}


class Words(NamedTuple):
    """A dictionary (group, text) -> number: open addressing by XXH64. Word w is data[start[w] : start[w] + size[w]].

    slots: int32[power of two], the word in each, or NO_WORD.
    """

    data: Bytes
    start: Ints
    size: Ints
    group: NDArray[np.int32]
    number: NDArray[np.int32]
    slots: NDArray[np.int32]


class DecodePlan(NamedTuple):
    """E event types, P columns of properties, K keyed entities; read only."""

    words: Words
    kind: NDArray[np.int8]  # [P]
    declared: NDArray[np.bool_]  # [E, P]
    is_key: NDArray[np.bool_]  # [P]
    key_column: NDArray[np.int32]  # [E, K]: the column of the entity's key, where the event type concerns it; -1
    zone_at: Ints
    zone_offset: Ints


class Decoded(NamedTuple):
    """What the kernel fills, one row a record: as in `Columns`, but for SLOW in event_type."""

    event_type: NDArray[np.int32]
    event_time: Ints
    received_at: Ints
    has_received_at: NDArray[np.bool_]
    id_hash: Ints
    customer_hash: Ints
    start: Ints
    size: Ints
    properties: NDArray[np.float64]


def compile_plan(layout: EventLayout) -> DecodePlan:
    """The plan for a layout."""
    first = len(ENVELOPE_COLUMNS)
    column = {declared.name: first + at for at, declared in enumerate(layout.properties[first:])}
    types, keyed = len(layout.event_types), layout.keyed
    declared = np.zeros((types, len(layout.properties)), np.bool_)
    key_column = np.full((types, len(keyed)), -1, np.int32)
    for number, properties in enumerate(layout.property_types):
        declared[number, [column[name] for name in properties]] = True
        for at, entity in enumerate(keyed):
            if number in entity.event_types and entity.key in properties:
                key_column[number, at] = column[entity.key]
    keys = {entity.key for entity in keyed}
    zone_at, zone_offset = zone_offsets_ms(layout.time_zone)
    return DecodePlan(
        words=_words(_vocabulary(layout, column)),
        kind=np.array([CODED if one.values else _KINDS[one.kind] for one in layout.properties], np.int8),
        declared=declared,
        is_key=np.array([name in keys for name in (one.name for one in layout.properties)], np.bool_),
        key_column=key_column,
        zone_at=zone_at,
        zone_offset=zone_offset,
    )


def new_decoded(count: int, layout: EventLayout) -> Decoded:
    """Arrays for `count` records; those of the properties and hashes are not filled."""
    texts = Field.KEYS + len(layout.keyed)
    return Decoded(
        event_type=np.full(count, SLOW, np.int32),
        event_time=np.zeros(count, np.int64),
        received_at=np.zeros(count, np.int64),
        has_received_at=np.zeros(count, np.bool_),
        id_hash=np.zeros(count, np.int64),
        customer_hash=np.zeros(count, np.int64),
        start=np.zeros((texts, count), np.int64),
        size=np.full((texts, count), NULL, np.int64),
        properties=np.empty((count, len(layout.properties)), np.float64),
    )


def new_guesses(plan: DecodePlan) -> NDArray[np.int32]:
    """Words, none yet: a row an event type and one for the envelope, a column a name's number and one for the start."""
    types, columns = plan.declared.shape
    return np.full((types + 1, max(columns, len(FIELD_NAMES)) + 1), NO_WORD, np.int32)


def _vocabulary(layout: EventLayout, column: dict[str, int]) -> Iterable[tuple[int, str, int]]:
    """(group, text, number) of all words."""
    yield from ((FIELDS, name, number) for number, name in enumerate(FIELD_NAMES))
    yield from ((EVENT_TYPES, name, number) for number, name in enumerate(layout.event_types))
    yield from ((PROPERTIES, name, number) for name, number in column.items())
    for number, declared in enumerate(layout.properties):
        yield from ((number, value, code) for code, value in enumerate(declared.values))


def _words(vocabulary: Iterable[tuple[int, str, int]]) -> Words:
    """A table at most half full. What JSON can only write with an escape is left out: it is never looked for."""
    kept = [word for word in vocabulary if not any(c < " " or c in '"\\' for c in word[1])]
    texts = Texts.of(text.encode() for _, text, _ in kept)
    slots = np.full(1 << (2 * len(kept)).bit_length(), NO_WORD, np.int32)
    words = Words(
        *texts,
        group=np.array([group for group, _, _ in kept], np.int32),
        number=np.array([number for _, _, number in kept], np.int32),
        slots=slots,
    )
    for word in range(len(kept)):
        slot = _first_slot(words, words.group[word], words.data, words.start[word], words.size[word])
        while slots[slot] != NO_WORD:
            slot = (slot + 1) % len(slots)
        slots[slot] = word
    return words


@kernel
def _first_slot(words, group, data, start, size):
    return (xxh64(data, start, size) ^ (group * 73)) & (len(words.slots) - 1)


@part
def find(words, group, data, start, size):
    """The word of a group that a span holds, or NO_WORD."""
    slot = _first_slot(words, group, data, start, size)
    word = words.slots[slot]
    while word != NO_WORD:
        if words.group[word] == group and equal_bytes(
            data, start, size, words.data, words.start[word], words.size[word]
        ):
            return np.int64(word)
        slot = (slot + 1) & (len(words.slots) - 1)
        word = words.slots[slot]
    return NO_WORD
