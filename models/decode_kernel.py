"""The kernel that reads events from the bytes of records.

A record that it cannot read for sure stays SLOW: it may still be an event, or be a bad row; a full parser tells.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.columns import TICK, UNKNOWN, Field
from models.decode_plan import (
    BOOLEAN,
    CUSTOMER_HASH,
    EVENT_TIME,
    EVENT_TYPES,
    FIELDS,
    ID_HASH,
    KEY,
    NO_WORD,
    NUMBER,
    PROPERTIES,
    RECEIVED,
    RECEIVED_AT,
    REQUIRED,
    SLOW,
    TEXT,
    TIME,
    UNDECLARED,
    find,
    guessed_end,
    number_of,
)
from models.events import MAX_AHEAD_MS, MAX_EVENT_BYTES, MAX_EVENT_TIME_MS, MAX_ID_CHARS, MIN_EVENT_TIME_MS
from models.hashing import xxh64
from models.jit import kernel, part, routine
from models.json_number import integer, number
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
    next_field,
    plain_text,
    unescaped,
)
from models.texts import NULL, equal_bytes
from models.zones import DAY_MS, HOUR_MS, number_at

OTHER: Final = -1.0  # the number of a string that is none of the declared values

_EVENT_ID: Final = int(Field.EVENT_ID)
_EVENT: Final = int(Field.EVENT)
_CUSTOMER_ID: Final = int(Field.CUSTOMER_ID)
_CHANNEL: Final = int(Field.CHANNEL)
_CONTEXT: Final = int(Field.CONTEXT)
_PROPERTIES: Final = int(Field.PROPERTIES)
_KEYS: Final = int(Field.KEYS)
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
            continue
        start, size = records.value_start[row], records.value_size[row]
        key, key_size = records.key_start[row], records.key_size[row]
        sure = size <= MAX_EVENT_BYTES and _read_event(plan, records.data, start, start + size, guesses, out, row)
        if sure and _fits(out, row, records.data, key, key_size, records.timestamp[row]):
            _finish(plan, records.data, out, row)
        else:
            _forget(out, row)


@kernel
def finish_rows(plan, data, rows, out):
    """`_finish` for rows that were read the slow way."""
    for row in rows:
        _finish(plan, data, out, row)


@routine
def _forget(out, row):
    out.event_type[row] = SLOW
    out.has_received_at[row] = False
    out.numbers[:, row] = 0
    out.spans[0, :, row] = 0
    out.spans[1, :, row] = NULL
    out.properties[row, :] = np.nan


@routine
def _finish(plan, data, out, row):
    """What follows from an event's fields: hashes, and the columns of its time."""
    out.numbers[ID_HASH, row] = xxh64(data, out.spans[0, _EVENT_ID, row], out.spans[1, _EVENT_ID, row])
    out.numbers[CUSTOMER_HASH, row] = xxh64(data, out.spans[0, _CUSTOMER_ID, row], out.spans[1, _CUSTOMER_ID, row])
    time = out.numbers[TIME, row]
    local = time + plan.zone_offset[number_at(plan.zone_at, time)]
    out.properties[row, 1] = time
    out.properties[row, 2] = local // HOUR_MS % 24
    out.properties[row, 3] = (local // DAY_MS + 3) % 7 + 1  # day 0 was a Thursday


@routine
def _fits(out, row, data, key, key_size, timestamp):
    """Whether the event is that of the record's key, and its time within the limits."""
    customer, size = out.spans[0, _CUSTOMER_ID, row], out.spans[1, _CUSTOMER_ID, row]
    time = out.numbers[TIME, row]
    in_time = MIN_EVENT_TIME_MS <= time <= MAX_EVENT_TIME_MS and time - MAX_AHEAD_MS <= timestamp <= MAX_EVENT_TIME_MS
    return in_time and equal_bytes(data, customer, size, data, key, key_size)


@part
def _read_event(plan, data, start, end, guesses, out, row):
    """Reads all fields; properties that come before their event type are read when it is known."""
    seen, later = 0, _NOWHERE
    names, last = guesses.shape[0] - 1, guesses.shape[1] - 1
    at, more = first_field(data, start, end)
    while more:
        word, at = _word(plan, guesses, names, last, FIELDS, data, at, end, out.scratch)
        if at == FAIL:
            return False
        field = number_of(plan.words, word)
        if field != NO_WORD:
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
def _word(plan, guesses, names, last, group, data, at, end, scratch):
    """(word, position of its value) of a field's name; a guess spares the look-up where it is right."""
    at = after_space(data, at, end)
    word = np.int64(guesses[names, last])
    if word != NO_WORD:
        close = guessed_end(plan.text, plan.words, word, data, at, end)
        if close != NO_WORD:
            at = after_byte(data, close + 1, end, COLON)
            return word, at if at == FAIL else after_space(data, at, end)
    start, size, after = field_name(data, at, end)
    if after == FAIL:
        return _escaped_word(plan, group, data, at, end, scratch)
    word = find(plan.text, plan.words, plan.slots, group, data, start, size)
    if word != NO_WORD:
        guesses[names, last] = word
    return word, after


@part
def _escaped_word(plan, group, data, at, end, scratch):
    """The same for a name with escapes."""
    size, at = unescaped(data, at, end, scratch)
    if at != FAIL:
        at = after_byte(data, at, end, COLON)
    if at == FAIL:
        return np.int64(NO_WORD), at
    return find(plan.text, plan.words, plan.slots, group, scratch, 0, size), after_space(data, at, end)


@part
def _after_field(plan, data, at, end, guesses, field, out, row):
    """Behind the value of a field of the envelope, which is kept."""
    if field == NO_WORD:
        return after_value(data, at, end)
    if field == EVENT_TIME:
        at, out.numbers[TIME, row] = integer(data, at, end)
        return at
    c = byte(data, at, end)
    if c == LOWER_N:
        return after_null(data, at, end) if not REQUIRED >> field & 1 else FAIL
    if field == RECEIVED_AT:
        out.has_received_at[row] = True
        at, out.numbers[RECEIVED, row] = integer(data, at, end)
        return at
    if field < _CONTEXT:
        return _after_text(plan, data, at, end, field, out, row)
    if c != OPEN_OBJECT:
        return FAIL
    if field == _PROPERTIES and out.event_type[row] >= 0:
        after = _after_properties(plan, data, at, end, guesses, out, row)
    else:
        after = after_value(data, at, end)
    out.spans[0, field, row], out.spans[1, field, row] = at, after - at
    return after


@part
def _after_text(plan, data, at, end, field, out, row):
    """Behind the value of a field of the envelope that is a text."""
    start, size, at = plain_text(data, at, end)
    if at == FAIL or (field <= _CUSTOMER_ID and not _is_id(size)):
        return FAIL
    out.spans[0, field, row], out.spans[1, field, row] = start, size
    if field == _EVENT:
        word = find(plan.text, plan.words, plan.slots, EVENT_TYPES, data, start, size)
        out.event_type[row] = UNKNOWN if word == NO_WORD else number_of(plan.words, word)
    elif field == _CHANNEL:
        out.properties[row, 0] = _code(plan, 0, data, start, size)
    return at


@routine
def _is_id(size):
    """Whether an id has a valid length; one of more bytes may, counted in characters."""
    return 1 <= size <= MAX_ID_CHARS


@part
def _code(plan, column, data, start, size):
    """The number of a text among a column's values."""
    word = find(plan.text, plan.words, plan.slots, column, data, start, size)
    return OTHER if word == NO_WORD else np.float64(number_of(plan.words, word))


@part
def _after_properties(plan, data, at, end, guesses, out, row):
    """Behind the properties; those that the event type declares are kept."""
    event_type, last = out.event_type[row], guesses.shape[1] - 1
    at, more = first_field(data, at, end)
    while more and event_type >= 0:
        word, at = _word(plan, guesses, event_type, last, PROPERTIES, data, at, end, out.scratch)
        if at == FAIL:
            return FAIL
        column = number_of(plan.words, word)
        if column != NO_WORD:
            last = column
        if column != NO_WORD and plan.kinds[event_type, column] != UNDECLARED:
            at = _after_property(plan, data, at, end, event_type, column, out, row)
        else:
            at = after_value(data, at, end)
        at, more = next_field(data, at, end)
    return at


@part
def _after_property(plan, data, at, end, event_type, column, out, row):
    """Behind the value of a declared property; of equal names the last one counts."""
    kind, c, value = plan.kinds[event_type, column], byte(data, at, end), np.nan
    if kind == KEY:
        return _after_key(plan, data, at, end, event_type, column, out, row)
    if c == LOWER_N:
        at = after_null(data, at, end)
    elif kind == NUMBER:
        at, value = number(data, at, end)
    elif kind == BOOLEAN:
        at, value = _after_boolean(data, at, end, c), 1.0 if c == LOWER_T else 0.0
    elif c != QUOTE:
        return FAIL
    elif kind == TEXT:
        at, value = after_string(data, at + 1, end), OTHER
    else:
        at, value = _after_coded(plan, column, data, at, end, out.scratch)
    out.properties[row, column] = value
    return at


@part
def _after_coded(plan, column, data, at, end, scratch):
    """(position behind, number) of a text among a column's values."""
    start, size, after = plain_text(data, at, end)
    if after != FAIL:
        return after, _code(plan, column, data, start, size)
    size, after = unescaped(data, at, end, scratch)
    return after, OTHER if after == FAIL else _code(plan, column, scratch, 0, size)


@routine
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
        value = _code(plan, column, data, start, size)
    for entity in range(plan.key_column.shape[1]):
        if plan.key_column[event_type, entity] == column:
            out.spans[0, _KEYS + entity, row], out.spans[1, _KEYS + entity, row] = start, size
    out.properties[row, column] = value
    return at
