"""The oracle against answers worked out by hand: records, features and journeys of docs/semantics.md."""

from __future__ import annotations

import json

import pytest

from tests.oracle_bench import DAY, HOUR, JOURNEY, KEYED, MINUTE, NOON, Bench, feature

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
