"""Numbers of JSON in a buffer, as in `json_scan`: the nearest float64, ties to even, as every correct parser has it."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.jit import routine
from models.json_scan import FAIL, LOWER, LOWER_E, MINUS, PLUS, POINT, ZERO, byte, is_digit

MAX_INT_DIGITS: Final = 18
MAX_EXPONENT_DIGITS: Final = 2
MAX_POWER: Final = 22  # 10**22 is the largest power of ten that is exact as a float
MAX_EXACT: Final = 2**53  # up to it whole numbers are exact as floats
FULL: Final = 10**17  # digits that take no further one
SPLIT: Final = 2.0**27 + 1  # halves the bits of a float
LARGER: Final = 1 + 2.0**-20  # by far more than what is not known of an error

_POWERS: Final = np.array([10.0**power for power in range(MAX_POWER + 1)])


@routine
def integer(data, at, end):
    """(position behind, value) of an integer without sign, of at most MAX_INT_DIGITS digits."""
    first, value = at, np.int64(0)
    c = byte(data, at, end)
    while is_digit(c) and at - first < MAX_INT_DIGITS:
        value = value * 10 + (c - ZERO)
        at += 1
        c = byte(data, at, end)
    if at == first or is_digit(c) or c == POINT or c | LOWER == LOWER_E:
        return FAIL, value
    return (FAIL if data[np.uintp(first)] == ZERO and at - first > 1 else at), value


@routine
def number(data, at, end):
    """(position behind, value) of a number of at most 18 digits and few powers of ten; FAIL for another one."""
    negative = byte(data, at, end) == MINUS
    if negative:
        at += 1
    if byte(data, at, end) == ZERO and is_digit(byte(data, at + 1, end)):
        return FAIL, 0.0
    first = at
    at, digits = _digits(data, at, end, np.int64(0))
    if at == first:
        return FAIL, 0.0
    power = 0
    if byte(data, at, end) == POINT:
        first = at + 1
        at, digits = _digits(data, first, end, digits)
        if at == first:
            return FAIL, 0.0
        power = first - at
    if byte(data, at, end) | LOWER == LOWER_E:
        at, exponent = _exponent(data, at + 1, end)
        power += exponent
    if at == FAIL or is_digit(byte(data, at, end)) or abs(power) > MAX_POWER or (negative and digits == 0):
        return FAIL, 0.0
    sure, value = nearest(digits, power)
    return at if sure else FAIL, -value if negative else value


@routine
def _digits(data, at, end, value):
    """(position behind, value) of the digits that follow those of `value`, as long as it is not FULL."""
    c = byte(data, at, end)
    while is_digit(c) and value < FULL:
        value = value * 10 + (c - ZERO)
        at += 1
        c = byte(data, at, end)
    return at, value


@routine
def _exponent(data, at, end):
    """(position behind, value) of an exponent, from behind its e."""
    c = byte(data, at, end)
    negative = c == MINUS
    if negative or c == PLUS:
        at += 1
    first, value = at, 0
    while is_digit(byte(data, at, end)) and at - first <= MAX_EXPONENT_DIGITS:
        value = value * 10 + (byte(data, at, end) - ZERO)
        at += 1
    if at == first or at - first > MAX_EXPONENT_DIGITS:
        return FAIL, 0
    return at, -value if negative else value


@routine
def nearest(digits, power):
    """(whether it is for sure, value): the float nearest to digits * 10**power, both int64, within MAX_POWER.

    One operation on exact floats is rounded once (Clinger's fast path). More digits are a sum of two floats, and so is
    the product or quotient (Dekker); it is near enough to tell on which side of the middle between two floats it lies,
    unless it lies there within a millionth of the difference: then it is not for sure.
    """
    ten = _POWERS[abs(power)]
    high = np.float64(digits)
    if digits <= MAX_EXACT:
        return True, high * ten if power >= 0 else high / ten
    low = np.float64(digits - np.int64(high))
    value = high * ten if power >= 0 else high / ten
    if power >= 0:
        rest = _lost(high, ten, value) + low * ten
    else:
        product = value * ten
        rest = ((high - product) - _lost(value, ten, product) + low) / ten
    rounded = value + rest
    rest += value - rounded
    return rounded + rest * LARGER == rounded, rounded


@routine
def _lost(a, b, product):
    """What the float `product` lacks of a * b, which is a float, too."""
    a_high, b_high = _upper(a), _upper(b)
    a_low, b_low = a - a_high, b - b_high
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


@routine
def _upper(a):
    """The upper half of a float's bits."""
    scaled = a * SPLIT
    return scaled - (scaled - a)
