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

JOINED_BYTES: Final = 1 << 20  # of record batches whose outputs are joined: copying more costs more than it saves


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


def gathered(added: Iterable[Added]) -> Iterator[Added]:
    """Small outputs of one source that follow one another, as one: tables of few rows cost as much as those of many."""
    groups: dict[str, _Group] = {}
    for one in added:
        group = groups.setdefault(one.source, _Group())
        if not group.takes(one):
            yield group.joined()
            group = groups[one.source] = _Group()
        group.add(one)
    yield from (group.joined() for group in groups.values())


class _Group:
    """Outputs that are joined."""

    def __init__(self) -> None:
        self.added: list[Added] = []
        self.bytes = 0

    def takes(self, one: Added) -> bool:
        if not self.added:
            return True
        last = self.added[-1]
        if is_finish(last.output) or is_finish(one.output) or one.output.first_offset < last.output.next_offset:
            return False
        return self.bytes + len(one.output.columns.data) <= JOINED_BYTES

    def add(self, one: Added) -> None:
        self.added.append(one)
        self.bytes += len(one.output.columns.data)

    def joined(self) -> Added:
        """All of them: what is new of the first is so of the others, which lie behind it."""
        return Added(BatchOutput.joined([one.output for one in self.added]), self.added[0].before)
