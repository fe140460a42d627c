"""`zhice report`: what the views say of a small lake, reckoned by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from models.catalogue import load
from sinks.lake import connect
from sinks.report import effects
from sinks.writer import Lake
from streams.cli import main
from tests.small_logs import DAY, HOUR, START, decided, outputs, records

NOON = START + 12 * HOUR
CUSTOMERS = [f"c{number}" for number in range(60)]
BANK = """
[catalogue]
name = "bank"
time_zone = "Asia/Shanghai"
channels = ["app", "branch"]
[[event]]
name = "apply"
properties = { loan = "string" }
[[event]]
name = "submit"
properties = { loan = "string" }
[[event]]
name = "app_start"
[[event]]
name = "clicked"
properties = { trigger_id = "string" }
[[feature]]
name = "aum"
on = ["apply"]
aggregate = "count"
[[journey]]
name = "loan"
entity = "loan_application"
key = "loan"
stages = ["none", "begun", "sent"]
[[journey.transition]]
from = ["none"]
on = ["apply"]
to = "begun"
[[journey.transition]]
from = ["begun"]
on = ["submit"]
to = "sent"
[[rule]]
name = "resume"
listens = { entered = "loan.begun" }
action = "resume"
channel = "push"
goal = { event = "submit", within = "2d" }
[[rule]]
name = "later"
listens = { event = ["submit"] }
action = "ask"
channel = "sms"
goal = { event = "apply", within = "60d" }
[[contact_limit]]
name = "once"
most = 1
within = "30d"
channels = ["push"]
[[holdout]]
name = "control"
share = 0.4
"""


def log() -> list[dict[str, object]]:
    """All begin a loan, every third twice; every second one sends it a day later, from the app or a branch."""
    events: list[dict[str, object]] = []
    for number, customer in enumerate(CUSTOMERS):
        about = {"customer_id": customer, "properties": {"loan": f"l{number}"}}
        events.append({"event": "apply", "at": NOON, **about})
        if number % 3 == 0:
            events.append({"event": "apply", "at": NOON, "customer_id": customer, "properties": {"loan": f"m{number}"}})
        if number % 2 == 0:
            channel = "app" if number % 4 == 0 else "branch"
            events.append({"event": "submit", "at": NOON + DAY, "channel": channel, **about})
    end = [{"event": "app_start", "at": NOON + days * DAY, "customer_id": "c0"} for days in (2, 3, 70)]
    return sorted(events, key=lambda event: str(event["at"])) + end


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bank, place = load({"bank.toml": BANK}), tmp_path_factory.mktemp("lake")
    events = log()
    decisions = [one for output in outputs(bank, records(events)) for one in decided(output, bank)]
    clicked = next(one.id for one in decisions if one.acted and one.rule == "resume")
    answer = {"event": "clicked", "at": NOON + 70 * DAY, "customer_id": "c1", "properties": {"trigger_id": clicked}}
    writer = Lake(place, bank)
    for output in outputs(bank, records([*events, answer, {**answer, "event_id": "again"}])):
        writer.add(output)
    writer.commit()
    return place


def held_out() -> set[str]:
    (holdout,) = load({"bank.toml": BANK}).holdouts
    return {customer for customer in CUSTOMERS if holdout.has(customer)}


def test_the_effect_counts_customers_once_and_leaves_out_what_is_not_over(lake: Path) -> None:
    control = held_out()
    sent = {customer for number, customer in enumerate(CUSTOMERS) if number % 2 == 0}
    with connect(lake) as connection:
        found = {one.rule: one for one in effects(connection)}
    resume = found["resume"]
    assert 10 < len(control) < 50
    assert (resume.treated, resume.held_out) == (len(CUSTOMERS) - len(control), len(control))
    assert resume.treated_rate == len(sent - control) / resume.treated
    assert resume.held_out_rate == len(sent & control) / resume.held_out
    assert resume.low is not None and resume.high is not None and resume.effect is not None
    assert resume.low < resume.effect < resume.high
    assert (found["later"].treated_rate, found["later"].effect) == (0.0, 0.0), "nobody applied again after sending"


def test_reach_shows_who_was_capped_and_who_was_held_out(lake: Path) -> None:
    control, twice = held_out(), len(CUSTOMERS[::3])
    with connect(lake) as connection:
        rows = connection.execute(
            "SELECT channel, candidates, contacts, customers, capped, held_out FROM reach"
        ).fetchall()
    candidates, acted = len(CUSTOMERS) + twice, len(CUSTOMERS) - len(control)
    assert rows[0] == ("push", candidates, acted, acted, twice / candidates, len(control) / candidates)


def test_outcomes_count_a_trigger_once(lake: Path) -> None:
    with connect(lake) as connection:
        rule, triggers, clicked, converted = connection.execute(
            "SELECT rule, triggers, clicked, converted FROM outcomes_by_rule WHERE clicked > 0"
        ).fetchall()[0]
    assert (rule, clicked, converted) == ("resume", 1 / triggers, 0.0)


def test_hand_offs_say_where_the_instance_went_on(lake: Path) -> None:
    acted = [number for number, customer in enumerate(CUSTOMERS) if customer not in held_out()]
    with connect(lake) as connection:
        ((hand_offs, resumed, there),) = connection.execute(
            "SELECT hand_offs, resumed, resumed_there FROM hand_offs WHERE rule = 'resume'"
        ).fetchall()
    assert hand_offs == len(acted)
    assert resumed == len([number for number in acted if number % 2 == 0]) / len(acted)
    assert there == len([number for number in acted if number % 4 == 0]) / len(acted)


def test_hand_offs_tell_instances_with_one_id_apart(tmp_path: Path) -> None:
    """The order 1 goes on, the loan 1 of the same customer does not."""
    order = """
        [[event]]
        name = "order"
        properties = { order_id = "string" }
        [[journey]]
        name = "purchase"
        entity = "purchase"
        key = "order_id"
        stages = ["cart", "paid"]
        [[journey.transition]]
        from = ["cart"]
        on = ["order"]
        to = "paid"
    """
    bank = load({"bank.toml": BANK.partition("[[holdout]]")[0] + order})
    made = outputs(
        bank,
        records(
            [
                {"event": "apply", "at": NOON, "properties": {"loan": "1"}},
                {"event": "order", "at": NOON + HOUR, "properties": {"order_id": "1"}},
            ]
        ),
    )
    writer = Lake(tmp_path, bank)
    for output in made:
        writer.add(output)
    writer.commit()
    with connect(tmp_path) as connection:
        assert connection.execute("SELECT rule, hand_offs, resumed FROM hand_offs").fetchall() == [("resume", 1, 0.0)]


def test_churn_and_retention(lake: Path) -> None:
    with connect(lake) as connection:
        assert connection.execute("SELECT customers, inactive_60d, churned FROM churn").fetchall() == [
            (60, 58, 58 / 60)
        ]
        assert connection.execute("SELECT customers, day_1, day_7, day_30 FROM retention_overall").fetchall() == [
            (1, 1.0, 0.0, 0.0)
        ]


def test_the_command_prints_all_of_it_plain_and_as_json(lake: Path) -> None:
    shown = CliRunner().invoke(main, ["report", "--lake", str(lake)])
    assert shown.exit_code == 0
    for title in ("Reach of marketing", "Outcomes of triggers", "Hand-offs", "Retention", "Churn", "Effect: customers"):
        assert title in shown.output
    assert "%" in shown.output
    printed = CliRunner().invoke(main, ["report", "--lake", str(lake), "--json"])
    assert '"effects":[{"rule":"resume"' in printed.output


def test_a_lake_that_is_not_there_is_said(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["report", "--lake", str(tmp_path / "none")])
    assert (answer.exit_code, "there is no lake at" in answer.output) == (1, True)
