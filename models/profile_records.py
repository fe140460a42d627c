"""Profiles as the records that are published: JSON in bulk, of the values that the engine reads of many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.expressions import Type
from models.jit import kernel
from models.json_write import MAX_ESCAPED, MAX_INT_BYTES, put_bytes, put_int, put_text
from models.layout import Entity
from models.records import Records
from models.texts import Ints, Texts
from models.value_texts import Shape, between

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


def shape_of(entity: Entity, types: Mapping[str, Type]) -> Shape:
    """How the values of an entity's row are written: features, tags and stages by name, in the order of the values."""
    parts = (b'"features":{', entity.features, b'},"tags":{', entity.tags, b'},"stages":{', entity.journeys, b"}")
    return Shape.of(between(*parts), [types[name] for name in entity.profile_names])


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
