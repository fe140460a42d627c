"""Rows of values as JSON, in bulk: names and words stand between them.

The texts of numbers are orjson's, which writes a whole matrix; a kernel puts the rest between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from models.expressions import Kind, Type
from models.jit import kernel
from models.json_write import put_bytes
from models.layout import OTHER_TEXT
from models.texts import Ints, Texts

MAX_NUMBER: Final = b"-2.2250738585072014e-308"  # as long as a float64 gets in JSON
_NUMBER, _BOOLEAN, _STRING = range(3)  # how a value is written
_KINDS: Final = {Kind.BOOLEAN: _BOOLEAN, Kind.STRING: _STRING}


class Shape(NamedTuple):
    """How the v values of a row are written.

    texts: what stands before each of them and behind the last, then words; kinds: int8[v], how each is written;
    words: int64[v], the first of its words, which are NULL, false and true, or NULL, OTHER_TEXT and the declared ones;
    longest: bytes of a row at most.
    """

    texts: Texts
    kinds: NDArray[np.int8]
    words: Ints
    longest: int

    @classmethod
    def of(cls, between: Sequence[bytes], types: Sequence[Type]) -> Shape:
        """between: what stands before each value, and behind the last."""
        words, first = list[bytes](), list[int]()
        for type_ in types:
            first.append(len(between) + len(words))
            words += _words(type_)
        longest = sum(map(len, between)) + len(types) * max(map(len, (MAX_NUMBER, *words)))
        kinds = [_KINDS.get(type_.kind, _NUMBER) for type_ in types]
        return cls(Texts.of([*between, *words]), np.array(kinds, np.int8), np.array(first, np.int64), longest)


def between(*parts: bytes | Sequence[str]) -> list[bytes]:
    """What stands before each value of an object, and behind the last: bytes as they are, names as keys of values.

    >>> between(b'{"a":{', ["x", "y"], b'},"b":{', ["z"], b"}}")
    [b'{"a":{"x":', b',"y":', b'},"b":{"z":', b'}}']
    """
    found, text = list[bytes](), b""
    for part in parts:
        if isinstance(part, bytes):
            text += part
            continue
        for number, name in enumerate(part):
            found.append(text + b"%b%b:" % (b"," if number else b"", msgspec.json.encode(name)))
            text = b""
    return [*found, text]


def _words(type_: Type) -> list[bytes]:
    if type_.kind is Kind.BOOLEAN:
        return [b"null", b"false", b"true"]
    if type_.kind is Kind.STRING:
        return [b"null", *map(msgspec.json.encode, (OTHER_TEXT, *type_.values))]
    return []


class Values(NamedTuple):
    """Values of some of many rows. which: int64[n], the rows; values: float64[n, v], NaN is NULL."""

    shape: Shape
    which: Ints
    values: NDArray[np.float64]


def shown(count: int, parts: Sequence[Values]) -> Texts:
    """The text of each of `count` rows, each of which is in one of the parts."""
    room = np.empty(sum(len(one.which) * one.shape.longest for one in parts), np.uint8)
    (start, size), at = np.zeros((2, count), np.int64), 0
    for shape, which, values in parts:
        numbers = np.frombuffer(bytearray(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)), np.uint8)
        at = _show(*shape[:3], values, numbers, which, room, at, start, size)
    return Texts(room, start, size)


@kernel
def _show(texts, kinds, words, values, numbers, which, target, at, start, size):
    """Write each row of values; numbers: the JSON of all of them. Returns the position behind what it wrote."""
    cursor = 0
    for i in range(len(which)):
        start[which[i]] = at
        for k in range(len(kinds)):
            at = put_bytes(texts.data, texts.start[k], texts.size[k], target, at)
            while numbers[cursor] == 91 or numbers[cursor] == 93 or numbers[cursor] == 44:  # [ ] ,
                cursor += 1
            first = cursor
            while numbers[cursor] != 44 and numbers[cursor] != 93:
                cursor += 1
            value, word = values[i, k], words[k]
            if kinds[k] == _NUMBER:
                at = put_bytes(numbers, first, cursor - first, target, at)
                continue
            if kinds[k] == _BOOLEAN and value == value:
                word += 1 + (value != 0.0)
            elif value == value:
                word += 1 if value < 0.0 else 2 + np.int64(value)
            at = put_bytes(texts.data, texts.start[word], texts.size[word], target, at)
        at = put_bytes(texts.data, texts.start[len(kinds)], texts.size[len(kinds)], target, at)
        size[which[i]] = at - start[which[i]]
    return at
