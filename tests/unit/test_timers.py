"""The heap of timers holds what is due, not all that ever was: stale entries go when it is full."""

from __future__ import annotations

from models.catalogue import load
from models.decoding import Decoder
from models.layout import Layout
from models.plan import HEAP
from models.records import Record, Records
from models.shard import Shard
from models.shard_rows import FIRST_ROWS
from tests.small_logs import DAY, MINUTE, START, TOPIC, records

MACHINES = 8
CATALOGUE = """
[catalogue]
name = "machines"

[[event]]
name = "beat"

[[journey]]
name = "machine"
stages = ["idle", "run"]
[[journey.transition]]
from = ["idle"]
on = ["beat"]
to = "run"
[[journey.timeout]]
in = "run"
after = "1m"
to = "idle"
[[journey.timeout]]
in = "idle"
after = "3650d"
to = "idle"
"""


class Machines:
    """A shard whose customers enter a stage of ten years with every beat, and leave it with the next."""

    def __init__(self, machines: int) -> None:
        self.layout = Layout.compile(load({"machines.toml": CATALOGUE}))
        self.decoder = Decoder(self.layout.event_layout)
        self.shard = Shard(self.layout, TOPIC, 0)
        self.machines = machines

    def beat(self, rounds: int) -> int:
        """A beat of each machine every other minute, one after another; returns the transitions."""
        apart = 2 * MINUTE // self.machines  # some always run: what is stale does not come up
        beats = range(rounds * self.machines)
        log = records({"event": "beat", "customer_id": f"m{k % self.machines}", "at": START + k * apart} for k in beats)
        return self.apply([Record(*one) for one in log])

    def apply(self, log: list[Record]) -> int:
        output = self.shard.process(self.decoder.columns(TOPIC, 0, Records.of(log)))
        return len(output.transitions)

    @property
    def heap(self) -> tuple[int, int]:
        """Entries, and for how many there is room."""
        state = self.shard.rows.state
        return int(state.numbers[HEAP]), len(state.heap_ref)


def test_deadlines_of_stages_that_were_left_do_not_pile_up() -> None:
    machines = Machines(MACHINES)
    rounds = 4 * FIRST_ROWS // MACHINES
    entered = machines.beat(rounds)
    assert entered == MACHINES * 2 * rounds + MACHINES // 2  # idle at first, run with each beat, idle after a minute
    entries, room = machines.heap
    assert room == FIRST_ROWS
    assert entries <= FIRST_ROWS

    in_ten_years = START + 3650 * DAY + 2 * MINUTE * rounds + MINUTE
    ended = machines.apply([Record(MACHINES * rounds, in_ten_years, None, None, (("zhice", b"tick"),))])
    assert ended == MACHINES // 2 + MACHINES  # those that run are idle after a minute, and all once more in ten years


def test_a_heap_of_timers_that_all_count_grows() -> None:
    machines = Machines(2 * FIRST_ROWS)
    machines.beat(1)
    entries, room = machines.heap
    assert entries >= 2 * FIRST_ROWS
    assert room >= 4 * FIRST_ROWS
