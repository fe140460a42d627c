"""Strict scanning of JSON (RFC 8259) in a buffer: what a value is, and where it ends.

Every kernel takes data (uint8), a position and the end of the text, and gives the position behind what it scanned, or
FAIL: the text is broken, or holds what these kernels leave to a full parser (half a surrogate pair, deep nesting).
Never the other way round: what is scanned is valid JSON in valid UTF-8.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import routine

FAIL: Final = -1
MAX_SCAN_DEPTH: Final = 60  # of nested arrays and objects; one bit each
MAX_CHARACTER: Final = 4  # bytes of a character in UTF-8

QUOTE: Final = 0x22
BACKSLASH: Final = 0x5C
OPEN_OBJECT: Final = 0x7B
CLOSE_OBJECT: Final = 0x7D
OPEN_ARRAY: Final = 0x5B
CLOSE_ARRAY: Final = 0x5D
COMMA: Final = 0x2C
COLON: Final = 0x3A
MINUS: Final = 0x2D
PLUS: Final = 0x2B
POINT: Final = 0x2E
ZERO: Final = 0x30
LOWER_E: Final = 0x65
LOWER_F: Final = 0x66
LOWER_N: Final = 0x6E
LOWER_T: Final = 0x74
LOWER_U: Final = 0x75
LOWER: Final = 0x20  # makes a letter lower case
NOTHING: Final = 0  # the byte behind the end

_TRUE: Final = np.frombuffer(b"true", np.uint8)
_FALSE: Final = np.frombuffer(b"false", np.uint8)
_NULL: Final = np.frombuffer(b"null", np.uint8)
_ESCAPES: Final = dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))
_ESCAPED: Final = np.array([ord(_ESCAPES.get(chr(byte), "\0")) for byte in range(256)])  # 0: no escape
_PLAIN: Final = np.array([0x20 <= byte < 0x80 and chr(byte) not in '"\\' for byte in range(256)])


@routine
def byte(data, at, end):
    """The byte at a position, as int64; NOTHING at the end, which no JSON text holds outside of broken ones."""
    return np.int64(data[np.uintp(at)]) if at < end else NOTHING


@routine
def after_space(data, at, end):
    """Behind white space; never FAIL."""
    while at < end:
        c = data[np.uintp(at)]
        if c > 0x20 or not (c == 0x20 or c == 0x0A or c == 0x0D or c == 0x09):
            return at
        at += 1
    return at


@routine
def after_byte(data, at, end, expected):
    """Behind white space and this byte."""
    at = after_space(data, at, end)
    return at + 1 if byte(data, at, end) == expected else FAIL


@routine
def _is_continuation(data, at, end):
    return byte(data, at, end) & 0xC0 == 0x80


@routine
def _after_wide(data, at, end):
    """Behind one character of two to four bytes (RFC 3629: no surrogates, nothing overlong, at most U+10FFFF)."""
    lead, second = byte(data, at, end), byte(data, at + 1, end)
    if second & 0xC0 != 0x80 or lead < 0xC2 or lead > 0xF4:
        return FAIL
    if lead < 0xE0:
        return at + 2
    if not _is_continuation(data, at + 2, end) or (lead == 0xE0 and second < 0xA0) or (lead == 0xED and second > 0x9F):
        return FAIL
    if lead < 0xF0:
        return at + 3
    if not _is_continuation(data, at + 3, end) or (lead == 0xF0 and second < 0x90) or (lead == 0xF4 and second > 0x8F):
        return FAIL
    return at + 4


@routine
def text_end(data, at, end):
    """The quote or backslash that comes next in a string; FAIL for what a string must not hold."""
    while at < end:
        c = data[np.uintp(at)]
        if _PLAIN[c]:
            at += 1
        elif c == QUOTE or c == BACKSLASH:
            return at
        elif c < 0x20:
            return FAIL
        else:
            at = _after_wide(data, at, end)
            if at == FAIL:
                return FAIL
    return FAIL


@routine
def _hex(c):
    """The number of a hexadecimal digit; FAIL for another byte."""
    if ZERO <= c <= ZERO + 9:
        return c - ZERO
    letter = (c | LOWER) - 0x61
    return letter + 10 if 0 <= letter < 6 else FAIL


@routine
def _unit(data, at, end):
    """The 16 bits of an escape with four hexadecimal digits, from its backslash; FAIL for anything else."""
    if byte(data, at, end) != BACKSLASH or byte(data, at + 1, end) != LOWER_U:
        return FAIL
    code = np.int64(0)
    for k in range(4):
        digit = _hex(byte(data, at + 2 + k, end))
        if digit == FAIL:
            return FAIL
        code = code * 16 + digit
    return code


@routine
def _escaped(data, at, end):
    """(position behind, character) of an escape, from its backslash; FAIL for half a surrogate pair."""
    c = byte(data, at + 1, end)
    if c != LOWER_U:
        return (at + 2 if _ESCAPED[c] else FAIL), _ESCAPED[c]
    unit = _unit(data, at, end)
    if unit & 0xF800 != 0xD800:  # FAIL is none of these either
        return (at + 6 if unit != FAIL else FAIL), unit
    second = _unit(data, at + 6, end)
    if unit >= 0xDC00 or second & 0xFC00 != 0xDC00:
        return FAIL, unit
    return at + 12, 0x10000 + ((unit & 0x3FF) << 10) + (second & 0x3FF)


@routine
def after_string(data, at, end):
    """Behind a string, from behind its opening quote."""
    at = text_end(data, at, end)
    while at != FAIL and data[np.uintp(at)] == BACKSLASH:
        at, _ = _escaped(data, at, end)
        if at != FAIL:
            at = text_end(data, at, end)
    return at if at == FAIL else at + 1


@routine
def _after_literal(data, at, end, literal):
    if at + len(literal) > end:
        return FAIL
    for k in range(len(literal)):
        if data[np.uintp(at + k)] != literal[k]:
            return FAIL
    return at + len(literal)


@routine
def after_null(data, at, end):
    return _after_literal(data, at, end, _NULL)


@routine
def after_true(data, at, end):
    return _after_literal(data, at, end, _TRUE)


@routine
def after_false(data, at, end):
    return _after_literal(data, at, end, _FALSE)


@routine
def is_digit(c):
    return ZERO <= c <= ZERO + 9


@routine
def _after_digits(data, at, end):
    """Behind one digit or more."""
    if not is_digit(byte(data, at, end)):
        return FAIL
    while is_digit(byte(data, at, end)):
        at += 1
    return at


@routine
def _after_integer(data, at, end):
    """Behind the part of a number before its point: no leading zeros."""
    if byte(data, at, end) == ZERO:
        return FAIL if is_digit(byte(data, at + 1, end)) else at + 1
    return _after_digits(data, at, end)


@routine
def after_number(data, at, end):
    """Behind a number, whatever its size."""
    if byte(data, at, end) == MINUS:
        at += 1
    at = _after_integer(data, at, end)
    if at != FAIL and byte(data, at, end) == POINT:
        at = _after_digits(data, at + 1, end)
    if at != FAIL and byte(data, at, end) | LOWER == LOWER_E:
        sign = byte(data, at + 1, end)
        at = _after_digits(data, at + 2 if sign == PLUS or sign == MINUS else at + 1, end)
    return at


@routine
def _after_scalar(data, at, end, c):
    """Behind a value that starts with the byte c and is no array or object."""
    if c == QUOTE:
        return after_string(data, at + 1, end)
    if c == LOWER_T:
        return after_true(data, at, end)
    if c == LOWER_F:
        return after_false(data, at, end)
    if c == LOWER_N:
        return after_null(data, at, end)
    return after_number(data, at, end)


@routine
def after_name(data, at, end):
    """Behind the name of a field and its colon, from before the name."""
    at = after_byte(data, at, end, QUOTE)
    if at != FAIL:
        at = after_string(data, at, end)
    return at if at == FAIL else after_byte(data, at, end, COLON)


@routine
def after_value(data, at, end):
    """Behind any value, nested at most MAX_SCAN_DEPTH deep. White space before it belongs to it, behind it does not."""
    objects, depth = np.int64(0), 0  # bit 0 of objects: whether the innermost is an object
    while True:
        at = after_space(data, at, end)
        c = byte(data, at, end)
        if c == OPEN_OBJECT or c == OPEN_ARRAY:
            is_object = np.int64(c == OPEN_OBJECT)
            inside = after_space(data, at + 1, end)
            if byte(data, inside, end) == c + 2:  # in ASCII a bracket closes two behind its opening
                at = inside + 1
            elif depth == MAX_SCAN_DEPTH:
                return FAIL
            else:
                objects, depth = objects << 1 | is_object, depth + 1
                at = after_name(data, inside, end) if is_object else inside
                if at == FAIL:
                    return FAIL
                continue
        else:
            at = _after_scalar(data, at, end, c)
            if at == FAIL:
                return FAIL
        at, objects, depth = _after_closed(data, at, end, objects, depth)
        if at == FAIL or depth == 0:
            return at
        at = after_name(data, at, end) if objects & 1 else at
        if at == FAIL:
            return FAIL


@routine
def _after_closed(data, at, end, objects, depth):
    """Behind all that closes after a value, and the comma before the next: (position, objects, depth)."""
    while depth > 0:
        at = after_space(data, at, end)
        c = byte(data, at, end)
        if c == COMMA:
            return at + 1, objects, depth
        if c != (CLOSE_OBJECT if objects & 1 else CLOSE_ARRAY):
            return FAIL, objects, depth
        at, objects, depth = at + 1, objects >> 1, depth - 1
    return at, objects, depth


@routine
def first_field(data, at, end):
    """(position behind, whether fields follow) of an object's opening brace; behind the closing one if it is empty."""
    at = after_byte(data, at, end, OPEN_OBJECT)
    if at == FAIL:
        return at, False
    inside = after_space(data, at, end)
    return (inside + 1, False) if byte(data, inside, end) == CLOSE_OBJECT else (inside, True)


