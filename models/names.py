"""Names of rows: which row an entity has, by an open-addressing hash table over one buffer of bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.hashing import xxh64
from models.jit import kernel, part
from models.prefetch import AHEAD, ask
from models.texts import Bytes, Ints, Texts, equal_bytes

ROWS, BYTES = 0, 1  # of Names.used
_MIX = 0x9E3779B97F4A7C1  # spreads groups over the table; odd, so that no two fall together
_NAME_BYTES = 16  # that are reserved for a name at first


class Names(NamedTuple):
    """Row r is named by text r and its group: 0 for a customer, owner and entity for an instance (`group_of`).

    data: uint8; start, size, hash, group: int64[capacity]; slots: int64[power of two], row + 1 or 0, at most half full;
    used: int64[2], how many rows and bytes are taken.
    """

    data: Bytes
    start: Ints
    size: Ints
    hash: Ints
    group: Ints
    slots: Ints
    used: Ints

    @classmethod
    def empty(cls, rows: int) -> Names:
        """No names yet, and room for so many."""
        return cls(
            data=np.empty(rows * _NAME_BYTES, np.uint8),
            start=np.empty(rows, np.int64),
            size=np.empty(rows, np.int64),
            hash=np.empty(rows, np.int64),
            group=np.empty(rows, np.int64),
            slots=np.zeros(_slots(rows), np.int64),
            used=np.zeros(2, np.int64),
        )

    @property
    def count(self) -> int:  # type: ignore[override]
        """How many rows have a name (len() is that of a tuple)."""
        return int(self.used[ROWS])

    @property
    def used_bytes(self) -> int:
        """What the rows that have a name take, with the slot of each; not the room for more."""
        columns = (self.start, self.size, self.hash, self.group, self.slots)
        return int(self.used[BYTES]) + self.count * sum(column.itemsize for column in columns)

    def texts(self, rows: NDArray[np.int64] | slice | None = None) -> Texts:
        """The names of rows; of all by default. They stay valid when more names are added."""
        which = slice(self.count) if rows is None else rows
        return Texts(self.data, self.start[which], self.size[which])

    def with_room(self, rows: int, size: int) -> Names:
        """These names with room for so many more rows and bytes."""
        names = self
        wanted_bytes, wanted_rows = int(self.used[BYTES]) + size, self.count + rows
        if wanted_bytes > len(self.data):
            names = names._replace(data=_longer(self.data, wanted_bytes))
        if wanted_rows > len(self.start):
            columns = {name: _longer(getattr(self, name), wanted_rows) for name in ("start", "size", "hash", "group")}
            slots = np.zeros(_slots(len(columns["start"])), np.int64)
            fill_slots(columns["hash"], self.count, slots)
            names = names._replace(**columns, slots=slots)
        return names


def group_of(entity: int | NDArray[np.int64], customer: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group of an instance: its entity's number (below 256) and its customer's row.

    >>> group_of(1, np.array([5])).tolist()
    [1281]
    """
    return customer << 8 | entity


def owner_of(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The customer's row in a group."""
    return group >> 8


def entity_of(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The entity's number in a group."""
    return group & 0xFF


def _slots(rows: int) -> int:
    return 1 << max(4, (2 * rows - 1).bit_length())


def _longer(array: NDArray[Any], wanted: int) -> NDArray[Any]:
    longer = np.empty(max(wanted, len(array) * 3 // 2), array.dtype)
    longer[: len(array)] = array
    return longer


@part
def mixed(hashed, group):
    """The hash of a name in its group."""
    return hashed ^ (group * _MIX)


@kernel
def fill_slots(hashes, count, slots):
    """Enter rows 0 … count - 1 into an empty table."""
    mask = len(slots) - 1
    for row in range(count):
        slot = hashes[row] & mask
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = row + 1


@part
def ask_for_name(names, key):
    """Ask for what tells whether the first row in a key's slot is its row."""
    row = names.slots[key & (len(names.slots) - 1)] - 1
    if row >= 0:
        ask(names.hash, row)
        ask(names.group, row)
        ask(names.start, row)
        ask(names.size, row)


@part
def find_or_add(names, data, start, size, hashed, group):
    """The row of a name, hashed by xxh64; a new one where there is none. There must be room."""
    mask = len(names.slots) - 1
    key = mixed(hashed, group)
    slot = key & mask
    while names.slots[slot] != 0:
        row = names.slots[slot] - 1
        if names.hash[row] == key and names.group[row] == group:
            if equal_bytes(data, start, size, names.data, names.start[row], names.size[row]):
                return row
        slot = (slot + 1) & mask
    row, at = names.used[ROWS], names.used[BYTES]
    for k in range(size):
        names.data[at + k] = data[start + k]
    names.start[row], names.size[row], names.hash[row], names.group[row] = at, size, key, group
    names.slots[slot] = row + 1
    names.used[ROWS], names.used[BYTES] = row + 1, at + size
    return row


@kernel
def find(names, data, start, size, hashed, group):
    """The row of a name; -1 where there is none."""
    mask = len(names.slots) - 1
    key = mixed(hashed, group)
    slot = key & mask
    while names.slots[slot] != 0:
        row = names.slots[slot] - 1
        if names.hash[row] == key and names.group[row] == group:
            if equal_bytes(data, start, size, names.data, names.start[row], names.size[row]):
                return row
        slot = (slot + 1) & mask
    return -1


@kernel
def find_rows(names, data, start, size, hashes, wanted, rows):
    """rows[i] = the row of text i where wanted[i] is set; new ones are made in order."""
    for i in range(len(start)):
        if i + 2 * AHEAD < len(start):
            ask(names.slots, mixed(hashes[i + 2 * AHEAD], 0) & (len(names.slots) - 1))
        if i + AHEAD < len(start):
            ask_for_name(names, mixed(hashes[i + AHEAD], 0))
        if wanted[i]:
            rows[i] = find_or_add(names, data, start[i], size[i], hashes[i], 0)


@kernel
def add_all(names, data, start, size, groups):
    """Make a row for each text, in order; for names that are not there yet."""
    for i in range(len(start)):
        find_or_add(names, data, start[i], size[i], xxh64(data, start[i], size[i]), groups[i])


@kernel
def find_instances(names, data, start, size, customers, first_key, rows):
    """rows[i, e] = the row of record i's instance of entity e, 1 …; its key is text [first_key + e - 1, i], NULL: none.

    start, size: int64[texts, n]; customers: int64[n], the row of each record's customer, -1 for none. New rows are
    made in order of records and there of entities.
    """
    for i in range(rows.shape[0]):
        if customers[i] < 0:
            continue
        for entity in range(1, rows.shape[1]):
            text = first_key + entity - 1
            if size[text, i] >= 0:
                hashed = xxh64(data, start[text, i], size[text, i])
                group = customers[i] << 8 | entity
                rows[i, entity] = find_or_add(names, data, start[text, i], size[text, i], hashed, group)
