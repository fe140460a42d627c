"""Writing JSON into a buffer that has room: each function returns the position behind what it wrote."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import routine

MAX_INT_BYTES: Final = 20
MAX_ESCAPED: Final = 6  # bytes that one byte of a text may become

_NULL: Final = np.frombuffer(b"null", np.uint8)
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_SHORT: Final = np.zeros(128, np.uint8)  # what stands behind the backslash of a character; 0: it needs none, or \u00
for _byte, _letter in zip(b'"\\\b\t\n\f\r', b'"\\btnfr', strict=True):
    _SHORT[_byte] = _letter


@routine
def put_bytes(data, start, size, target, at):
    """Bytes as they are."""
    for k in range(size):
        target[np.uintp(at + k)] = data[np.uintp(start + k)]
    return at + size


@routine
def put_text(data, start, size, target, at):
    """A text in quotes, escaped where it must be; null for one of a size below 0."""
    if size < 0:
        return put_bytes(_NULL, 0, 4, target, at)
    target[at] = 34
    at += 1
    for k in range(size):
        c = data[np.uintp(start + k)]
        if c >= 32 and c != 34 and c != 92:
            target[np.uintp(at)] = c
            at += 1
        else:
            at = _put_escape(c, target, at)
    target[at] = 34
    return at + 1


@routine
def _put_escape(c, target, at):
    target[at] = 92
    if _SHORT[c]:
        target[at + 1] = _SHORT[c]
        return at + 2
    target[at + 1] = 117
    target[at + 2] = target[at + 3] = 48
    target[at + 4], target[at + 5] = _HEX[c >> 4], _HEX[c & 15]
    return at + 6


@routine
def put_int(number, target, at):
    """An integer that is not the least int64."""
    if number < 0:
        target[at] = 45
        at, number = at + 1, -number
    digits, rest = 1, number // 10
    while rest:
        digits, rest = digits + 1, rest // 10
    for k in range(digits):
        target[at + digits - 1 - k] = 48 + number % 10
        number //= 10
    return at + digits
