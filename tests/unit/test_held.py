"""Candidates that wait for the end of quiet hours, over checkpoints, restarts and changed catalogues."""

from __future__ import annotations

import time

import msgspec
import pytest

from models.catalogue import Catalogue, load
from models.decoding import Decoder
from models.held import HELD_ROWS
from models.layout import Layout
from models.pages import PageError
from models.published import Decision
from models.records import Records
from models.shard import Shard
from tests.small_logs import DAY, HOUR, START, TOPIC, decided, records

RECORD_BYTES = 1_000_000  # what Kafka takes by default
NOON, NIGHT = START + 12 * HOUR, START + 22 * HOUR
MORNING = START + 32 * HOUR
BANK = """
[catalogue]
name = "bank"
time_zone = "Asia/Shanghai"
[[event]]
name = "pay"
properties = { amount = "number", order = "string" }
[[event]]
name = "thank"
[[feature]]
name = "paid"
on = ["pay"]
aggregate = "sum"
value = "amount"
[[journey]]
name = "order_flow"
entity = "order"
key = "order"
stages = ["new", "paid"]
[[journey.transition]]
from = ["new"]
on = ["pay"]
to = "paid"
[[rule]]
name = "greet"
listens = { event = ["pay"] }
when = "amount > 0"
action = "greet"
channel = "push"
goal = { event = "thank", within = "1d" }
[[rule]]
name = "ship"
listens = { entered = "order_flow.paid" }
action = "ship"
channel = "sms"
[[quiet_hours]]
name = "night"
from = "21:00"
until = "08:00"
"""
LIMITS = """
[[contact_limit]]
name = "weekly"
most = {most}
within = "7d"
"""


def catalogue(text: str = BANK) -> Catalogue:
    return load({"bank.toml": text})


class Worker:
    """A shard that is fed event by event and may be restarted."""

    def __init__(self, found: Catalogue | None = None) -> None:
        self.state: list[tuple[bytes, bytes]] = []
        self.offset = 0
        self._begin(found or catalogue())
        self.shard = Shard(self.layout, TOPIC, 0)

    def _begin(self, found: Catalogue) -> None:
        self.layout = Layout.compile(found)
        self.decoder = Decoder(self.layout.event_layout)

    def feed(self, *events: dict[str, object]) -> list[Decision]:
        log = records({"event_id": f"e{self.offset + number}", **event} for number, event in enumerate(events))
        log = [one._replace(offset=self.offset + number) for number, one in enumerate(log)]
        self.offset += len(log)
        output = self.shard.process(self.decoder.columns(TOPIC, 0, Records.of(log)))
        return decided(output, self.layout.catalogue)

    def checkpoint(self) -> list[bytes]:
        """The keys that were written."""
        dumped = self.shard.dump()
        self.state += dumped
        return [key for key, _ in dumped]

    def restart(self, found: Catalogue | None = None) -> None:
        self.checkpoint()
        self._begin(found or self.layout.catalogue)
        self.shard = Shard.restore(self.layout, TOPIC, 0, self.state)


def pay(customer: str = "c1", at: int = NIGHT, **properties: object) -> dict[str, object]:
    return {"event": "pay", "at": at, "customer_id": customer, "properties": {"amount": 5, **properties}}


def test_what_is_held_comes_in_the_morning_with_its_own_evidence() -> None:
    worker = Worker()
    assert worker.feed(pay(order="o1")) == []
    worker.restart()
    greet, ship = worker.feed({"event": "thank", "customer_id": "c2", "at": MORNING})
    assert (greet.rule, greet.acted, greet.decided_at, greet.event_time) == ("greet", True, MORNING, NIGHT)
    assert (greet.evidence.offset, greet.evidence.values, greet.evidence.event) == (0, {"amount": 5.0}, "pay")
    assert (ship.rule, ship.entity, ship.entity_id, ship.seq) == ("ship", "order", "o1", 3)
    assert greet.gates == {"expired": True, "goal": True, "night": True}
    assert ship.gates == {"expired": True, "night": True}, "it has no goal"
    assert worker.feed({"event": "thank", "customer_id": "c2", "at": MORNING + DAY}) == []


def test_a_goal_is_remembered_over_a_restart() -> None:
    worker = Worker()
    worker.feed(pay())
    worker.checkpoint()
    worker.feed({"event": "thank", "at": NIGHT + HOUR, "customer_id": "c1"})
    worker.restart()
    (decision,) = worker.feed(pay("c2", MORNING))[:1]
    assert (decision.acted, decision.gate) == (False, "goal")


