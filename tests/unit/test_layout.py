"""The order of cells and programs: what an event feeds lies side by side, what several share is there once."""

from __future__ import annotations

from models.catalogue import load
from models.layout import Layout
from streams.catalogues import read_catalogue

BANK = """
[catalogue]
name = "bank"
time_zone = "Asia/Shanghai"

[[event]]
name = "pay"
properties = { amount = "number" }

[[event]]
name = "login"
"""
FEATURE = '[[feature]]\nname = "{name}"\non = ["{on}"]\naggregate = "{aggregate}"\nwindow = "7d"\n{more}\n'
LARGE = 'where = "amount >= 5"'


def bank(*features: tuple[str, str, str]) -> Layout:
    """Features over seven days: (event, aggregate, what else)."""
    tables = (
        FEATURE.format(name=f"f{number}", on=on, aggregate=aggregate, more=more)
        for number, (on, aggregate, more) in enumerate(features)
    )
    return Layout.compile(load({"bank.toml": BANK + "".join(tables)}))


def test_equal_predicates_are_one_program() -> None:
    layout = bank(
        ("pay", "count", LARGE),
        ("login", "count", ""),
        ("pay", "sum", f'value = "amount"\n{LARGE}'),
        ("pay", "max", 'value = "amount"\nwhere = "amount >= 6"'),
    )
    where = layout.plan.acc_where[layout.plan.feature_acc].tolist()
    assert where[0] == where[2] >= 0 and where[1] == -1 and where[3] not in where[:3]


def test_what_an_event_feeds_is_a_run_of_cells() -> None:
    """Whatever the order in which features are declared, and those under one predicate follow one another."""
    layout = bank(
        ("pay", "sum", f'value = "amount"\n{LARGE}'),
        ("login", "count", ""),
        ("pay", "min", 'value = "amount"'),
        ("pay", "count", LARGE),
    )
    plan = layout.plan
    pay = layout.events["pay"] * len(layout.entities)
    fed = plan.event_acc[plan.event_acc_bounds[pay] : plan.event_acc_bounds[pay + 1]].tolist()
    cells = sorted((layout.accumulators[number].cell, layout.accumulators[number].cells) for number in fed)
    assert [first + count for first, count in cells[:-1]] == [first for first, _ in cells[1:]]
    assert [layout.accumulators[number].where for number in fed] == [None, "amount >= 5", "amount >= 5"]


def test_features_keep_their_accumulators_in_the_default_catalogue() -> None:
    catalogue = read_catalogue()
    layout = Layout.compile(catalogue)
    for feature, number in zip(catalogue.features, layout.plan.feature_acc.tolist(), strict=True):
        found = layout.accumulators[number]
        assert (found.on, found.where, found.value) == (feature.on, feature.where, feature.value)
        assert found.aggregate.name.lower() == feature.aggregate
