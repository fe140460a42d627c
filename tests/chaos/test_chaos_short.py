"""A short run of the scenarios of `make chaos`. One that fails prints its seed; SEED=… replays it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.kafka_broker import missing_for_apache_kafka
from tests.brokers import Broker
from tests.chaos.__main__ import OWN_BROKER
from tests.chaos.arena import ChaosError, Ground, Outcome
from tests.chaos.report import line
from tests.chaos.scenarios import NO_DISK, SCENARIOS, SHORT

pytestmark = [pytest.mark.kafka, pytest.mark.slow]  # one after another: tests/conftest.py
SEED = int(os.environ.get("SEED") or 1)


def outcome_of(name: str, broker: Broker | None, folder: Path) -> Outcome:
    """Of a short run; skips what this machine cannot do."""
    try:
        outcome = SCENARIOS[name](Ground(broker, folder, SEED, print), SHORT)
    except ChaosError as error:
        if NO_DISK in str(error):
            pytest.skip(str(error))
        raise
    print(line(outcome))
    return outcome


def assert_right(outcome: Outcome) -> None:
    assert not outcome.wrong, f"SEED={SEED}: {line(outcome)}"
    assert outcome.comparison.triggers > 100 and outcome.faults > 0


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in OWN_BROKER])
def test_nothing_is_lost_and_nothing_doubled(name: str, apache_kafka: Broker, tmp_path: Path) -> None:
    outcome = outcome_of(name, apache_kafka, tmp_path)
    assert_right(outcome)
    if name == "crash_points":  # one worker after another: each knows all that was sent
        assert outcome.comparison.wire_duplicates == 0


@pytest.mark.skipif(bool(missing_for_apache_kafka()), reason="brokers that are killed are processes of this machine")
@pytest.mark.parametrize("name", OWN_BROKER)
def test_brokers_that_die(name: str, tmp_path: Path) -> None:
    assert_right(outcome_of(name, None, tmp_path))
