"""Strays: events that reached another partition than their customer's.

A producer that partitions otherwise than Java's client (librdkafka does by default) would split a customer's state. A
stray is not applied where it arrived, it only advances the clock there; the worker sends it on to its partition.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.columns import TICK, UNKNOWN, Columns, Field
from models.hashing import partition_of
from models.jit import kernel


def take_strays(columns: Columns, partitions: int) -> NDArray[np.int64]:
    """Make ticks of the events that belong to another of so many partitions; returns the partition of each record.

    int64[n]: where an event is a stray its own partition, elsewhere that of `columns`.
    """
    belongs = np.full(len(columns), columns.partition, np.int64)
    customers = columns.texts(Field.CUSTOMER_ID)
    _find(*customers, columns.event_type, partitions, belongs)
    columns.event_type[belongs != columns.partition] = TICK
    return belongs


@kernel
def _find(data, start, size, event_type, partitions, belongs):
    """belongs[i] = the partition of the customer of event i; events are of a type from UNKNOWN on."""
    for i in range(len(belongs)):
        if event_type[i] >= UNKNOWN:
            belongs[i] = partition_of(data, start[i], size[i], partitions)
