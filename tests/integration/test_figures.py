"""The product's own figures (benchmarks/figures): all of them can be measured and are sane; never the clock."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import profile, steps
from benchmarks.figures.__main__ import FIGURES
from benchmarks.figures.latency import latencies
from benchmarks.figures.load import Load
from benchmarks.figures.report import measured, refresh
from streams.simulate import SimulationSettings

ALONE = ("backtest", "costs", "lake", "views")  # without a broker


def rows(lines: list[str]) -> list[list[str]]:
    """The cells of tables, without their heads."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rules = [at for at, row in enumerate(cells) if set("".join(row)) <= set("-:")]
    return [row for at, row in enumerate(cells) if at not in rules and at + 1 not in rules]


def numbers(row: list[str]) -> list[float]:
    """The first number of each cell that has one."""
    found = [re.match(r"-?[\d,]+(\.\d+)?(e[-+]\d+)?", cell) for cell in row]
    return [float(one[0].replace(",", "")) for one in found if one]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_figures_without_a_broker_are_sane(name: str, tmp_path: Path) -> None:
    figure = FIGURES[name]
    found = rows(list(figure.measure(figure.small, tmp_path)))
    assert len(found) >= {"backtest": 1, "costs": 4, "lake": 7, "views": 3}[name]
    assert all(value > 0 for row in found for value in numbers(row))


@pytest.mark.kafka
@pytest.mark.slow
def test_every_trigger_of_a_load_is_timed(tmp_path: Path) -> None:
    figure = FIGURES["latency"]
    size = figure.small
    (row,) = rows(list(figure.measure(size, tmp_path)))
    rate, reached, triggers, *percentiles, _, missing = numbers(row)
    assert (rate, triggers, missing) == (200, 60, 0)
    assert 0 < reached < 2 * rate
    assert 0 < percentiles[0] and percentiles == sorted(percentiles)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("name", ["workers", "recovery"])
def test_figures_of_workers_are_sane(name: str, tmp_path: Path) -> None:
    figure = FIGURES[name]
    found = rows(list(figure.measure(figure.small, tmp_path)))
    assert found and all(value >= 0 for row in found for value in numbers(row))
    if name == "recovery":
        assert next(numbers(row)[-1] for row in found if row[0] == "customers restored") == 500


@pytest.mark.kafka
@pytest.mark.slow
def test_a_profile_shares_out_what_a_worker_used() -> None:
    """Of twenty thousand events a fast machine shows few samples: the work on them is seen, not each step of it."""
    found = dict(profile.measure(SimulationSettings(events=20_000, customers=2_000, days=30)))
    whole = found.pop("all")
    assert set(found) <= {*profile.STEPS, profile.OTHER, profile.NATIVE}
    assert sum(found.get(step, 0.0) for step in ("decode to columns", "engine", "profiles", "encode", "lake")) > 0
    assert sum(found.values()) == pytest.approx(whole)


def test_what_never_came_is_slower_than_any_percentile() -> None:
    """Latency counts from the schedule, and leaves the warm-up out."""
    load = Load(rate=10, seconds=4, customers=9, calls_every=5, start=100.0)
    arrived = {0: 100.9, 20: 102.25, 25: 102.5 + 0.5, 35: 103.6}
    assert load.calls == 8
    found = latencies(load, arrived, warm_s=2)
    assert np.allclose(found, [250.0, 500.0, np.inf, 100.0])
    assert np.percentile(found, 99, method="higher") == np.inf


def test_a_section_is_measured_anew_and_others_stay(tmp_path: Path) -> None:
    report, titles = tmp_path / "figures.md", ["One", "Other"]
    for title, text in (("Other", "first"), ("One", "second"), ("Other", "third")):
        lines = measured(lambda text=text: [text], "the command", "a note")  # type: ignore[misc]
        refresh(report, titles, title, lines)
    found = report.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", found, re.MULTILINE) == titles
    assert "second" in found and "third" in found and "first" not in found
    assert found.count("`the command`") == found.count("a note") == 2
    assert found.count("load ") == 2


def test_the_steps_of_a_backtest_are_nearly_all_that_it_uses() -> None:
    found = dict(steps.measure(SimulationSettings(events=20_000, customers=2_000, days=30)))
    whole = found.pop("all")
    assert set(found) == set(steps.STEPS) and min(found.values()) >= 0.0
    assert 0.3 * whole < sum(found.values()) <= whole


def test_a_step_counts_its_own_time() -> None:
    watch = steps.Stopwatch()

    def work() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    def values() -> Iterator[int]:
        work()
        yield 1
        work()

    inner, outer = watch.wrapped("inner", values), watch.wrapped("outer", lambda: [*inner(), work()])
    begun = time.thread_time()
    outer()
    assert watch.seconds["inner"] >= 0.04 and watch.seconds["outer"] >= 0.02
    assert watch.seconds.total() <= time.thread_time() - begun
