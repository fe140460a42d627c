"""A short run of the scenarios of `make chaos`. One that fails prints its seed; SEED=… replays it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.kafka_broker import ApacheKafka, missing_for_apache_kafka
from tests.chaos.arena import ChaosError, Ground
from tests.chaos.report import line
from tests.chaos.scenarios import NO_DISK, SCENARIOS, SHORT

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
SEED = int(os.environ.get("SEED") or 1)
OWN_BROKER = ("broker",)
TOO_LONG = ("leaders",)  # three brokers are for `make chaos`


@pytest.fixture(scope="module")
def kafka() -> Iterator[ApacheKafka]:
    missing = missing_for_apache_kafka()
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Apache Kafka to test with: install {missing}")
    with ApacheKafka() as broker:
        yield broker


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in TOO_LONG])
def test_nothing_is_lost_and_nothing_doubled(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    broker = None if name in OWN_BROKER else request.getfixturevalue("kafka")
    try:
        outcome = SCENARIOS[name](Ground(broker, tmp_path, SEED, print), SHORT)
    except ChaosError as error:
        if NO_DISK in str(error):
            pytest.skip(str(error))
        raise
    print(line(outcome))
    assert not outcome.wrong, f"SEED={SEED}: {line(outcome)}"
    assert outcome.comparison.triggers > 100 and outcome.faults > 0
