"""The oracle against answers worked out by hand, one test for each clause of docs/semantics.md."""

from __future__ import annotations

import json
from itertools import count
from typing import Any, NamedTuple

import pytest

from models.catalogue import load
from tests.oracle import Oracle

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_710_000_000_000 // DAY * DAY + 12 * HOUR  # 2024-03-09 12:00 UTC

HEAD = """
[catalogue]
name = "test"
time_zone = "{zone}"
channels = ["app", "web"]

[[event]]
name = "pay"
properties = {{ amount = "number", direction = ["in", "out"], vip = "boolean", order_id = "string" }}

[[event]]
name = "view"
properties = {{ page = ["a", "b", "c"], order_id = "string" }}
"""


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Bench:
    """An oracle with a log that is written record by record; times are relative to noon."""

    def __init__(self, declared: str = "", zone: str = "UTC") -> None:
        self.oracle = Oracle(load({"c.toml": HEAD.format(zone=zone) + declared}), "events", 3)
        self.offsets = count(100)
        self.ids = count()

    def event(
        self, at: int, name: str = "pay", customer: str = "c1", time: int | None = None, **properties: Any
    ) -> int:
        """Apply an event whose record has the timestamp `at`; `time` is the event's own, `id` its id."""
        envelope = {"channel": properties.pop("channel", "app"), "event": name, "customer_id": customer}
        envelope["event_id"] = properties.pop("id", None) or f"e{next(self.ids)}"
        envelope["event_time"] = NOON + (at if time is None else time)
        return self.raw(at, customer, json.dumps({**envelope, "properties": properties}).encode())

    def raw(self, at: int, key: str, value: bytes | None, headers: Any = ()) -> int:
        offset = next(self.offsets)
        self.oracle.apply(Record(offset, NOON + at, key.encode(), value, headers))
        return offset

    def tick(self, at: int) -> int:
        return self.raw(at, "", None, (("zhice", b"tick"),))

    def value(self, feature: str = "f", customer: str = "c1") -> float | None:
        return self.oracle.features(customer)[feature]

    def moves(self) -> list[tuple[str | None, str]]:
        return [(move.from_stage, move.to_stage) for move in self.oracle.transitions]

    def decided(self) -> list[tuple[str, str | None]]:
        return [(decision.rule, decision.gate) for decision in self.oracle.decisions]


def feature(aggregate: str, more: str = "", name: str = "f") -> str:
    value = "" if aggregate == "count" else 'value = "amount"\n'
    return f'[[feature]]\nname = "{name}"\non = ["pay"]\naggregate = "{aggregate}"\n{value}{more}\n'


JOURNEY = """
[[journey]]
name = "j"
stages = ["new", "paid", "gone"]
[[journey.transition]]
from = ["new", "paid"]
on = ["pay"]
when = "amount > 0"
to = "paid"
[[journey.timeout]]
in = "paid"
after = "1h"
to = "gone"
restarted_by = ["view"]
"""

KEYED = """
[[journey]]
name = "o"
entity = "order"
key = "order_id"
stages = ["open", "done"]
[[journey.transition]]
from = ["open"]
on = ["pay"]
to = "done"
"""


def rule(name: str, listens: str, more: str = "") -> str:
    text = f'[[rule]]\nname = "{name}"\nlistens = {{ {listens} }}\naction = "a"\nchannel = "push"\n'
    return text + ("" if "kind" in more else 'kind = "service"\n') + more + "\n"


# Records and the clock


def test_records_are_told_apart() -> None:
    bench = Bench()
    offsets = [
        bench.event(0),
        bench.event(1, "other"),
        bench.tick(2),
        bench.raw(3, "c1", b"{"),
        bench.event(4, id="e0"),
    ]
    assert [bench.oracle.status[o] for o in offsets] == [
        "applied",
        "unknown",
        *["not_an_event"] * 2,
        "duplicate",
    ]