@routine
def next_field(data, at, end):
    """(position behind, whether another field follows) of what stands behind a field's value: a comma or a brace."""
    if at == FAIL:
        return at, False
    at = after_space(data, at, end)
    c = byte(data, at, end)
    if c == COMMA:
        return at + 1, True
    return (at + 1, False) if c == CLOSE_OBJECT else (FAIL, False)


@routine
def plain_text(data, at, end):
    """(start, size, position behind) of a string without escapes, from its opening quote; size FAIL for another."""
    if byte(data, at, end) != QUOTE:
        return at, FAIL, FAIL
    last = text_end(data, at + 1, end)
    if last == FAIL or data[np.uintp(last)] != QUOTE:
        return at, FAIL, FAIL
    return at + 1, last - at - 1, last + 1


@routine
def _put_character(code, target, at):
    """The position behind a character, which is written in UTF-8."""
    if code < 0x80:
        target[at] = code
        return at + 1
    if code < 0x800:
        target[at] = 0xC0 | code >> 6
    elif code < 0x10000:
        target[at], target[at + 1] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F
        at += 1
    else:
        target[at], target[at + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
        target[at + 2] = 0x80 | code >> 6 & 0x3F
        at += 2
    target[at + 1] = 0x80 | code & 0x3F
    return at + 2


@routine
def unescaped(data, at, end, target):
    """(size, position behind) of a string, from its opening quote, whose text is written to `target`.

    Both are FAIL where there is none, or no room for it.
    """
    if byte(data, at, end) != QUOTE:
        return FAIL, FAIL
    at, size = at + 1, 0
    while True:
        last = text_end(data, at, end)
        if last == FAIL or size + last - at + MAX_CHARACTER > len(target):
            return FAIL, FAIL
        for k in range(last - at):
            target[size + k] = data[np.uintp(at + k)]
        size += last - at
        if data[np.uintp(last)] == QUOTE:
            return size, last + 1
        at, code = _escaped(data, last, end)
        if at == FAIL:
            return FAIL, FAIL
        size = _put_character(code, target, size)


@routine
def field_name(data, at, end):
    """(start, size, position of the value) of a field, as `plain_text`."""
    start, size, at = plain_text(data, after_space(data, at, end), end)
    if size != FAIL:
        at = after_byte(data, at, end, COLON)
    return start, size, at if at == FAIL else after_space(data, at, end)
