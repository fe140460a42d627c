"""What waits for a commit of the lake: outputs as they came, then the rows that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from models.outputs import BatchOutput
from sinks.arrays import kept
from sinks.rows import POSITIONS, RowMaker, is_finish
from sinks.schemas import MOMENT

SMALL_BYTES: Final = 1 << 16  # of record batches whose outputs are joined as they come: half a millisecond
JOINED_BYTES: Final = 1 << 20  # of those that are joined for a commit: copying more costs more than it saves


class Part(NamedTuple):
    """Rows of an output for one table; `source` is its `topic-partition`, `finishing` 1 for what `finish` put out."""

    source: str
    finishing: int
    rows: pa.Table

    def after(self, position: int) -> pa.Table:
        """The rows above a position; most often that is all of them, and a filter would copy them."""
        offsets = self.rows[MOMENT if MOMENT in self.rows.column_names else "offset"]
        first = pc.min(offsets).as_py()
        if first is None or first * POSITIONS - self.finishing > position:
            return self.rows
        positions = pc.subtract(pc.multiply(offsets, POSITIONS), self.finishing)
        return kept(self.rows, pc.greater(positions, position))


class Added(NamedTuple):
    """An output as it was added to the lake, which then was at position `before` with its source."""

    output: BatchOutput
    before: int

    @property
    def source(self) -> str:
        return source_of(self.output)

    def parts(self, make: RowMaker) -> Iterator[tuple[str, Part]]:
        """What it brings each table, but for what was added before."""
        for name, rows in make.tables(self.output).items():
            part = Part(self.source, int(is_finish(self.output)), rows)
            if (new := part.after(self.before)).num_rows:
                yield name, part._replace(rows=new)


def source_of(output: BatchOutput) -> str:
    return f"{output.columns.topic}-{output.partition}"


def let_go(added: list[Added]) -> Iterator[Added]:
    """Each in its turn, and not kept any longer: freed all at once, the outputs of a minute hold the interpreter's lock
    for 350 ms.
    """
    added.reverse()
    while added:
        yield added.pop()


class Gathering:
    """Small outputs of one source that follow one another become one, of at most so many bytes of records.

    Tables of few rows cost as much as those of many.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._groups: dict[str, _Group] = {}

    def add(self, one: Added) -> Iterator[Added]:
        """Take one; what it does not fit to any more, as one."""
        group = self._groups.setdefault(one.source, _Group())
        if not group.takes(one, self._most_bytes):
            yield group.joined()
            group = self._groups[one.source] = _Group()
        group.add(one)

    def rest(self) -> Iterator[Added]:
        """What waits for more."""
        groups, self._groups = self._groups, {}
        return (group.joined() for group in groups.values())


def gathered(added: Iterable[Added]) -> Iterator[Added]:
    """Those of some that were added, as few as are worth while."""
    gathering = Gathering(JOINED_BYTES)
    for one in added:
        yield from gathering.add(one)
    yield from gathering.rest()


class _Group:
    """Outputs that are joined."""

    def __init__(self) -> None:
        self.added: list[Added] = []
        self.bytes = 0

    def takes(self, one: Added, most_bytes: int) -> bool:
        if not self.added:
            return True
        last = self.added[-1]
        if is_finish(last.output) or is_finish(one.output) or one.output.first_offset < last.output.next_offset:
            return False
        return self.bytes + len(one.output.columns.data) <= most_bytes

    def add(self, one: Added) -> None:
        self.added.append(one)
        self.bytes += len(one.output.columns.data)

    def joined(self) -> Added:
        """All of them: what is new of the first is so of the others, which lie behind it."""
        return Added(BatchOutput.joined([one.output for one in self.added]), self.added[0].before)