@pytest.mark.parametrize("broken", [b"[]", b"{}", b"\xff", b"null"])
def test_a_broken_value_is_no_event(broken: bytes) -> None:
    bench = Bench()
    assert bench.oracle.status[bench.raw(0, "c1", broken)] == "not_an_event"


def test_an_event_too_far_ahead_or_with_another_key_is_no_event() -> None:
    bench = Bench()
    assert bench.oracle.status[bench.event(0, time=HOUR + 1)] == "not_an_event"
    assert bench.oracle.status[bench.event(0, time=HOUR)] == "applied"
    body = {"event_id": "x", "event": "pay", "customer_id": "c1", "event_time": NOON}
    assert bench.oracle.status[bench.raw(0, "c2", json.dumps(body).encode())] == "not_an_event"


def test_the_clock_never_goes_back_and_every_record_moves_it() -> None:
    bench = Bench()
    for at, clock in ((5, 5), (3, 5)):
        bench.event(at)
        assert bench.oracle.clock == NOON + clock
    bench.raw(7, "c1", b"{")
    bench.event(8, "other")
    bench.tick(6)
    assert bench.oracle.clock == NOON + 8


def test_an_id_is_a_duplicate_among_the_last_sixteen_of_its_customer() -> None:
    bench = Bench(feature("count"))
    bench.event(0, id="x")
    for _ in range(15):
        bench.event(0)
    assert bench.oracle.status[bench.event(0, id="x")] == "duplicate"
    assert bench.value() == 16
    assert bench.oracle.status[bench.event(0, "other", id="y")] == "unknown"  # takes no place among the sixteen
    bench.event(0)
    assert bench.oracle.status[bench.event(0, id="x")] == "applied"
    assert bench.oracle.status[bench.event(0, id="x", customer="c2")] == "applied"


# Features


@pytest.mark.parametrize(
    ("aggregate", "empty", "expected"),
    [
        ("count", 0, 3),
        ("sum", 0, 6.5),
        ("min", None, 1),
        ("max", None, 3.5),
        ("first", None, 2),
        ("last", None, 1),
    ],
)
def test_aggregates(aggregate: str, empty: float | None, expected: float) -> None:
    bench = Bench(feature(aggregate))
    bench.event(0, "view")
    assert bench.value() == empty
    for at, amount in ((5, 3.5), (0, 2.0), (9, 1.0)):
        bench.event(at, amount=amount)
    assert bench.value() == expected


def test_of_equal_times_first_keeps_the_earlier_arrival_and_last_takes_the_later() -> None:
    bench = Bench(feature("first", name="a") + feature("last", name="b"))
    for amount in (1, 2, 3):
        bench.event(10, time=5, amount=amount)
    assert (bench.value("a"), bench.value("b")) == (1, 3)


def test_null_values_and_predicates_that_are_not_true_take_nothing() -> None:
    bench = Bench(feature("sum", "where = \"direction = 'out'\"") + feature("count", 'value = "amount"', "n"))
    bench.event(0, amount=1)
    bench.event(0, amount=2, direction="sideways")
    bench.event(0, amount=4, direction="out")
    bench.event(0, direction="out")
    assert (bench.value(), bench.value("n")) == (4, 3)


def test_distinct_counts_declared_values() -> None:
    bench = Bench('[[feature]]\nname = "f"\non = ["view"]\naggregate = "distinct"\nvalue = "page"')
    for page in ("a", "c", "a", "nowhere"):
        bench.event(0, "view", page=page)
    assert bench.value() == 2


def test_a_window_is_half_open_in_tiles() -> None:
    bench = Bench(feature("sum", 'window = "1h"'))  # tiles of 5 minutes
    bench.event(0, amount=1)
    bench.event(5 * MINUTE, amount=2)
    bench.event(60 * MINUTE - 1, amount=4)
    assert bench.value() == 7
    bench.event(60 * MINUTE, amount=8)
    assert bench.value() == 14
    bench.event(65 * MINUTE, "view")  # any event of the row moves T
    assert bench.value() == 12


