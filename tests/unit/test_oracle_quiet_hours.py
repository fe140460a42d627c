"""Quiet hours, and what they hold, of docs/semantics.md: answers worked out by hand."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.oracle_bench import (
    DAY,
    EVENING,
    HOUR,
    JOURNEY,
    MINUTE,
    MORNING,
    NIGHT,
    NOON,
    PAY,
    VIEW,
    Decide,
    Log,
    decided_at,
    engine_decides,
    feature,
    marketing,
    oracle_decides,
    paid,
    quiet,
    rule,
    told,
)

pytestmark = pytest.mark.parametrize("decide", [oracle_decides, engine_decides])

# When it is quiet


@pytest.mark.parametrize(
    ("at", "held"),
    [(EVENING - 1, False), (EVENING, True), (12 * HOUR, True), (MORNING - 1, True), (MORNING, False)],
)
def test_quiet_is_from_until_over_midnight(decide: Decide, at: int, held: bool) -> None:
    decisions = decide(marketing("r") + NIGHT, paid(at, ticks=[DAY]))
    assert decided_at(decisions) == [DAY if held else at]
    assert [d.gates for d in decisions] == [{"expired": True, "night": True}]


@pytest.mark.parametrize(
    ("at", "held"), [(59 * MINUTE, False), (HOUR, True), (90 * MINUTE - 1, True), (90 * MINUTE, False)]
)
def test_quiet_is_from_until_within_a_day(decide: Decide, at: int, held: bool) -> None:
    decisions = decide(marketing("r") + quiet("13:00", "13:30"), paid(at, ticks=[DAY]))
    assert decided_at(decisions) == [DAY if held else at]


def test_the_time_of_day_is_local_and_the_clocks(decide: Decide) -> None:
    text = marketing("r") + quiet("20:00", "20:30")  # noon in Shanghai
    log = Log()
    log.event(0, time=-DAY // 2, amount=1)
    log.event(HOUR, time=0, amount=1)
    log.tick(2 * HOUR)
    assert decided_at(decide(text, log, "Asia/Shanghai")) == [HOUR, HOUR]


def test_without_kinds_they_are_for_marketing_and_scopes_narrow_them(decide: Decide) -> None:
    text = rule("s", PAY) + marketing("m") + marketing("n", 'group = "x"', channel="sms")
    log = paid(EVENING, ticks=[DAY])
    assert [d.rule for d in decide(text + NIGHT, log)] == ["s", "m", "n"]
    assert decided_at(decide(text + NIGHT, log)) == [EVENING, DAY, DAY]
    for scope, expected in (
        ('kinds = ["service"]', ["m", "n", "s"]),
        ('kinds = ["marketing", "service"]', ["s", "m", "n"]),
        ('channels = ["sms"]', ["s", "m", "n"]),
        ('rules = ["m"]', ["s", "n", "m"]),
        ('groups = ["x"]\nrules = ["m"]', ["s", "m", "n"]),
    ):
        decisions = decide(text + quiet("21:00", "08:00", "night", scope), log)
        assert [d.rule for d in decisions] == expected
    assert decided_at(decisions) == [EVENING, EVENING, EVENING]


@pytest.mark.parametrize(
    ("zone", "until", "made_at", "released_at"),
    [
        # clocks go forward from 2:00 to 3:00 on 2024-03-10, at 7:00 UTC, in New York
        ("America/New_York", "01:59", "2024-03-10 01:58:00", "2024-03-10 01:59:00"),
        ("America/New_York", "03:00", "2024-03-10 01:00:00", "2024-03-10 03:00:00"),
        ("America/New_York", "08:00", "2024-03-10 01:00:00", "2024-03-10 08:00:00"),
        ("America/New_York", "08:00", "2024-03-10 09:00:00", "2024-03-10 09:00:00"),
        # on 2024-03-31, at 1:00 UTC, in Berlin: an end that no clock shows is when it would have been shown
        ("Europe/Berlin", "02:30", "2024-03-31 01:59:00", "2024-03-31 03:30:00"),
        ("Europe/Berlin", "08:00", "2024-03-31 01:59:00", "2024-03-31 08:00:00"),
        # clocks go back from 3:00 to 2:00 on 2024-10-27, at 1:00 UTC, in Berlin: an end shown twice is the later one
        ("Europe/Berlin", "02:30", "2024-10-27 01:00:00", "2024-10-27 02:30:00+01:00"),
        ("Europe/Berlin", "08:00", "2024-10-27 01:00:00", "2024-10-27 08:00:00"),
        # and in New York on 2024-11-03 at 6:00 UTC
        ("America/New_York", "01:30", "2024-11-03 00:59:00", "2024-11-03 01:30:00-05:00"),
        ("America/New_York", "01:30", "2024-11-03 01:20:00-05:00", "2024-11-03 01:30:00-05:00"),
        ("America/New_York", "02:30", "2024-03-10 01:59:00", "2024-03-10 03:30:00"),
        ("Asia/Kolkata", "08:00", "2024-03-10 07:59:00", "2024-03-10 08:00:00"),
    ],
)
def test_ends_where_clocks_change(decide: Decide, zone: str, until: str, made_at: str, released_at: str) -> None:
    made, released = (_instant(text, zone) - NOON for text in (made_at, released_at))
    quiet_from = "22:00" if until != "01:59" else "01:00"
    log = paid(made, ticks=[released - 1, released] if released > made else [])
    assert decided_at(decide(marketing("r") + quiet(quiet_from, until), log, zone)) == [released]


def _instant(text: str, zone: str) -> int:
    read = datetime.fromisoformat(text)
    return int((read if read.tzinfo else read.replace(tzinfo=ZoneInfo(zone))).timestamp()) * 1000


# Held, or not


def test_what_expires_before_the_end_is_not_held(decide: Decide) -> None:
    text = marketing("r", 'expires = "11h"') + NIGHT
    decisions = decide(text, paid(EVENING, ticks=[MORNING]))
    assert (told(decisions), decided_at(decisions)) == ([("r", None)], [MORNING])
    log = Log()
    log.event(EVENING, time=EVENING - 1, amount=1)
    decisions = decide(text, log)
    assert (told(decisions), decided_at(decisions)) == ([("r", "night")], [EVENING])
    assert decisions[0].gates == {"expired": True, "night": False}


def test_what_has_expired_when_a_record_comes_is_released_and_expired(decide: Decide) -> None:
    decisions = decide(marketing("r", 'expires = "11h"') + NIGHT, paid(EVENING, ticks=[MORNING + 1]))
    assert (told(decisions), decisions[0].gates) == ([("r", "expired")], {"expired": False})


def test_gates_are_asked_before_it_is_held(decide: Decide) -> None:
    text = feature("sum") + marketing("r") + '[[gate]]\nname = "no"\nwhen = "f > 1"\n' + NIGHT
    assert told(decide(text, paid(EVENING, EVENING + 1, ticks=[MORNING]))) == [("r", "no"), ("r", None)]


def test_it_is_released_at_the_first_record_of_any_kind_not_before_the_end(decide: Decide) -> None:
    text = marketing("r") + NIGHT
    assert decided_at(decide(text, paid(EVENING, ticks=[MORNING - 1]))) == []  # still held when the log ends
    assert decided_at(decide(text, paid(EVENING, ticks=[MORNING - 1, MORNING + 7, MORNING + 9]))) == [MORNING + 7]
    for value in (b"{", b'{"event": "none"}'):
        log = paid(EVENING)
        log.raw(DAY, "c1", value)
        assert decided_at(decide(text, log)) == [DAY]
    log = paid(EVENING)
    log.event(DAY, "undeclared", customer="c2")
    log.event(DAY + 1, "view")
    assert decided_at(decide(text, log)) == [DAY]


def test_all_but_gates_and_score_stays_as_it_was(decide: Decide) -> None:
    text = feature("sum") + rule("s", PAY) + marketing("r", 'when = "f > 0 AND amount > 0"') + rule("t", PAY) + NIGHT
    log = Log()
    offset = log.event(EVENING, time=EVENING - 5, amount=3)
    log.event(MORNING + 1, "view")
    *at_once, decision = decide(text, log)
    assert [(d.rule, d.seq) for d in at_once] == [("s", 0), ("t", 2)]
    assert (decision.rule, decision.seq, decision.event_time) == ("r", 1, NOON + EVENING - 5)
    assert (decision.decided_at, decision.expires_at) == (NOON + MORNING + 1, NOON + EVENING - 5 + 3 * DAY)
    evidence = decision.evidence
    assert (evidence.offset, evidence.event, evidence.values) == (offset, "pay", {"f": 3.0, "amount": 3.0})


def test_a_timers_candidate_is_held_with_its_deadline(decide: Decide) -> None:
    text = JOURNEY + marketing("r", listens='timeout = "j.paid"') + NIGHT
    [decision] = decide(text, paid(EVENING, ticks=[EVENING + HOUR + 5, MORNING]))
    assert (decision.event_time, decision.decided_at) == (NOON + EVENING + HOUR, NOON + MORNING)
    assert (decision.evidence.deadline, decision.evidence.stage) == (NOON + EVENING + HOUR, "gone")


# Released


def test_gates_are_asked_anew_of_the_rows_before_what_is_due_and_before_the_event(decide: Decide) -> None:
    text = feature("sum") + JOURNEY + marketing("r", 'when = "f = 1"')
    poor = '[[gate]]\nname = "poor"\nwhen = "f < 2"\n'
    here = '[[gate]]\nname = "here"\nwhen = "j_stage = \'paid\'"\n'
    log = paid(EVENING)
    log.event(MORNING, amount=1)  # a timeout has come meanwhile, too, and nothing has told of it
    assert told(decide(text + poor + here + NIGHT, log)) == [("r", None)]
    log = paid(EVENING, EVENING + 1, ticks=[MORNING])
    assert told(decide(text + poor + NIGHT, log)) == [("r", "poor")]
    assert told(decide(text + here + NIGHT, paid(EVENING, ticks=[MORNING - 1, MORNING]))) == [("r", "here")]


def test_scores_are_computed_anew(decide: Decide) -> None:
    text = feature("sum") + marketing("a", 'when = "f = 1"\nvalue = "f"') + marketing("b", 'when = "f = 1"\nvalue = 2')
    assert [d.rule for d in decide(text, paid(0)) if d.acted] == ["b"]
    assert [d.rule for d in decide(text + NIGHT, paid(EVENING, ticks=[MORNING])) if d.acted] == ["b"]
    assert [d.rule for d in decide(text + NIGHT, paid(*range(EVENING, EVENING + 5), ticks=[DAY])) if d.acted] == ["a"]
    log = paid(*range(EVENING, EVENING + 2), MORNING)  # f is 2 before the event of the record that releases
    assert [d.rule for d in decide(text + NIGHT, log) if d.acted] == ["a"]
    log = paid(EVENING, MORNING)
    assert [d.rule for d in decide(text + NIGHT, log) if d.acted] == ["b"]


def test_released_ones_are_candidates_of_that_moment_and_come_first(decide: Decide) -> None:
    text = marketing("late", listens=VIEW) + marketing("early") + NIGHT
    log = Log()
    log.event(EVENING, amount=1)
    log.event(EVENING + 1, "view")
    log.event(MORNING, "view")
    decisions = decide(text, log)
    assert told(decisions) == [("early", None), ("late", "arbitration"), ("late", "arbitration")]
    assert [d.evidence.offset for d in decisions] == [100, 101, 102]
    better = text.replace('name = "late"', 'name = "late"\nvalue = 2')
    decisions = decide(better, log)
    assert told(decisions) == [("early", "arbitration"), ("late", None), ("late", "arbitration")]


def test_in_the_order_in_which_they_came_up_whenever_their_hours_end(decide: Decide) -> None:
    text = marketing("a") + marketing("b", listens=VIEW, channel="sms")
    text += quiet("21:00", "08:00", more='rules = ["a"]') + quiet("21:00", "07:00", "p", 'rules = ["b"]')
    log = Log()
    log.event(EVENING, amount=1)
    log.event(EVENING + 1, "view")
    log.tick(DAY)
    assert told(decide(text, log)) == [("a", None), ("b", None)]


def test_one_that_is_held_is_no_rival(decide: Decide) -> None:
    text = marketing("high", "value = 9") + marketing("low") + quiet("21:00", "08:00", more='rules = ["high"]')
    decisions = decide(text, paid(EVENING, ticks=[MORNING]))
    assert [(d.rule, d.gates) for d in decisions] == [
        ("low", {"expired": True}),
        ("high", {"expired": True, "q": True}),
    ]


def test_limits_and_cooldown_are_of_when_it_is_decided(decide: Decide) -> None:
    limit = '[[contact_limit]]\nname = "l"\nmost = 1\nwithin = "1h"\n'
    held = quiet("21:00", "08:00", more='rules = ["m"]')
    text = marketing("m", listens=VIEW) + marketing("n", 'cooldown = "1h"', channel="sms") + limit + held
    log = Log()
    log.event(EVENING, "view")
    log.event(MORNING - HOUR + 1, amount=1)
    log.event(MORNING, amount=1)
    log.tick(DAY)
    assert told(decide(text, log)) == [("n", None), ("m", "l"), ("n", "l")]
    assert told(decide(text.replace(limit, ""), log)) == [("n", None), ("m", None), ("n", "cooldown")]


def test_overlapping_hours_hold_one_after_the_other(decide: Decide) -> None:
    text = (
        marketing("r") + quiet("21:00", "23:00", "first") + quiet("22:00", "01:00", "second") + quiet("02:00", "03:00")
    )
    passed = {"expired": True, "first": True, "second": True, "q": True}
    log = paid(EVENING, ticks=[11 * HOUR - 1, 11 * HOUR, 13 * HOUR - 1, 13 * HOUR])
    decisions = decide(text, log)
    assert [(d.decided_at, d.gates) for d in decisions] == [(NOON + 13 * HOUR, passed)]
    # the second is asked only once the first has passed; what has no time until its end is not held anew
    decisions = decide(text.replace('channel = "push"', 'channel = "push"\nexpires = "3h"'), log)
    assert [(d.decided_at, d.gates) for d in decisions] == [
        (NOON + 11 * HOUR, {"expired": True, "first": True, "second": False})
    ]


def test_a_record_in_the_next_night_holds_anew(decide: Decide) -> None:
    log = paid(EVENING, ticks=[DAY + EVENING, DAY + MORNING - 1, DAY + MORNING])
    decisions = decide(marketing("r", 'expires = "35h"') + NIGHT, log)
    assert (told(decisions), decided_at(decisions)) == ([("r", None)], [DAY + MORNING])
    decisions = decide(marketing("r", 'expires = "34h"') + NIGHT, log)
    assert (told(decisions), decided_at(decisions)) == ([("r", "night")], [DAY + EVENING])


def test_one_held_anew_keeps_its_place(decide: Decide) -> None:
    text = marketing("a", "value = 1") + marketing("b", "value = 1", listens=VIEW)
    text += quiet("21:00", "23:00", "first", 'rules = ["a"]') + quiet("22:00", "01:00", "second")
    log = paid(EVENING)
    log.event(10 * HOUR, "view")
    for at in (11 * HOUR, 13 * HOUR):
        log.tick(at)
    assert told(decide(text, log)) == [("a", None), ("b", "arbitration")]
