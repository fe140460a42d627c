"""Two tiles of counts share a cell: each counts for itself, up to its limit, and the other one is left alone."""

from __future__ import annotations

import pytest

from models.catalogue import load
from models.decoding import Decoder
from models.features import COUNT_BITS, MOST_COUNT
from models.layout import Layout
from models.records import Records
from models.shard import Shard
from tests.small_logs import MINUTE, START, TOPIC, records

CATALOGUE = """
[catalogue]
name = "counts"
channels = ["app"]

[[event]]
name = "seen"

[[feature]]
name = "last_tile"
on = ["seen"]
aggregate = "count"
window = "5m"
tile = "5m"

[[feature]]
name = "all_tiles"
on = ["seen"]
aggregate = "count"
window = "15m"
tile = "5m"
"""
TILES = 3
FULL = float(MOST_COUNT + (MOST_COUNT << COUNT_BITS))


class Counting:
    """A shard with one customer; `at`: minutes."""

    def __init__(self) -> None:
        self.layout = Layout.compile(load({"counts.toml": CATALOGUE}))
        self.shard = Shard(self.layout, TOPIC, 0)
        self.events = 0

    def see(self, at: int) -> tuple[float, float]:
        """One more event; (last_tile, all_tiles) after it."""
        self.events += 1
        log = records([{"event": "seen", "event_id": f"e{self.events}", "at": START + at * MINUTE}])
        log = [one._replace(offset=self.events - 1) for one in log]
        self.shard.process(Decoder(self.layout.event_layout).columns(TOPIC, 0, Records.of(log)))
        found = self.shard.profile("c1")["features"]
        return found["last_tile"], found["all_tiles"]

    @property
    def cells(self) -> list[float]:
        """The tiles' cells."""
        (accumulator,) = self.layout.accumulators
        first = accumulator.cell + 1
        return self.shard.rows.state.customers[0, first : first + accumulator.cells - 1]


def test_a_ring_of_three_tiles_has_two_cells() -> None:
    assert len(Counting().cells) == 2


def test_each_tile_counts_for_itself() -> None:
    counting = Counting()
    seen = [counting.see(at) for at in (0, 1, 5, 6, 7, 10, 3, 12, 15, 31)]
    assert seen == [(1, 1), (2, 2), (1, 3), (2, 4), (3, 5), (1, 6), (1, 7), (2, 8), (1, 6), (1, 1)]


@pytest.mark.parametrize("tile", range(TILES))
def test_a_full_tile_stays_full_and_its_neighbour_as_it_was(tile: int) -> None:
    counting = Counting()
    counting.see(TILES * 5)
    counting.cells[:] = FULL
    newest = (START // MINUTE + TILES * 5) // 5
    late = [at for at in range(TILES) if (newest - at) % TILES == tile]
    before = counting.cells.copy()
    last_tile, all_tiles = counting.see(TILES * 5 - late[0] * 5)
    assert (counting.cells == before).all()
    assert (last_tile, all_tiles) == (MOST_COUNT, TILES * MOST_COUNT)


def test_a_tile_that_is_passed_is_emptied_alone() -> None:
    counting = Counting()
    counting.see(0)
    counting.cells[:] = FULL
    assert counting.see(5) == (1, 2 * MOST_COUNT + 1)
    assert counting.see(15) == (1, 2)