def test_late_is_decided_at_arrival_by_each_feature() -> None:
    bench = Bench(feature("sum", 'window = "1h"') + feature("sum", name="g"))
    bench.event(2 * HOUR, amount=1)
    late = bench.event(2 * HOUR, time=HOUR + 5 * MINUTE - 1, amount=2)
    in_time = bench.event(2 * HOUR, time=HOUR + 5 * MINUTE, amount=4)
    unwanted = bench.event(2 * HOUR, "view", time=0)
    no_value = bench.event(2 * HOUR, time=0)
    assert [bench.oracle.late[o] for o in (late, in_time, unwanted, no_value)] == [True, False, False, False]
    assert (bench.value("f"), bench.value("g")) == (5, 7)
    assert bench.oracle.status[late] == "applied"


@pytest.mark.parametrize(("zone", "expected"), [("UTC", 2), ("Asia/Kolkata", 1), ("America/New_York", 2)])
def test_days_are_local(zone: str, expected: int) -> None:
    bench = Bench(feature("count", 'window = "1d"\ntile = "1d"'), zone)
    bench.event(6 * HOUR)
    bench.event(7 * HOUR)  # 18:30 UTC is midnight in Kolkata
    assert bench.value() == expected


def test_a_local_day_of_23_hours() -> None:
    bench = Bench(feature("count", 'window = "1d"\ntile = "1d"'), "America/New_York")
    bench.event(17 * HOUR)  # 2024-03-10 05:00 UTC, midnight in New York, clocks go forward at 2:00
    bench.event(40 * HOUR - 1)
    assert bench.value() == 2
    bench.event(40 * HOUR)
    assert bench.value() == 1


def test_hours_and_weekdays_are_local() -> None:
    bench = Bench(feature("count", 'where = "event_hour = 20 AND event_weekday = 6"'), "Asia/Shanghai")
    bench.event(0)  # Saturday, 20:00 in Shanghai
    bench.event(HOUR)
    bench.event(DAY)
    assert bench.value() == 1


# Journeys


def test_the_first_event_enters_the_first_stage_and_may_move_on() -> None:
    bench = Bench(JOURNEY)
    bench.event(0, "view", customer="c2")
    bench.event(10, time=-5, amount=1)
    first, second, third = bench.oracle.transitions
    assert (first.customer_id, first.to_stage, first.time_in_stage_ms) == ("c2", "new", None)
    assert (second.from_stage, second.to_stage, second.event_id) == (None, "new", "e1")
    assert (third.from_stage, third.to_stage, third.entered_at, third.seq) == ("new", "paid", NOON - 5, 1)
    assert (third.clock, third.time_in_stage_ms, third.cause) == (NOON + 10, 0, "event")


def test_time_in_the_stage_left_is_never_negative() -> None:
    bench = Bench(JOURNEY)
    bench.event(0, "view")
    bench.event(1, time=-50, amount=1)
    bench.event(2, time=50, amount=1)
    assert [move.time_in_stage_ms for move in bench.oracle.transitions] == [None, 0, 100]


def test_a_timeout_is_due_at_its_deadline_and_enters_then() -> None:
    bench = Bench(JOURNEY)
    bench.event(0, time=-7, amount=1)
    bench.tick(HOUR - 1)
    assert len(bench.moves()) == 2
    bench.tick(3 * HOUR)
    moved = bench.oracle.transitions[-1]
    assert (moved.to_stage, moved.cause, moved.event_id) == ("gone", "timeout", None)
    assert (moved.entered_at, moved.clock, moved.time_in_stage_ms) == (NOON + HOUR, NOON + 3 * HOUR, HOUR + 7)


def test_due_on_the_deadline_before_the_event_of_the_same_record() -> None:
    bench = Bench(JOURNEY)
    bench.event(0, amount=1)
    bench.event(HOUR, amount=1)
    assert bench.moves() == [(None, "new"), ("new", "paid"), ("paid", "gone")]


