"""`zhice report`: whom marketing reached, what it met with, what it changed, and who stayed."""

from __future__ import annotations

from typing import Any

import rich_click as click

from sinks.lake import connect
from sinks.report import CONFIDENCE, Effect, effects
from streams.show import by_name, fetched, print_rows, to_json

TITLES = {
    "reach": "Reach of marketing by channel",
    "outcomes_by_rule": "Outcomes of triggers, as shares of them",
    "hand_offs": "Hand-offs of journeys to channels, and the share that was resumed",
    "retention_overall": "Retention of customers who came for the first time",
    "churn": "Churn",
}
SHARES = {
    *("capped", "held_out", "delivered", "exposed", "clicked", "dismissed", "converted", "opted_out"),
    *("resumed", "resumed_there", "day_1", "day_7", "day_30", "churned"),
}


def show_report(lake: str, as_json: bool) -> None:
    """Print the report of a lake; what its catalogue has nothing for is left out. Raises NoLakeError."""
    with connect(lake) as connection:
        has = {name for (name,) in connection.execute("SELECT view_name FROM duckdb_views()").fetchall()}
        found = {view: fetched(connection, f"FROM {view}") for view in TITLES if view in has}
        changed = effects(connection) if "effect_by_rule" in has else []
    if as_json:
        answers = {view: by_name(*answer) for view, answer in found.items()}
        click.echo(to_json({**answers, "effects": changed}))
        return
    for view, (names, rows) in found.items():
        print_rows(names, [_shown(names, row) for row in rows], title=TITLES[view])
    _print_effects(changed)


def _print_effects(changed: list[Effect]) -> None:
    names = [
        "rule",
        "goal",
        "treated",
        "reached it",
        "held out",
        "reached it",
        "effect",
        f"{CONFIDENCE:.0%} from",
        "to",
    ]
    rows = [
        (
            *(one.rule, one.goal, one.treated, _percent(one.treated_rate), one.held_out, _percent(one.held_out_rate)),
            *(_percent(one.effect), _percent(one.low), _percent(one.high)),
        )
        for one in changed
    ]
    print_rows(
        names,
        rows,
        title=f"Effect: customers who reached the goal, treated minus held out, with {CONFIDENCE:.0%} intervals",
    )


def _shown(names: list[str], row: tuple[Any, ...]) -> list[Any]:
    return [_percent(value) if name in SHARES else value for name, value in zip(names, row, strict=True)]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
