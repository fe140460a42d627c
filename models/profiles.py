"""Profiles: features, tags and stages of entities as users see them, made of many rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models import engine
from models.layout import Layout
from models.plan import CLOCK, new_out, new_snapshots
from models.profile_records import Instances, names_of, records_of, shape_of
from models.records import Records
from models.shard_rows import Rows
from models.value_texts import Values, shown

READ: Final = 100  # customers whose profiles are made at once: half a millisecond
MOST_BYTES: Final = 800_000  # of the entities in a profile: a record of Kafka has 1 MiB at most


class Profiles:
    """Of the customers of one shard."""

    def __init__(self, layout: Layout, rows: Rows) -> None:
        self.layout, self.rows = layout, rows
        self._shapes = [shape_of(entity, layout.profile_types) for entity in layout.entities]
        self._names = names_of(layout.entities[1:])
        none = new_snapshots(0, layout.profile_values)
        self._out = new_out(layout.registers, len(layout.rules), layout.rings, 0, none)

    def of(self, customers: NDArray[np.int64]) -> Iterator[Records]:
        """Records of the profiles of customers, rows in ascending order, each as of the moment at which it is made.

        An entity that came after the first was made is not in them.
        """
        state = self.rows.state
        owners = state.owner[: self.rows.instances.count]
        instances = np.flatnonzero(np.isin(owners, customers))
        instances = instances[np.lexsort((state.entity[instances], owners[instances]))]
        owned_by = owners[instances]
        for first in range(0, len(customers), READ):
            some = customers[first : first + READ]
            own = slice(*np.searchsorted(owned_by, (some[0], some[-1] + 1)))
            yield self._made(some, instances[own], np.searchsorted(some, owned_by[own]))

    def _made(self, customers: NDArray[np.int64], instances: NDArray[np.int64], owners: NDArray[np.int64]) -> Records:
        """The profiles of some customers and of their instances, which are in the order of their owners."""
        rows, clock = self.rows, int(self.rows.state.numbers[CLOCK])
        numbers = rows.state.entity[instances].astype(np.int64)
        of_entity = [np.flatnonzero(numbers == number) for number in range(1, len(self._shapes))]
        parts = [self._read(number, which, instances) for number, which in enumerate(of_entity, 1)]
        of_customers = shown(len(customers), [self._read(0, np.arange(len(customers)), customers)])
        own = Instances(owners, numbers - 1, rows.instances.texts(instances), shown(len(instances), parts))
        fits = _fitting(own, instances, len(customers))
        left_out = np.bincount(owners[~fits], minlength=len(customers))
        if not fits.all():
            own = own.take(np.flatnonzero(fits))
        return records_of(self._names, rows.customers.texts(customers), of_customers, own, left_out, clock)

    def _read(self, entity: int, which: NDArray[np.int64], rows: NDArray[np.int64]) -> Values:
        """The values of some of the rows, which are of one entity."""
        values = np.empty((len(which), len(self._shapes[entity].kinds)))
        plan, state = self.layout.plan, self.rows.state
        engine.read_rows(plan, state, int(entity > 0), rows[which], entity, values, self._out)
        return Values(self._shapes[entity], which, values)


def _fitting(instances: Instances, rows: NDArray[np.int64], customers: int) -> NDArray[np.bool_]:
    """Which instances, of these rows, their customers' profiles have room for: the newest where not for all."""
    fits, sizes = np.ones(len(rows), np.bool_), instances.sizes()
    total = np.bincount(instances.owners, sizes, customers)
    for customer in np.flatnonzero(total > MOST_BYTES).tolist():
        own = np.flatnonzero(instances.owners == customer)
        newest = own[np.argsort(-rows[own])]
        fits[newest[np.cumsum(sizes[newest]) > MOST_BYTES]] = False
    return fits