def test_re_entry_and_restart_start_the_timers_anew() -> None:
    bench = Bench(JOURNEY)
    bench.event(0, amount=1)
    bench.event(30 * MINUTE, amount=1)  # again into the stage
    assert bench.moves()[-1] == ("paid", "paid")
    bench.event(60 * MINUTE, "view", time=0)  # restarts from the clock
    bench.tick(120 * MINUTE - 1)
    assert bench.moves()[-1] == ("paid", "paid")
    bench.tick(120 * MINUTE)
    assert bench.oracle.transitions[-1].time_in_stage_ms == 90 * MINUTE


def test_instances_are_found_by_customer_and_key() -> None:
    bench = Bench(KEYED)
    bench.event(0, "view", order_id="x")  # the entity is not concerned
    bench.event(0)
    bench.event(0, order_id="x")
    bench.event(0, order_id="x", customer="c2")
    named = [(m.customer_id, m.entity, m.entity_id, m.to_stage) for m in bench.oracle.transitions]
    assert named == [(c, "order", "x", stage) for c in ("c1", "c2") for stage in ("open", "done")]


def test_a_transition_sees_journeys_before_its_own_moved() -> None:
    second = """
[[journey]]
name = "k"
stages = ["off", "on"]
[[journey.transition]]
from = ["off"]
on = ["pay"]
when = "j_stage = 'paid' AND j_time_in_stage_ms = 0"
to = "on"
"""
    bench = Bench(JOURNEY + second)
    bench.event(0, amount=1)
    assert bench.moves() == [(None, "new"), ("new", "paid"), (None, "off"), ("off", "on")]


def test_due_at_once_customers_come_before_instances_then_rows_then_journeys() -> None:
    keyed = (
        KEYED.replace('"done"]', '"done", "late"]') + '[[journey.timeout]]\nin = "done"\nafter = "1h"\nto = "late"\n'
    )
    bench = Bench(keyed + JOURNEY)
    for customer in ("c2", "c1"):
        bench.event(0, customer=customer, order_id="x", amount=1)
    bench.tick(HOUR)
    ended = [(m.customer_id, m.to_stage) for m in bench.oracle.transitions if m.cause == "timeout"]
    assert ended == [("c2", "gone"), ("c1", "gone"), ("c2", "late"), ("c1", "late")]


