"""Goals that are reached while a candidate is held: answers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracle_bench import (
    DAY,
    EVENING,
    HOUR,
    JOURNEY,
    KEYED,
    MORNING,
    NIGHT,
    Decide,
    Log,
    decided_at,
    engine_decides,
    marketing,
    oracle_decides,
    paid,
    quiet,
    told,
)

pytestmark = pytest.mark.parametrize("decide", [oracle_decides, engine_decides])

GOAL = 'goal = { event = "view", within = "1d" }\n'


def test_the_goal_is_asked_only_of_what_was_held(decide: Decide) -> None:
    log = Log()
    log.event(0, "view")
    log.event(1, amount=1)
    [decision] = decide(marketing("r", GOAL) + NIGHT, log)
    assert decision.gates == {"expired": True, "night": True}
    [decision] = decide(marketing("r") + NIGHT, paid(EVENING, ticks=[MORNING]))
    assert decision.gates == {"expired": True, "night": True}
    [decision] = decide(marketing("r", GOAL) + NIGHT, paid(EVENING, ticks=[MORNING]))
    assert decision.gates == {"expired": True, "goal": True, "night": True}


@pytest.mark.parametrize(
    ("goal", "acted"),
    [
        ({"name": "view"}, False),
        ({"name": "view", "time": 0}, False),  # when it happened does not matter, but when it was applied
        ({"name": "pay"}, True),
        ({"name": "view", "customer": "c2"}, True),
        ({"name": "view", "id": "before"}, True),  # a duplicate
    ],
)
def test_the_goals_event_fails_what_is_held(decide: Decide, goal: dict[str, str], acted: bool) -> None:
    text = marketing("r", GOAL + 'when = "amount = 1"') + '[[gate]]\nname = "g"\nwhen = "TRUE"\n' + NIGHT
    log = Log()
    log.event(0, "view", id="before")
    log.event(EVENING, amount=1)
    log.event(EVENING + HOUR, **goal)
    log.tick(MORNING)
    [decision] = decide(text, log)
    assert (decision.acted, decision.gate) == (acted, None if acted else "goal")
    assert decision.gates == {"expired": True, "goal": acted, **({"g": True, "night": True} if acted else {})}


def test_the_event_that_made_the_candidate_is_not_after_it(decide: Decide) -> None:
    goal = 'goal = { event = "pay", within = "1d" }\n'
    assert told(decide(marketing("r", goal) + NIGHT, paid(EVENING, ticks=[MORNING]))) == [("r", None)]
    log = paid(EVENING, EVENING + 1, ticks=[MORNING])
    assert told(decide(marketing("r", goal) + NIGHT, log)) == [("r", "goal"), ("r", None)]


def test_the_event_of_the_record_that_releases_is_too_late(decide: Decide) -> None:
    log = paid(EVENING)
    log.event(MORNING, "view")
    assert told(decide(marketing("r", GOAL) + NIGHT, log)) == [("r", None)]


def test_the_event_of_the_record_whose_timer_made_it_counts(decide: Decide) -> None:
    text = JOURNEY + marketing("r", GOAL, listens='timeout = "j.paid"') + NIGHT
    log = paid(EVENING)
    log.event(EVENING + HOUR, "view")
    log.tick(MORNING)
    assert told(decide(text, log)) == [("r", "goal")]


def test_a_goal_that_came_is_not_forgotten_when_it_is_held_anew(decide: Decide) -> None:
    text = marketing("r", GOAL) + quiet("21:00", "23:00", "first") + quiet("22:00", "01:00", "second")
    log = paid(EVENING, ticks=[11 * HOUR])
    log.event(12 * HOUR, "view")
    log.tick(DAY)
    decisions = decide(text, log)
    assert (told(decisions), decided_at(decisions)) == ([("r", "goal")], [DAY])
    log = paid(EVENING)
    log.event(11 * HOUR, "view")  # the record that releases it, and it is held anew
    log.tick(DAY)
    assert told(decide(text, log)) == [("r", "goal")]


def test_expired_is_asked_before_the_goal(decide: Decide) -> None:
    log = paid(EVENING)
    log.event(EVENING + 1, "view")
    log.tick(MORNING + 1)
    assert told(decide(marketing("r", GOAL + 'expires = "11h"') + NIGHT, log)) == [("r", "expired")]


@pytest.mark.parametrize(
    ("name", "key", "acted"),
    [
        ("pay", {"order_id": "x"}, False),
        ("pay", {"order_id": "y"}, True),
        ("pay", {}, False),
        ("pay", {"customer": "c2"}, True),
        ("pay", {"customer": "c2", "order_id": "x"}, True),
        ("pay", {"order_id": None}, False),
        ("view", {"order_id": "x"}, False),
        ("view", {"order_id": "y"}, False),  # the entity is not concerned by it, so that it names none
    ],
)
def test_a_goal_of_an_instance(decide: Decide, name: str, key: dict[str, Any], acted: bool) -> None:
    goal = f'goal = {{ event = "{name}", within = "1d" }}\n'
    text = KEYED + marketing("r", f'entity = "order"\n{goal}when = "amount = 1"') + NIGHT
    log = Log()
    log.event(EVENING, amount=1, order_id="x")
    log.event(EVENING + 1, name, **key)
    log.tick(MORNING)
    assert told(decide(text, log)) == [("r", None if acted else "goal")]


def test_bad_rows_and_unknown_events_are_no_goals(decide: Decide) -> None:
    log = paid(EVENING)
    log.event(EVENING + 1, time=EVENING + 2 * HOUR)  # too far ahead
    log.event(EVENING + 1, page="a", vip="no")  # of the wrong type
    log.event(EVENING + 1, "undeclared")
    log.raw(EVENING + 1, "c1", b"{")
    log.tick(MORNING)
    assert told(decide(marketing("r", GOAL.replace("view", "pay")) + NIGHT, log)) == [("r", None)]
