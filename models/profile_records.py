"""Profiles as the records that are published: JSON in bulk, of the values that the engine reads of many rows at once.

The texts of numbers are orjson's, which writes a whole matrix; kernels put names, words and ids between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from models.expressions import Kind, Type
from models.jit import kernel
from models.json_write import MAX_ESCAPED, MAX_INT_BYTES, put_bytes, put_int, put_text
from models.layout import OTHER_TEXT, Entity
from models.records import Records
from models.texts import Ints, Texts

PARTS: Final = ("features", "tags", "stages")
MAX_NUMBER: Final = b"-2.2250738585072014e-308"  # as long as a float64 gets in JSON
_NUMBER, _BOOLEAN, _STRING = range(3)  # how a value is written
_KINDS: Final = {Kind.BOOLEAN: _BOOLEAN, Kind.STRING: _STRING}
# pieces that are the same for all profiles; behind them the entities' names
_CUSTOMER, _AS_OF, _SHOWN, _ENTITIES, _ENTITY, _ENTITY_ID, _NEXT, _ALL, _SOME, _END, _NAMES = range(11)
_FIXED: Final = (
    b'{"customer_id":',
    b',"as_of":',
    b",",
    b',"entities":[',
    b'{"entity":',
    b',"entity_id":',
    b"},",
    b"]",
    b'],"entities_left_out":',
    b"}",
)
_QUOTES: Final = 2


class Shape(NamedTuple):
    """What the values of an entity's row mean: `PARTS` by name, in the order of the values.

    texts: what stands before each of v values and behind the last, then words; kinds: int8[v], how each is written;
    words: int64[v], the first of its words, which are NULL, false and true, or NULL, OTHER_TEXT and the declared ones;
    longest: bytes of a row at most.
    """

    texts: Texts
    kinds: NDArray[np.int8]
    words: Ints
    longest: int

    @classmethod
    def of(cls, entity: Entity, types: Mapping[str, Type]) -> Shape:
        """The shape of an entity."""
        between, kinds, words, first = list(_between(entity)), list[int](), list[bytes](), list[int]()
        for name in entity.profile_names:
            kinds.append(_KINDS.get(types[name].kind, _NUMBER))
            first.append(len(between) + len(words))
            words += _words(types[name])
        longest = sum(map(len, between)) + len(kinds) * max(map(len, (MAX_NUMBER, *words)))
        texts = Texts.of([*between, *words])
        return cls(texts, np.array(kinds, np.int8), np.array(first, np.int64), longest)


def _between(entity: Entity) -> Iterator[bytes]:
    text = b""
    for part, names in zip(PARTS, (entity.features, entity.tags, entity.journeys), strict=True):
        text += b'"%b":{' % part.encode()
        for number, name in enumerate(names):
            yield text + b"%b%b:" % (b"," if number else b"", msgspec.json.encode(name))
            text = b""
        text += b"}" if part == PARTS[-1] else b"},"
    yield text


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
    """Features, tags and stages of `count` rows, each of which is in one of the parts: the inside of a JSON object."""
    room = np.empty(sum(len(one.which) * one.shape.longest for one in parts), np.uint8)
    (start, size), at = np.zeros((2, count), np.int64), 0
    for shape, which, values in parts:
        numbers = np.frombuffer(bytearray(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)), np.uint8)
        at = _show(*shape[:3], values, numbers, which, room, at, start, size)
    return Texts(room, start, size)


class Instances(NamedTuple):
    """m instances in the order of their customers. owners: int64[m], numbers of customers; entities: int64[m], from 0;
    ids; shown: of each.
    """

    owners: Ints
    entities: Ints
    ids: Texts
    shown: Texts

    def sizes(self) -> Ints:
        """Bytes that each takes in its customer's profile, at most; but for the name of its entity."""
        return MAX_ESCAPED * self.ids.size + self.shown.size + sum(map(len, _FIXED))

    def take(self, which: NDArray[np.int64]) -> Instances:
        """Some of them."""
        return Instances(self.owners[which], self.entities[which], self.ids.take(which), self.shown.take(which))


def names_of(entities: Sequence[Entity]) -> Texts:
    """Pieces for profiles whose customers have instances of these entities."""
    return Texts.of([*_FIXED, *(msgspec.json.encode(entity.name) for entity in entities)])


def records_of(
    names: Texts, customers: Texts, of_customers: Texts, instances: Instances, left_out: Ints, clock: int
) -> Records:
    """A record for each customer, keyed by the customer, with the timestamp `clock` (ms).

    names: of `names_of`; left_out: int64[customers], how many instances of each are not among `instances`.
    """
    count, longest = customers.count, sum(map(len, _FIXED)) + 2 * MAX_INT_BYTES + _QUOTES
    ids = sum(int((MAX_ESCAPED * texts.size).sum()) for texts in (customers, instances.ids))
    inside = sum(int(texts.size.sum()) for texts in (customers, of_customers, instances.shown))
    each = longest + int(names.size.max())
    records = Records.blank(np.empty(count * longest + len(instances.owners) * each + ids + inside, np.uint8), count)
    records.timestamp[:] = clock
    _write(names, customers, of_customers, *instances, left_out, clock, records)
    return records


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


@kernel
def _write(names, customers, of_customers, owners, entities, ids, of_instances, left_out, clock, records):
    target, at, own = records.data, 0, 0
    pieces, first, sizes = names
    for i in range(len(customers.size)):
        records.key_start[i], records.key_size[i] = at, customers.size[i]
        at = put_bytes(customers.data, customers.start[i], customers.size[i], target, at)
        records.value_start[i] = at
        at = put_bytes(pieces, first[_CUSTOMER], sizes[_CUSTOMER], target, at)
        at = put_text(customers.data, customers.start[i], customers.size[i], target, at)
        at = put_int(clock, target, put_bytes(pieces, first[_AS_OF], sizes[_AS_OF], target, at))
        at = put_bytes(pieces, first[_SHOWN], sizes[_SHOWN], target, at)
        at = put_bytes(of_customers.data, of_customers.start[i], of_customers.size[i], target, at)
        at = put_bytes(pieces, first[_ENTITIES], sizes[_ENTITIES], target, at)
        begun = own
        while own < len(owners) and owners[own] == i:
            name = _NAMES + entities[own]
            at = put_bytes(pieces, first[_ENTITY], sizes[_ENTITY], target, at)
            at = put_bytes(pieces, first[name], sizes[name], target, at)
            at = put_bytes(pieces, first[_ENTITY_ID], sizes[_ENTITY_ID], target, at)
            at = put_text(ids.data, ids.start[own], ids.size[own], target, at)
            at = put_bytes(pieces, first[_SHOWN], sizes[_SHOWN], target, at)
            at = put_bytes(of_instances.data, of_instances.start[own], of_instances.size[own], target, at)
            at = put_bytes(pieces, first[_NEXT], sizes[_NEXT], target, at)
            own += 1
        if own > begun:
            at -= 1  # the comma behind the last
        if left_out[i]:
            at = put_int(left_out[i], target, put_bytes(pieces, first[_SOME], sizes[_SOME], target, at))
        else:
            at = put_bytes(pieces, first[_ALL], sizes[_ALL], target, at)
        at = put_bytes(pieces, first[_END], sizes[_END], target, at)
        records.value_size[i] = at - records.value_start[i]
