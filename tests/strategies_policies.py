"""Random policies and scores: what holds actions back, and what makes one of several rules act."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.strategies_expressions import Scope, number, predicate

CONSTANTS = (0, 1, 1, 2, 0.5, -1, -2.5, "3", "-0.25")
FACTORS = ("propensity", "context", "value", "lever")
DAY_MINUTES = 24 * 60

Table = dict[str, Any]


def factors(random: Random, scope: Scope) -> Table:
    """Some of the factors of a score: constants and expressions, that are negative, NULL or equal at times."""
    if random.random() < 0.3:
        return {}
    return {name: _factor(random, scope) for name in FACTORS if random.random() < 0.5}


def _factor(random: Random, scope: Scope) -> str | int | float:
    form = random.randrange(6)
    if form < 2:
        return random.choice(CONSTANTS)
    if form == 2:
        return f"CASE WHEN {predicate(random, scope, 1)} THEN {number(random, scope)} END"
    return number(random, scope)


def scope_of(random: Random, rules: Sequence[Table], kinds: float) -> Table:
    """Which rules a policy is for; `kinds` is how likely it says of which kinds."""
    scope: Table = {}
    if random.random() < kinds:
        scope["kinds"] = random.choice((["marketing"], ["service"], ["marketing", "service"], ["service", "marketing"]))
    for field, attribute in (("channels", "channel"), ("groups", "group"), ("rules", "name")):
        known = sorted({rule[attribute] for rule in rules if attribute in rule})
        if known and random.random() < 0.2:
            scope[field] = random.sample(known, random.randint(1, len(known)))
    return scope


def quiet_hours(random: Random, rules: Sequence[Table], start: int) -> Table:
    """Of minutes or of hours, most often near `start`, the log's first minute of the day."""
    near = random.random() < 0.8
    first = start + random.randint(-4 * 60, 10 * 60) if near else random.randrange(DAY_MINUTES)
    length = random.choice((1, random.randint(1, 40), random.randint(20, 200), random.randint(40, 1000)))
    times = {"from": _time_of_day(first), "until": _time_of_day(first + length)}
    return {**times, **scope_of(random, rules, kinds=0.4)}


def contact_limit(random: Random, rules: Sequence[Table], durations: Sequence[str]) -> Table:
    """At most few, within a time that logs may pass."""
    limit = {"most": random.choice((1, 1, 2, 3, 5)), "within": random.choice(durations)}
    per = random.choice(("customer", "channel", "group", "rule", None))
    return {**limit, **({"per": per} if per else {}), **scope_of(random, rules, kinds=0.4)}


def holdout(random: Random, rules: Sequence[Table]) -> Table:
    return {"share": random.choice((0, 0.0, 0.25, 0.5, 0.5, 0.9)), **scope_of(random, rules, kinds=0.4)}


def _time_of_day(minute: int) -> str:
    return f"{minute // 60 % 24:02}:{minute % 60:02}"
