"""The comparison of benchmarks/: who needs nothing installed gives the right answer, and a wrong one is noticed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.__main__ import Bench
from benchmarks.contenders import CONTENDERS, ours
from benchmarks.environments import PEERS
from benchmarks.log import EVENT_TYPES, Log, closing_customers, events_of
from benchmarks.reference import triggers_of
from benchmarks.running import RunError, compare
from tests.brokers import apache_kafka

SMALL = Log(events=5_000, customers=500)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
FAUST_HERE = replace(
    BY_NAME["faust-memory"], command=ours(str(PEERS / "faust" / "app.py"), "worker", "-l", "warn")
)  # Faust is in Zhice's own environment


@pytest.mark.kafka
@pytest.mark.slow
def test_contenders_give_the_answer_of_the_reference() -> None:
    """Bench.run raises where a trigger is missing, wrong or double."""
    with apache_kafka() as broker:  # its own: after a run all topics that came meanwhile are deleted
        bench = Bench(broker.address)
        for contender in (BY_NAME["zhice"], FAUST_HERE):
            run = bench.run(contender, SMALL, 1)
            assert run.events == SMALL.events
            assert 0 < run.seconds < (run.durable_s or 0.0)


def test_a_wrong_answer_is_noticed() -> None:
    answer = triggers_of(events_of(SMALL))
    first, *rest = answer.values()
    compare([first, *rest], answer)
    with pytest.raises(RunError, match="1 triggers are missing"):
        compare(rest, answer)
    with pytest.raises(RunError, match="1 triggers came twice"):
        compare([first, first, *rest], answer)
    with pytest.raises(RunError, match="a trigger differs"):
        compare([first._replace(amount=first.amount + 1), *rest], answer)


@pytest.mark.parametrize("skewed", [False, True])
def test_a_log_is_what_the_job_says(skewed: bool) -> None:
    """In order, the same each time, and its closing customers have a trigger at its end."""
    log = replace(SMALL, skewed=skewed)
    events = list(events_of(log))
    assert len(events) == log.events and events == list(events_of(log))
    answer = triggers_of(events)
    assert {trigger.stage for trigger in answer.values()} >= {"apply", "verify"}
    assert {kind for trigger in answer.values() for kind, _ in trigger.counts} == set(EVENT_TYPES)
    times = [trigger.event_time for trigger in answer.values()]
    assert all(one <= other for one, other in pairwise(times))
    assert [trigger.customer_id for trigger in list(answer.values())[-4:]] == closing_customers()
    assert len(answer) > log.events // 100
