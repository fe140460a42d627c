"""What the decoder's kernel must know of a catalogue, as arrays, and the arrays that it fills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.columns import Field
from models.events import ENVELOPE_COLUMNS, EventLayout, Scalar
from models.hashing import xxh64
from models.jit import kernel, routine
from models.json_scan import QUOTE
from models.texts import NULL, Bytes, Ints, Texts, equal_bytes
from models.zones import zone_offsets_ms

# Groups of words: the names of fields, of event types and of properties; the values of column c are group c.
FIELDS: Final = -1
EVENT_TYPES: Final = -2
PROPERTIES: Final = -3
NO_WORD: Final = -1

# Fields that are no text, numbered after those that are.
EVENT_TIME: Final = 8
RECEIVED_AT: Final = 9
FIELD_NAMES: Final = (*(field.name.lower() for field in Field if field < Field.KEYS), "event_time", "received_at")
REQUIRED: Final = 1 << Field.EVENT_ID | 1 << Field.EVENT | 1 << Field.CUSTOMER_ID | 1 << EVENT_TIME

SCRATCH_BYTES: Final = 1024  # of a text with escapes, which is read the slow way if it is longer

SLOW: Final = -4  # event_type of a record that the kernel is not sure of, until it was read the slow way

# what a property of an event type holds
UNDECLARED: Final = -1
NUMBER: Final = 0
BOOLEAN: Final = 1
TEXT: Final = 2  # of which only the presence is seen
CODED: Final = 3  # a text that is one of the column's values, or another
KEY: Final = 4  # a coded text that names instances of a keyed entity
_KINDS: Final[dict[Scalar, int]] = {"number": NUMBER, "boolean": BOOLEAN, "string": TEXT}

# columns of DecodePlan.words
_START: Final = 0
_SIZE: Final = 1
_GROUP: Final = 2
_NUMBER: Final = 3

# rows of Decoded.numbers
TIME: Final = 0
RECEIVED: Final = 1
ID_HASH: Final = 2
CUSTOMER_HASH: Final = 3
NUMBERS: Final = 4


class DecodePlan(NamedTuple):
    """E event types, P columns of properties, K keyed entities; read only.

    Few arrays, since each is seven words that every call hands on. `words` is a dictionary (group, text) -> number,
    with open addressing by XXH64: word w is text[start : start + size], with start, size, group, number in words[w].
    """

    text: Bytes
    words: NDArray[np.int32]  # [words, 4]
    slots: NDArray[np.int32]  # [a power of two]: a word, or NO_WORD
    kinds: NDArray[np.int8]  # [E, P]
    key_column: NDArray[np.int32]  # [E, K]: the column of the entity's key, where the event type concerns it; -1
    zone_at: Ints
    zone_offset: Ints


class Decoded(NamedTuple):
    """What the kernel fills for n records, as in `Columns` but for SLOW in event_type; T texts."""

    event_type: NDArray[np.int32]
    has_received_at: NDArray[np.bool_]
    numbers: Ints  # [NUMBERS, n]
    spans: Ints  # [2, T, n]: start, size
    properties: NDArray[np.float64]
    scratch: Bytes  # for one text without its escapes


def compile_plan(layout: EventLayout) -> DecodePlan:
    """The plan for a layout."""
    first = len(ENVELOPE_COLUMNS)
    column = {declared.name: first + at for at, declared in enumerate(layout.properties[first:])}
    text, words, slots = _words(_vocabulary(layout, column))
    zone_at, zone_offset = zone_offsets_ms(layout.time_zone)
    kinds, key_column = _kinds(layout, column), _key_column(layout, column)
    return DecodePlan(text, words, slots, kinds, key_column, zone_at, zone_offset)


def new_decoded(count: int, layout: EventLayout) -> Decoded:
    """Arrays for `count` records; the properties are not filled."""
    spans = np.zeros((2, Field.KEYS + len(layout.keyed), count), np.int64)
    spans[1] = NULL
    return Decoded(
        event_type=np.full(count, SLOW, np.int32),
        has_received_at=np.zeros(count, np.bool_),
        numbers=np.zeros((NUMBERS, count), np.int64),
        spans=spans,
        properties=np.empty((count, len(layout.properties)), np.float64),
        scratch=np.empty(SCRATCH_BYTES, np.uint8),
    )


def new_guesses(plan: DecodePlan) -> NDArray[np.int32]:
    """Words, none yet: a row an event type and one for the envelope, a column a name's number and one for the start."""
    types, columns = plan.kinds.shape
    return np.full((types + 1, max(columns, len(FIELD_NAMES)) + 1), NO_WORD, np.int32)


