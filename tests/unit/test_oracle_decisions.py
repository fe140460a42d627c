"""Moments, arbitration, contact limits and holdouts of docs/semantics.md: answers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from models.published import Decision
from tests.oracle_bench import (
    DAY,
    HOUR,
    JOURNEY,
    KEYED,
    MINUTE,
    NOON,
    PAY,
    Decide,
    Log,
    engine_decides,
    feature,
    marketing,
    oracle_decides,
    rule,
    told,
)

pytestmark = pytest.mark.parametrize("decide", [oracle_decides, engine_decides])


def gates(decisions: Sequence[Decision]) -> list[dict[str, bool]]:
    return [decision.gates for decision in decisions]


def pays(*times: int, customer: str = "c1") -> Log:
    log = Log()
    for at in times:
        log.event(at, customer=customer, amount=1)
    return log


PASSED, WON, LOST = (
    {"expired": True},
    {"expired": True, "arbitration": True},
    {"expired": True, "arbitration": False},
)


# The moment


def test_timers_and_the_event_of_one_record_are_one_moment(decide: Decide) -> None:
    late = marketing("late", listens='timeout = "j.paid"', more="value = 1")
    text = JOURNEY + late + marketing("now", "value = 2") + marketing("low", "value = 0.5")
    log = pays(0, 2 * HOUR)
    assert told(decide(text, log)) == [
        *[("now", None), ("low", "arbitration")],  # at noon
        *[("late", "arbitration"), ("now", None), ("low", "arbitration")],
    ]


def test_each_customer_has_a_moment_of_their_own(decide: Decide) -> None:
    text = JOURNEY + marketing("a", listens='timeout = "j.paid"') + marketing("b", listens='entered = "j.gone"')
    log = Log()
    log.event(0, amount=1, customer="c2")
    log.event(1, amount=1, customer="c1")
    log.tick(HOUR + 1)
    decisions = decide(text, log)
    assert [(d.customer_id, d.rule, d.gate) for d in decisions] == [
        *[("c2", "a", None), ("c2", "b", "arbitration")],
        *[("c1", "a", None), ("c1", "b", "arbitration")],
    ]
    assert [(d.seq, d.decided_at) for d in decisions] == [(n, NOON + HOUR + 1) for n in (1, 2, 4, 5)]


def test_customers_are_no_rivals_of_each_other(decide: Decide) -> None:
    log = Log()
    for customer in ("c1", "c2"):
        log.event(0, customer=customer, amount=1)
    log.tick(HOUR)
    assert gates(decide(JOURNEY + marketing("r", listens='timeout = "j.paid"'), log)) == [PASSED, PASSED]


def test_two_records_of_one_time_are_two_moments(decide: Decide) -> None:
    text = marketing("a") + marketing("b", listens='event = ["view"]')
    log = Log()
    log.event(0, amount=1)
    log.event(0, "view")
    assert gates(decide(text, log)) == [PASSED, PASSED]


def test_what_holds_for_a_gate_is_what_the_rows_said_when_the_candidate_came_up(decide: Decide) -> None:
    gate = '[[gate]]\nname = "poor"\nwhen = "f < 2"\n'
    text = feature("sum") + JOURNEY + marketing("late", listens='timeout = "j.paid"') + rule("now", PAY) + gate
    assert told(decide(text, pays(0, 2 * HOUR))) == [("now", None), ("late", None), ("now", "poor")]


# Arbitration


def test_the_highest_score_acts_and_decisions_keep_the_order_of_candidates(decide: Decide) -> None:
    text = marketing("a", "value = 1") + marketing("b", "value = 3") + marketing("c", "value = 2")
    decisions = decide(text, pays(0))
    assert told(decisions) == [("a", "arbitration"), ("b", None), ("c", "arbitration")]
    assert gates(decisions) == [LOST, WON, LOST]
    assert [(d.acted, d.seq) for d in decisions] == [(False, 0), (True, 1), (False, 2)]


def test_of_equal_scores_the_first_to_come_up_acts(decide: Decide) -> None:
    text = marketing("a", "value = 0.5\nlever = 4") + marketing("b", "propensity = 2") + marketing("c")
    assert told(decide(text, pays(0))) == [("a", None), ("b", "arbitration"), ("c", "arbitration")]


def test_channels_are_apart_and_alone_there_is_no_arbitration(decide: Decide) -> None:
    text = marketing("a", "value = 1") + marketing("b", "value = 2", channel="sms")
    assert gates(decide(text, pays(0))) == [PASSED, PASSED]


def test_service_is_no_rival(decide: Decide) -> None:
    text = marketing("m", "value = 9") + rule("s", PAY) + rule("t", PAY)
    assert gates(decide(text, pays(0))) == [PASSED, PASSED, PASSED]
    assert gates(decide(text + marketing("n"), pays(0))) == [WON, PASSED, PASSED, LOST]


def test_only_what_comes_as_far_is_a_rival(decide: Decide) -> None:
    gate = '[[gate]]\nname = "no"\nrules = ["high"]\nwhen = "f > 99"\n'
    text = feature("sum") + marketing("high", "value = 9") + marketing("late", 'value = 8\nexpires = "1s"')
    log = Log()
    log.event(2 * MINUTE, time=0, amount=1)
    assert gates(decide(text + marketing("low") + gate, log)) == [
        {"expired": True, "no": False},
        {"expired": False},
        PASSED,
    ]


def test_what_a_later_gate_stops_does_not_take_the_channel(decide: Decide) -> None:
    text = marketing("high", 'value = 2\ncooldown = "1h"') + marketing("low")
    decisions = decide(text, pays(0, 1))
    assert told(decisions) == [("high", None), ("low", "arbitration"), ("high", "cooldown"), ("low", None)]
    assert gates(decisions)[2:] == [{**WON, "cooldown": False}, WON]


FOUR_AND_A_HALF = "propensity = 0.5\ncontext = 3\nvalue = 2\nlever = 1.5"


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ("value = 4.25", FOUR_AND_A_HALF),
        (FOUR_AND_A_HALF, 'propensity = -3\nlever = "-1.51"'),
        ("propensity = -3\nlever = 1.51", "context = 0"),
    ],
)
def test_a_score_is_the_product_of_its_factors(decide: Decide, worse: str, better: str) -> None:
    text = marketing("a", worse) + marketing("b", better)
    assert told(decide(text, pays(0))) == [("a", "arbitration"), ("b", None)]


@pytest.mark.parametrize(("factor", "best"), [("f", "a"), ("-f", "b"), ("n", "b"), ("n + 5", "b"), ("0 - n", "b")])
def test_factors_are_expressions_and_null_counts_as_nought(decide: Decide, factor: str, best: str) -> None:
    text = feature("sum") + feature("min", "where = \"direction = 'out'\"", "n")
    text += marketing("b", "value = 0") + marketing("a", f'value = "{factor}"\nlever = 2')
    assert [d.rule for d in decide(text, pays(0)) if d.acted] == [best]


def test_null_outranks_what_is_negative(decide: Decide) -> None:
    text = feature("min", "where = \"direction = 'out'\"", "n")
    text += marketing("a", "value = -1") + marketing("b", 'value = "n"\nlever = 7')
    assert told(decide(text, pays(0))) == [("a", "arbitration"), ("b", None)]


def test_factors_read_stages_and_features_of_the_rules_own_entity(decide: Decide) -> None:
    own = '[[feature]]\nname = "g"\nentity = "order"\non = ["pay"]\naggregate = "sum"\nvalue = "amount"\n'
    score = "value = \"CASE WHEN o_stage = 'done' THEN g END\""
    text = feature("sum") + KEYED + own + marketing("a", 'value = "f / 2"')
    text += marketing("b", f'entity = "order"\n{score}')
    log = Log()
    log.event(0, amount=4, order_id="x")  # 2 against 4
    log.event(1, amount=1, order_id="y")  # 2.5 against 1
    decisions = decide(text, log)
    assert [(d.rule, d.entity_id) for d in decisions if d.acted] == [("b", "x"), ("a", None)]
    assert gates(decisions) == [LOST, WON, WON, LOST]


def test_instances_of_one_customer_are_rivals(decide: Decide) -> None:
    timeout = '[[journey.timeout]]\nin = "open"\nafter = "1h"\nto = "done"\nrestarted_by = ["view"]\n'
    text = KEYED + timeout + marketing("r", listens='timeout = "o.open"')
    log = Log()
    for customer, key in (("c1", "x"), ("c1", "y"), ("c2", "x")):
        log.event(0, "view", customer=customer, order_id=key)
    log.tick(HOUR)
    assert [(d.customer_id, d.entity_id, d.gate) for d in decide(text, log)] == [
        ("c1", "x", None),
        ("c1", "y", "arbitration"),
        ("c2", "x", None),
    ]


# Contact limits


def limit(more: str, name: str = "l") -> str:
    return f'[[contact_limit]]\nname = "{name}"\n{more}\n'


def test_contacts_are_counted_in_a_half_open_window_up_to_the_clock(decide: Decide) -> None:
    text = marketing("r") + limit('most = 2\nwithin = "1h"')
    decisions = decide(text, pays(0, 5, HOUR - 1, HOUR, HOUR + 4, HOUR + 5))
    assert [d.gate for d in decisions] == [None, None, "l", None, "l", None]
    assert gates(decisions)[1:3] == [{"expired": True, "l": True}, {"expired": True, "l": False}]


def test_a_limit_is_by_customer(decide: Decide) -> None:
    log = pays(0)
    log.event(1, customer="c2", amount=1)
    log.event(2, amount=1)
    assert [d.gate for d in decide(marketing("r") + limit('most = 1\nwithin = "1h"'), log)] == [None, None, "l"]


def test_contacts_of_one_moment_count_in_its_order(decide: Decide) -> None:
    text = marketing("a", "value = 1") + marketing("b", "value = 2", channel="sms")
    text += marketing("c", "value = 3", channel="mail") + limit('most = 2\nwithin = "1d"')
    assert told(decide(text, pays(0))) == [("a", "l"), ("b", None), ("c", None)]


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        ("customer", ["push1"]),
        ("channel", ["push1", "sms1"]),
        ("group", ["push1", "push2", "push3", "sms3"]),  # 1 and 2 are of groups of their own, 3 of none
        ("rule", ["push1", "push2", "push3", "sms1", "sms2", "sms3"]),
    ],
)
def test_per_makes_of_one_limit_several(decide: Decide, per: str, expected: list[str]) -> None:
    groups = {"1": 'group = "x"\n', "2": 'group = "y"\n', "3": ""}
    text = limit(f'most = 1\nwithin = "1d"\nper = "{per}"')
    log = Log()
    for number, name in enumerate(f"{channel}{group}" for channel in ("push", "sms") for group in groups):
        text += marketing(name, f'{groups[name[-1]]}when = "amount = {number}"', channel=name[:-1])
        log.event(number, amount=number)
    decisions = decide(text, log)
    assert [d.rule for d in decisions if d.acted] == expected
    assert {d.gate for d in decisions if not d.acted} <= {"l"}
    shown = {d.rule: "l" in d.gates for d in decisions}
    assert shown == {d.rule: per != "group" or d.rule[-1] != "3" for d in decisions}


def test_limits_without_kinds_are_for_marketing_alone(decide: Decide) -> None:
    text = rule("s", PAY) + marketing("m") + limit('most = 1\nwithin = "1d"')
    assert told(decide(text, pays(0, 1))) == [("s", None), ("m", None), ("s", None), ("m", "l")]


def test_of_both_kinds_service_comes_first_and_fills_the_limit(decide: Decide) -> None:
    text = marketing("m", "value = 9") + rule("s", PAY, "value = -1") + rule("t", PAY)
    text += limit('most = 1\nwithin = "1d"\nkinds = ["marketing", "service"]')
    assert told(decide(text, pays(0))) == [("m", "l"), ("s", None), ("t", "l")]


def test_scopes_of_channels_groups_and_rules_must_all_hold(decide: Decide) -> None:
    names = ("push", "x", "a"), ("push", "x", "b"), ("sms", "x", "c"), ("push", "y", "d"), ("push", None, "e")
    text = limit('most = 1\nwithin = "1d"\nchannels = ["push"]\ngroups = ["x"]\nrules = ["a", "c", "d", "e"]')
    log = Log()
    for number, (channel, group, name) in enumerate(names):
        in_group = f'group = "{group}"\n' if group else ""
        text += marketing(name, f'{in_group}when = "amount = {number}"', channel=channel)
        log.event(2 * number, amount=number)
        log.event(2 * number + 1, amount=number)
    decisions = decide(text, log)
    assert [d.rule for d in decisions if "l" in d.gates] == ["a", "a"]
    assert [d.rule for d in decisions if not d.acted] == ["a"]


def test_limits_are_asked_in_catalogue_order_before_cooldown(decide: Decide) -> None:
    text = limit('most = 2\nwithin = "1d"', "day") + limit('most = 1\nwithin = "1h"', "hour")
    decisions = decide(marketing("r", 'cooldown = "2h"') + text, pays(0, 1, HOUR, 2 * HOUR, 4 * HOUR))
    assert gates(decisions) == [
        {"expired": True, "day": True, "hour": True, "cooldown": True},
        {"expired": True, "day": True, "hour": False},
        {"expired": True, "day": True, "hour": True, "cooldown": False},
        {"expired": True, "day": True, "hour": True, "cooldown": True},
        {"expired": True, "day": False},
    ]


def test_what_is_stopped_makes_no_contact_and_the_next_in_score_may_act(decide: Decide) -> None:
    text = marketing("high", 'value = 2\ngroup = "x"') + marketing("low")
    decisions = decide(text + limit('most = 1\nwithin = "1d"\ngroups = ["x"]'), pays(0, 1))
    assert told(decisions) == [("high", None), ("low", "arbitration"), ("high", "l"), ("low", None)]
    assert gates(decisions)[2:] == [{**WON, "l": False}, WON]


# Holdouts


def holdout(share: float, more: str = "", name: str = "h") -> str:
    return f'[[holdout]]\nname = "{name}"\nshare = {share}\n{more}\n'


@pytest.mark.parametrize(
    ("customer", "share", "acted"),  # of h:c1 the hash begins with bea140c763217979, of h:客户 with d9731f13f2131204
    [
        *[("c1", 0, True), ("c1", 0.7446480, True), ("c1", 0.7446481, False), ("c1", 0.999, False)],
        *[("客户", 0.8494128, True), ("客户", 0.8494129, False)],
    ],
)
def test_who_is_held_out(decide: Decide, customer: str, share: float, acted: bool) -> None:
    [decision] = decide(marketing("r") + holdout(share), pays(0, customer=customer))
    assert (decision.acted, decision.gate) == (acted, None if acted else "h")
    assert decision.gates == {"expired": True, "h": acted}


def test_holdouts_are_asked_last_for_their_scope_marketing_if_they_do_not_say(decide: Decide) -> None:
    text = rule("s", PAY, 'cooldown = "1h"') + marketing("m", channel="sms") + marketing("n", 'cooldown = "1h"')
    text += holdout(0.9, 'kinds = ["service"]') + holdout(0.9, 'channels = ["push"]', "k") + holdout(0.8, name="h2")
    decisions = decide(text, pays(0, customer="c2"))
    assert [list(gates) for gates in gates(decisions)] == [
        ["expired", "cooldown", "h"],
        ["expired", "h2"],
        ["expired", "cooldown", "k"],
    ]


def test_one_held_out_meets_the_same_gates_as_one_that_is_not(decide: Decide) -> None:
    text = marketing("a", 'value = 2\ncooldown = "1h"') + marketing("b") + limit('most = 2\nwithin = "1d"')
    log = [0, 1, 2, HOUR]
    free, held_out = decide(text, pays(*log)), decide(text + holdout(0.9), pays(*log))
    assert told(free) == [
        *[("a", None), ("b", "arbitration")],
        *[("a", "cooldown"), ("b", None)],
        *[("a", "l"), ("b", "l")],
        *[("a", "l"), ("b", "l")],
    ]
    assert told(held_out) == [(name, gate or "h") for name, gate in told(free)]
    assert not any(decision.acted for decision in held_out)


def test_the_first_holdout_that_has_the_customer_is_the_reason(decide: Decide) -> None:
    [decision] = decide(marketing("r") + holdout(0.1) + holdout(0.95, name="k") + holdout(0.99, name="i"), pays(0))
    assert decision.gates == {"expired": True, "h": True, "k": False}


# Gates


def test_gates_have_scopes_too_and_are_for_both_kinds(decide: Decide) -> None:
    text = rule("s", PAY, 'group = "x"') + marketing("m", 'group = "x"') + marketing("n", 'group = "y"', channel="sms")
    text += marketing("o", channel="mail")
    for name, scope in (("all", ""), ("x", 'groups = ["x"]'), ("y", 'groups = ["y"]\nkinds = ["marketing"]')):
        text += f'[[gate]]\nname = "{name}"\n{scope}\nwhen = "TRUE"\n'
    text += '[[gate]]\nname = "one"\nrules = ["m", "n"]\nchannels = ["push"]\nwhen = "1 = 1"\n'
    assert [list(gates)[1:] for gates in gates(decide(text, pays(0)))] == [
        ["all", "x"],
        ["all", "x", "one"],
        ["all", "y"],
        ["all"],
    ]


def test_cooldown_within_a_moment_is_by_what_acted_before(decide: Decide) -> None:
    twice = rule("r", 'timeout = "j.paid", after = "30m"', f'cooldown = "{MINUTE // 1000}s"')
    restarts = JOURNEY + '[[journey.timeout]]\nin = "gone"\nafter = "1h"\nto = "paid"\n'
    log = pays(0)
    log.tick(DAY)
    decisions = decide(restarts + twice, log)
    assert len(decisions) == 12
    assert [d.gate for d in decisions] == [None, *["cooldown"] * 11]