def test_what_a_timeout_arms_counts_from_the_deadline_and_takes_its_turn() -> None:
    chain = JOURNEY + '[[journey.timeout]]\nin = "gone"\nafter = "5m"\nto = "new"\n'
    bench = Bench(chain)
    bench.event(0, amount=1)
    bench.event(2 * MINUTE, amount=1, customer="c2")
    bench.tick(DAY)
    late = [(m.customer_id, m.to_stage, (m.entered_at - NOON) // MINUTE) for m in bench.oracle.transitions[4:]]
    assert late == [("c1", "gone", 60), ("c2", "gone", 62), ("c1", "new", 65), ("c2", "new", 67)]


# Rules


def test_rules_of_an_event_see_features_and_stages_after_it() -> None:
    text = (
        feature("sum") + JOURNEY + rule("r", 'event = ["pay"]', "when = \"f = 3 AND j_stage = 'paid' AND amount = 2\"")
    )
    bench = Bench(text)
    bench.event(0, amount=1)
    offset = bench.event(5, amount=2)
    [decision] = bench.oracle.decisions
    assert decision.acted and decision.gates == {"expired": True}
    assert decision.evidence.values == {"f": 3.0, "j_stage": "paid", "amount": 2.0}
    assert (decision.evidence.offset, decision.evidence.event_id, decision.evidence.stage) == (
        offset,
        "e1",
        None,
    )
    assert (decision.event_time, decision.decided_at, decision.expires_at) == (
        NOON + 5,
        NOON + 5,
        NOON + 5 + 3 * DAY,
    )


def test_rules_in_catalogue_order_once_an_event() -> None:
    rules = rule("a", 'entered = "j.paid"') + rule("b", 'event = ["pay", "view"]') + rule("c", 'entered = "j.new"')
    bench = Bench(JOURNEY + rules)
    bench.event(0, amount=1)
    assert [name for name, _ in bench.decided()] == ["a", "b", "c"]
    assert [d.evidence.stage for d in bench.oracle.decisions] == ["paid", None, "paid"]


def test_rules_of_a_keyed_entity() -> None:
    text = KEYED + rule("r", 'event = ["view"]', 'entity = "order"\nwhen = "stage = \'open\' AND time_in_stage_ms = 0"')
    bench = Bench(text)
    bench.event(0, "view")
    bench.event(0, "view", order_id="x")
    [decision] = bench.oracle.decisions
    assert (decision.entity, decision.entity_id, decision.evidence.stage) == ("order", "x", "open")


def test_rules_of_timeouts_with_and_without_after() -> None:
    listens = ('timeout = "j.paid", after = "1h"', 'entered = "j.gone"', 'timeout = "j.paid"')
    when = 'when = "event_time IS NULL AND channel IS NULL"'
    text = JOURNEY + "".join(rule(f"r{i}", one, when) for i, one in enumerate(listens))
    text += rule("early", 'timeout = "j.paid", after = "10m"', f'when = "time_in_stage_ms = {10 * MINUTE}"')
    bench = Bench(text)
    bench.event(0, amount=1)
    bench.tick(2 * HOUR)
    assert [name for name, _ in bench.decided()] == ["early", "r0", "r1", "r2"]
    assert [d.evidence.stage for d in bench.oracle.decisions] == ["paid", "paid", "gone", "gone"]
    assert [(d.event_time - NOON) // MINUTE for d in bench.oracle.decisions] == [10, 60, 60, 60]
    assert [d.seq for d in bench.oracle.decisions] == [0, 1, 3, 4]  # the transition is 2
    assert len({d.id for d in bench.oracle.decisions}) == 4


def test_leaving_a_stage_cancels_its_rule_timers_and_a_restart_repeats_them() -> None:
    bench = Bench(JOURNEY + rule("r", 'timeout = "j.paid", after = "10m"'))
    bench.event(0, amount=1)
    bench.event(5 * MINUTE, amount=1)
    bench.tick(15 * MINUTE - 1)
    assert not bench.decided()
    bench.tick(15 * MINUTE)
    bench.event(20 * MINUTE, "view")
    bench.tick(30 * MINUTE)
    assert [(d.event_time - NOON) // MINUTE for d in bench.oracle.decisions] == [15, 30]


def test_tags_belong_to_what_they_read_and_read_each_other() -> None:
    tags = """
[[feature]]
name = "g"
entity = "order"
on = ["pay"]
aggregate = "sum"
value = "amount"
[[tag]]
name = "big"
expression = "f > 2"
[[tag]]
name = "share"
expression = "g / f"
[[tag]]
name = "both"
expression = "CASE WHEN big THEN share END"
"""
    bench = Bench(feature("sum") + KEYED + tags)
    bench.event(0, amount=1)
    bench.event(0, amount=3, order_id="x")
    bench.oracle.finish()
    customer, order = bench.oracle.snapshots
    assert customer[2:] == ("customer", "c1", None, {"f": 4.0}, {"big": 1.0}, {})
    assert order[2:] == ("order", "c1", "x", {"g": 3.0}, {"share": 0.75, "both": 0.75}, {"o": "done"})


# Gates


def test_cooldown_is_by_rule_and_entity_and_counts_what_acted() -> None:
    bench = Bench(rule("r", 'event = ["pay"]', 'cooldown = "1h"'))
    for at in (0, HOUR - 1, HOUR, 2 * HOUR - 1):
        bench.event(at)
    bench.event(2 * HOUR - 1, customer="c2")
    assert [gate for _, gate in bench.decided()] == [None, "cooldown", None, "cooldown", None]
    assert bench.oracle.decisions[1].gates == {"expired": True, "cooldown": False}


def test_expired_is_past_event_time_and_expires() -> None:
    bench = Bench(
        JOURNEY + rule("r", 'event = ["pay"]', 'expires = "1h"') + rule("t", 'entered = "j.gone"', 'expires = "1h"')
    )
    bench.event(0, time=-HOUR, amount=1)
    bench.event(0, time=-HOUR - 1, amount=1)
    bench.tick(2 * HOUR + 1)  # due an hour before, and a ms more than it stays good for
    assert bench.decided() == [("r", None), ("r", "expired"), ("t", "expired")]
    assert bench.oracle.decisions[1].gates == {"expired": False}


def test_gates_apply_by_kind_and_channel_and_the_first_that_fails_is_the_reason() -> None:
    gates = """
[[gate]]
name = "rich"
kinds = ["marketing"]
when = "f > 5"
[[gate]]
name = "mail"
channels = ["mail"]
when = "f > 99"
[[gate]]
name = "known"
when = "f IS NOT NULL AND j_stage = 'paid'"
"""
    rules = rule("service", 'event = ["pay"]', 'cooldown = "1h"') + rule(
        "market", 'event = ["pay"]', 'kind = "marketing"'
    )
    rules += rule("never", 'event = ["view"]').replace('"push"', '"mail"')
    bench = Bench(feature("sum") + JOURNEY + rules + gates)
    bench.event(0, amount=0)
    bench.event(1, amount=4)
    bench.event(2, amount=4)
    assert bench.decided()[0:2] == [("service", "known"), ("market", "rich")]
    assert bench.decided()[2:4] == [("service", None), ("market", "rich")]
    assert bench.decided()[4:6] == [("service", "cooldown"), ("market", None)]
    assert bench.oracle.decisions[4].gates == {"expired": True, "known": True, "cooldown": False}
    assert bench.oracle.decisions[5].gates == {"expired": True, "rich": True, "known": True}


# Snapshots and metrics


def test_what_changed_is_recorded_at_the_hour() -> None:
    bench = Bench(feature("sum") + JOURNEY)
    bench.event(0, amount=1)
    bench.event(5, amount=2, customer="c2")
    offset = bench.event(HOUR, amount=4)  # c1 has left "paid" at this moment, c2 will
    assert bench.oracle.snapshots == [
        (NOON + HOUR, offset, "customer", "c1", None, {"f": 1.0}, {}, {"j": "paid"}),
        (NOON + HOUR, offset, "customer", "c2", None, {"f": 2.0}, {}, {"j": "paid"}),
    ]
    bench.oracle.snapshots.clear()
    offset = bench.tick(5 * HOUR)
    assert bench.oracle.snapshots == [
        (NOON + 2 * HOUR, offset, "customer", "c1", None, {"f": 5.0}, {}, {"j": "gone"}),
        (NOON + 2 * HOUR, offset, "customer", "c2", None, {"f": 2.0}, {}, {"j": "gone"}),
    ]
    bench.oracle.finish()
    assert len(bench.oracle.snapshots) == 2  # nothing has changed since


def test_the_last_snapshot_is_as_of_the_clock() -> None:
    bench = Bench(feature("sum"))
    bench.event(0, amount=1)
    offset = bench.tick(7)
    bench.oracle.finish()
    assert bench.oracle.snapshots == [(NOON + 7, offset + 1, "customer", "c1", None, {"f": 1.0}, {}, {})]


def test_metrics_are_written_when_the_clock_leaves_the_minute() -> None:
    bench = Bench()
    bench.event(0, amount=1)
    bench.event(1, amount=2, time=-1, channel="fax")
    bench.event(2, amount=4, customer="c2")
    bench.event(3, amount=8, id="e0")
    bench.event(4, "view", amount=16, channel=None)
    assert not bench.oracle.metrics
    offset = bench.tick(MINUTE)
    rows = [tuple(row.values()) for row in bench.oracle.metrics]
    assert rows == [
        (NOON, "pay", 0, NOON, 2, 2, 5.0, offset),
        (NOON, "pay", -1, NOON - MINUTE, 1, 1, 2.0, offset),
        (NOON, "view", None, NOON, 1, 1, 0.0, offset),
    ]