def test_a_batch_costs_the_same_however_many_wait() -> None:
    """A night's candidates may be hundred thousands; a batch of one event took 10 times as long with 20,000 of them."""
    idle, busy = Worker(), Worker()
    busy.feed(*(pay(f"c{number}") for number in range(20_000)))
    times: dict[int, list[int]] = {0: [], 1: []}
    for number in range(15):
        for which, worker in enumerate((idle, busy)):
            begun = time.thread_time_ns()
            assert worker.feed({"event": "thank", "at": NIGHT + number, "customer_id": "other"}) == []
            times[which].append(time.thread_time_ns() - begun)
    assert min(times[1]) < 4 * min(times[0])


def test_pages_fit_into_a_record_and_only_those_that_changed_are_written() -> None:
    longest = catalogue(
        BANK.replace("amount > 0", f"amount > 0 OR amount IN ({', '.join(map(str, range(1000, 1400)))})")
    )
    worker = Worker(longest)
    worker.feed(*(pay(f"{'c' * 200}{number}") for number in range(3 * HELD_ROWS - 10)))
    assert [key for key in worker.checkpoint() if key.startswith(b"h")] == [b"h0", b"h1", b"h2"]
    assert max(len(value) for _, value in worker.state) < RECORD_BYTES
    worker.feed(pay("last"))
    assert [key for key in worker.checkpoint() if key.startswith(b"h")] == [b"h2"]
    worker.feed({"event": "thank", "at": NIGHT + 1, "customer_id": f"{'c' * 200}{HELD_ROWS}"})
    assert [key for key in worker.checkpoint() if key.startswith(b"h")] == [b"h1", b"h2"]
    worker.restart()
    decisions = worker.feed(pay("day", MORNING))
    assert len(decisions) == 3 * HELD_ROWS - 10 + 2
    assert [one.gate for one in decisions if not one.acted] == ["goal"]
    worker.restart()
    assert len(worker.shard.judge.held) == 0


def test_a_changed_catalogue_keeps_what_waits_but_for_rules_that_are_gone() -> None:
    worker = Worker()
    worker.feed(pay(order="o1"))
    without_ship = BANK[: BANK.index('[[rule]]\nname = "ship"')] + BANK[BANK.index("[[quiet_hours]]") :]
    without_quiet = without_ship[: without_ship.index("[[quiet_hours]]")]
    worker.restart(catalogue(without_quiet))
    assert worker.shard.migration[-1] == "rule ship: gone, with 1 candidates that were held"
    decisions = worker.feed(pay("c2", MORNING, order="o2"))
    assert [(one.rule, one.customer_id, one.acted) for one in decisions] == [
        ("greet", "c1", True),
        ("greet", "c2", True),
    ]


def test_contacts_are_kept_where_a_limit_is_changed() -> None:
    worker = Worker(catalogue(BANK + LIMITS.format(most=2)))
    for day in (1, 2, 3):
        worker.feed(pay(at=NOON + day * DAY))
    worker.restart(catalogue(BANK + LIMITS.format(most=3)))
    decisions = [worker.feed(pay(at=NOON + day * DAY))[0] for day in (4, 5)]
    assert [one.gate for one in decisions] == [None, "weekly"], "two of the three were remembered"
    worker.restart(catalogue(BANK + LIMITS.format(most=1)))
    assert worker.feed(pay(at=NOON + 6 * DAY))[0].gate == "weekly"
    assert worker.feed(pay(at=NOON + 12 * DAY))[0].gate is None


@pytest.mark.parametrize("broken", [b"\xc1", msgspec.msgpack.encode([[1]])])
def test_a_damaged_page_is_said(broken: bytes) -> None:
    worker = Worker()
    worker.feed(pay())
    worker.checkpoint()
    state = [(key, broken if key == b"h0" else value) for key, value in worker.state]
    with pytest.raises(PageError, match="a record of the state is damaged"):
        Shard.restore(worker.layout, TOPIC, 0, state)
    missing = [(key, value) for key, value in worker.state if key != b"h0"]
    with pytest.raises(PageError, match="page b'h0' is missing"):
        Shard.restore(worker.layout, TOPIC, 0, missing)
