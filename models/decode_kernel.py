"""The kernel that reads events from the bytes of records.

A record that it cannot read for sure stays SLOW: it may still be an event, or be a bad row; a full parser tells.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.columns import TICK, UNKNOWN, Field
from models.decode_plan import (
    BOOLEAN,
    CODED,
    EVENT_TIME,
    EVENT_TYPES,
    FIELDS,
    NO_WORD,
    NUMBER,
    PROPERTIES,
    RECEIVED_AT,
    REQUIRED,
    SLOW,
    TEXT,
    find,
)
from models.events import MAX_AHEAD_MS, MAX_EVENT_BYTES, MAX_ID_CHARS, MIN_EVENT_TIME_MS
from models.features import zone_offset
from models.hashing import xxh64
from models.jit import kernel, part
from models.json_scan import (
    COLON,
    FAIL,
    LOWER_F,
    LOWER_N,
    LOWER_T,
    OPEN_OBJECT,
    QUOTE,
    after_byte,
    after_false,
    after_null,
    after_space,
    after_string,
    after_true,
    after_value,
    byte,
    field_name,
    first_field,
    integer,
    next_field,
    number,
    plain_text,
)
from models.texts import NULL, equal_bytes
from models.zones import DAY_MS, HOUR_MS

OTHER: Final = -1.0  # the number of a string that is none of the declared values

_EVENT_ID: Final = int(Field.EVENT_ID)
_EVENT: Final = int(Field.EVENT)
_CUSTOMER_ID: Final = int(Field.CUSTOMER_ID)
_CHANNEL: Final = int(Field.CHANNEL)
_CONTEXT: Final = int(Field.CONTEXT)
_PROPERTIES: Final = int(Field.PROPERTIES)
_KEYS: Final = int(Field.KEYS)
_NO_FIELD: Final = -1
_NOWHERE: Final = -1


@kernel
def read_events(plan, records, guesses, out):
    """Reads what it is sure of into `out`.

    guesses (see `new_guesses`): of the envelope and of each event type, the name that followed each name last.
    """
    for row in range(len(records.offset)):
        out.properties[row, :] = np.nan
        if records.tick[row]:
            out.event_type[row] = TICK
        elif not _read_event(plan, records, guesses, out, row):
            _forget(out, row)


@kernel
def finish_rows(plan, data, rows, out):
    """`_finish` for rows that were read the slow way."""
    for row in rows:
        _finish(plan, data, out, row)


@part
def _forget(out, row):
    out.event_type[row] = SLOW
    out.event_time[row] = 0
    out.received_at[row] = 0
    out.has_received_at[row] = False
    out.start[:, row] = 0
    out.size[:, row] = NULL
    out.properties[row, :] = np.nan


@part
def _finish(plan, data, out, row):
    """What follows from an event's fields: hashes, and the columns of its time."""
    out.id_hash[row] = xxh64(data, out.start[_EVENT_ID, row], out.size[_EVENT_ID, row])
    out.customer_hash[row] = xxh64(data, out.start[_CUSTOMER_ID, row], out.size[_CUSTOMER_ID, row])
    time = out.event_time[row]
    local = time + zone_offset(plan, time)
    out.properties[row, 1] = time
    out.properties[row, 2] = local // HOUR_MS % 24
    out.properties[row, 3] = (local // DAY_MS + 3) % 7 + 1  # day 0 was a Thursday


@part
def _read_event(plan, records, guesses, out, row):
    """Whether the record was read: a valid event, and nothing in it is unusual."""
    data, start, size = records.data, records.value_start[row], records.value_size[row]
    if size > MAX_EVENT_BYTES or not _read_envelope(plan, data, start, start + size, guesses, out, row):
        return False
    customer, customer_size = out.start[_CUSTOMER_ID, row], out.size[_CUSTOMER_ID, row]
    if not equal_bytes(data, customer, customer_size, data, records.key_start[row], records.key_size[row]):
        return False
    time = out.event_time[row]
    if time < MIN_EVENT_TIME_MS or time - MAX_AHEAD_MS > records.timestamp[row]:
        return False
    _finish(plan, data, out, row)
    return True


@part
def _read_envelope(plan, data, start, end, guesses, out, row):
    """Reads all fields; properties that come before their event type are read when it is known."""
    seen, later = 0, _NOWHERE
    names, last = guesses.shape[0] - 1, np.int64(guesses.shape[1] - 1)
    at, more = first_field(data, start, end)
    while more:
        word, at = _word(plan, guesses, names, last, FIELDS, data, at, end)
        if at == FAIL:
            return False
        field = np.int64(_NO_FIELD)
        if word != NO_WORD:
            field = np.int64(plan.words.number[word])
            last = field
            if seen >> field & 1:
                return False
            seen |= 1 << field
        if field == _PROPERTIES and out.event_type[row] == SLOW:
            later = at
        at = _after_field(plan, data, at, end, guesses, field, out, row)
        at, more = next_field(data, at, end)
    if at == FAIL or after_space(data, at, end) != end or seen & REQUIRED != REQUIRED:
        return False
    return later == _NOWHERE or _after_properties(plan, data, later, end, guesses, out, row) != FAIL


@part
def _word(plan, guesses, names, last, group, data, at, end):
    """(word, position of its value) of a field's name; a guess spares the look-up where it is right."""
    words, at = plan.words, after_space(data, at, end)
    guess = guesses[names, last]
    if guess != NO_WORD:
        size = words.size[guess]
        close = at + 1 + size
        if (
            byte(data, close, end) == QUOTE
            and data[np.uintp(at)] == QUOTE
            and equal_bytes(data, at + 1, size, words.data, words.start[guess], size)
        ):
            at = after_byte(data, close + 1, end, COLON)
            return np.int64(guess), at if at == FAIL else after_space(data, at, end)
    start, size, at = field_name(data, at, end)
    if at == FAIL:
        return NO_WORD, at
    word = find(words, group, data, start, size)
    if word != NO_WORD:
        guesses[names, last] = word
    return word, at


@part
def _after_field(plan, data, at, end, guesses, field, out, row):
    """Behind the value of a field of the envelope, which is kept."""
    if field == _NO_FIELD:
        return after_value(data, at, end)
    if field == EVENT_TIME:
        at, out.event_time[row] = integer(data, at, end)
        return at
    c = byte(data, at, end)
    if c == LOWER_N:
        return after_null(data, at, end) if not REQUIRED >> field & 1 else FAIL
    if field == RECEIVED_AT:
        out.has_received_at[row] = True
        at, out.received_at[row] = integer(data, at, end)
        return at
    if field >= _CONTEXT:
        if c != OPEN_OBJECT:
            return FAIL
        if field == _PROPERTIES:
            after = _after_properties(plan, data, at, end, guesses, out, row)
        else:
            after = after_value(data, at, end)
        out.start[field, row], out.size[field, row] = at, after - at
        return after
    return _after_text(plan, data, at, end, field, out, row)


@part
def _after_text(plan, data, at, end, field, out, row):
    """Behind the value of a field of the envelope that is a text."""
    start, size, at = plain_text(data, at, end)
    if at == FAIL or (field <= _CUSTOMER_ID and not _is_id(size)):
        return FAIL
    out.start[field, row], out.size[field, row] = start, size
    if field == _EVENT:
        word = find(plan.words, EVENT_TYPES, data, start, size)
        out.event_type[row] = UNKNOWN if word == NO_WORD else plan.words.number[word]
    elif field == _CHANNEL:
        out.properties[row, 0] = _code(plan, 0, data, start, size)
    return at


@part
def _is_id(size):
    """Whether an id has a valid length; one of more bytes may, counted in characters."""
    return 1 <= size <= MAX_ID_CHARS


@part
def _code(plan, column, data, start, size):
    """The number of a text among a column's values."""
    word = find(plan.words, column, data, start, size)
    return OTHER if word == NO_WORD else np.float64(plan.words.number[word])


@part
def _after_properties(plan, data, at, end, guesses, out, row):
    """Behind the properties; those that the event type declares are kept."""
    event_type, last = out.event_type[row], guesses.shape[1] - 1
    if event_type < 0:
        return after_value(data, at, end)
    at, more = first_field(data, at, end)
    while more:
        word, at = _word(plan, guesses, event_type, last, PROPERTIES, data, at, end)
        if at == FAIL:
            return FAIL
        column = np.int64(_NO_FIELD)
        if word != NO_WORD:
            column = np.int64(plan.words.number[word])
            last = column
        if column != _NO_FIELD and plan.declared[event_type, column]:
            at = _after_property(plan, data, at, end, event_type, column, out, row)
        else:
            at = after_value(data, at, end)
        at, more = next_field(data, at, end)
    return at


@part
def _after_property(plan, data, at, end, event_type, column, out, row):
    """Behind the value of a declared property; of equal names the last one counts."""
    kind, c = plan.kind[column], byte(data, at, end)
    value = np.nan
    if plan.is_key[column]:
        return _after_key(plan, data, at, end, event_type, column, out, row)
    if c == LOWER_N:
        at = after_null(data, at, end)
    elif kind == NUMBER:
        at, value = number(data, at, end)
    elif kind == BOOLEAN:
        value = 1.0 if c == LOWER_T else 0.0
        at = _after_boolean(data, at, end, c)
    elif c != QUOTE:
        return FAIL
    elif kind == TEXT:
        value = OTHER
        at = after_string(data, at + 1, end)
    else:
        start, size, at = plain_text(data, at, end)
        if at != FAIL:
            value = _code(plan, column, data, start, size)
    out.properties[row, column] = value
    return at


@part
def _after_boolean(data, at, end, c):
    if c == LOWER_T:
        return after_true(data, at, end)
    return after_false(data, at, end) if c == LOWER_F else FAIL


@part
def _after_key(plan, data, at, end, event_type, column, out, row):
    """Behind the value of a property that names instances of a keyed entity, or null."""
    start, size, value = at, NULL, np.nan
    if byte(data, at, end) == LOWER_N:
        at = after_null(data, at, end)
    else:
        start, size, at = plain_text(data, at, end)
        if at == FAIL or not _is_id(size):
            return FAIL
        value = _code(plan, column, data, start, size) if plan.kind[column] == CODED else OTHER
    for entity in range(plan.key_column.shape[1]):
        if plan.key_column[event_type, entity] == column:
            out.start[_KEYS + entity, row], out.size[_KEYS + entity, row] = start, size
    out.properties[row, column] = value
    return at
