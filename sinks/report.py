"""What actions changed: treated minus held out, by intention to treat, with a confidence interval."""

from __future__ import annotations

from math import hypot

import duckdb
import msgspec

CONFIDENCE = 0.95


class Effect(msgspec.Struct, frozen=True):
    """Of one rule: customers acted on and held out, the shares that reached its goal, and their difference.

    `low` and `high` bound the difference with CONFIDENCE; NULL where one side has nobody.
    """

    rule: str
    goal: str
    treated: int
    treated_rate: float | None
    held_out: int
    held_out_rate: float | None
    effect: float | None
    low: float | None
    high: float | None


def effects(connection: duckdb.DuckDBPyConnection) -> list[Effect]:
    """Of each rule with a goal, those with the most treated first. The lake must have the view effect_by_rule."""
    columns = "rule, goal, treated, treated_reached, held_out, held_out_reached"
    return [_effect(*row) for row in connection.execute(f"SELECT {columns} FROM effect_by_rule").fetchall()]


def _effect(rule: str, goal: str, treated: int, reached: int, held_out: int, held_out_reached: int) -> Effect:
    interval = difference(reached, treated, held_out_reached, held_out) if treated and held_out else (None, None, None)
    rates = reached / treated if treated else None, held_out_reached / held_out if held_out else None
    return Effect(rule, goal, treated, rates[0], held_out, rates[1], *interval)


def difference(reached: int, total: int, other_reached: int, other_total: int) -> tuple[float, float, float]:
    """The difference of two shares and its interval: Newcombe's hybrid score (1998, method 10), from Wilson's.

    >>> [round(x, 4) for x in difference(56, 70, 48, 80)]  # Newcombe's own example (a)
    [0.2, 0.0524, 0.3339]
    """
    share, low, high = _wilson(reached, total)
    other, other_low, other_high = _wilson(other_reached, other_total)
    gap = share - other
    return gap, gap - hypot(share - low, other_high - other), gap + hypot(high - share, other - other_low)


def _wilson(reached: int, total: int) -> tuple[float, float, float]:
    from scipy.stats import binomtest  # late: a second to import, and a lake without holdouts needs none

    interval = binomtest(reached, total).proportion_ci(CONFIDENCE, method="wilson")
    return reached / total, float(interval.low), float(interval.high)