def _kinds(layout: EventLayout, column: dict[str, int]) -> NDArray[np.int8]:
    keys = {entity.key for entity in layout.keyed}
    kinds = np.full((len(layout.event_types), len(layout.properties)), UNDECLARED, np.int8)
    for number, properties in enumerate(layout.property_types):
        for name in properties:
            declared = layout.properties[column[name]]
            plain = CODED if declared.values else _KINDS[declared.kind]
            kinds[number, column[name]] = KEY if name in keys else plain
    return kinds


def _key_column(layout: EventLayout, column: dict[str, int]) -> NDArray[np.int32]:
    key_column = np.full((len(layout.event_types), len(layout.keyed)), -1, np.int32)
    for at, entity in enumerate(layout.keyed):
        for number in entity.event_types:
            if entity.key in layout.property_types[number]:
                key_column[number, at] = column[entity.key]
    return key_column


def _vocabulary(layout: EventLayout, column: dict[str, int]) -> Iterable[tuple[int, str, int]]:
    """(group, text, number) of all words."""
    yield from ((FIELDS, name, number) for number, name in enumerate(FIELD_NAMES))
    yield from ((EVENT_TYPES, name, number) for number, name in enumerate(layout.event_types))
    yield from ((PROPERTIES, name, number) for name, number in column.items())
    for number, declared in enumerate(layout.properties):
        yield from ((number, value, code) for code, value in enumerate(declared.values))


def _words(vocabulary: Iterable[tuple[int, str, int]]) -> tuple[Bytes, NDArray[np.int32], NDArray[np.int32]]:
    """`DecodePlan.text`, `words`, and `slots`, of which at most half are taken."""
    found = list(vocabulary)
    texts = Texts.of(text.encode() for _, text, _ in found)
    words = np.empty((len(found), 4), np.int32)
    words[:, _START], words[:, _SIZE] = texts.start, texts.size
    words[:, _GROUP], words[:, _NUMBER] = [group for group, _, _ in found], [number for _, _, number in found]
    slots = np.full(1 << (2 * len(found)).bit_length(), NO_WORD, np.int32)
    for word, (start, size, group, _) in enumerate(words.tolist()):
        slot = _first_slot(xxh64(texts.data, start, size), group, len(slots))
        while slots[slot] != NO_WORD:
            slot = (slot + 1) % len(slots)
        slots[slot] = word
    return texts.data, words, slots


@kernel
def _first_slot(hashed, group, slots):
    return (hashed ^ (group * 73)) & (slots - 1)


@routine
def _is_word(text, words, word, group, data, start, size):
    if words[word, _GROUP] != group:
        return False
    return equal_bytes(data, start, size, text, np.int64(words[word, _START]), np.int64(words[word, _SIZE]))


@routine
def find(text, words, slots, group, data, start, size):
    """The word of a group that a span of data holds, or NO_WORD; `text`, `words` and `slots` are a plan's."""
    slot = _first_slot(xxh64(data, start, size), group, len(slots))
    word = np.int64(slots[slot])
    while word != NO_WORD and not _is_word(text, words, word, group, data, start, size):
        slot = (slot + 1) & (len(slots) - 1)
        word = np.int64(slots[slot])
    return word


@routine
def number_of(words, word):
    """The number of a word; NO_WORD for none."""
    return np.int64(NO_WORD) if word == NO_WORD else np.int64(words[word, _NUMBER])


@routine
def guessed_end(text, words, guess, data, at, end):
    """Where the string that is opened at `at` is closed, if it holds the word `guess`; else NO_WORD."""
    size = np.int64(words[guess, _SIZE])
    close = at + 1 + size
    if close >= end or data[np.uintp(close)] != QUOTE or data[np.uintp(at)] != QUOTE:
        return NO_WORD
    start = np.int64(words[guess, _START])
    return close if equal_bytes(data, at + 1, size, text, start, size) else NO_WORD
