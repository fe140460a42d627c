"""The cost of an event, against a fixed loop timed in the same process: no clock, no other machine."""

from __future__ import annotations

import json

from benchmarks.guard import COMMITTED, ratios

GROWTH = 1.5
TRIES = 3  # a busy machine disturbs a measurement; a slower product is slower each time


def test_decoder_and_shard_cost_what_they_did() -> None:
    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))
    measured = [ratios()]
    while len(measured) < TRIES and _grown(committed, measured):
        measured.append(ratios())
    assert not _grown(committed, measured), (
        f"{measured} against {committed}: see where the time goes (benchmarks/README.md), or, where it is worth it, "
        "commit the new cost: python -m benchmarks.guard --write"
    )


def _grown(committed: dict[str, float], measured: list[dict[str, float]]) -> list[str]:
    return [name for name, ratio in committed.items() if min(one[name] for one in measured) > GROWTH * ratio]


def test_a_cost_that_has_doubled_is_seen() -> None:
    assert _grown({"decoder": 1.0, "shard": 1.0}, [{"decoder": 2.0, "shard": 1.4}]) == ["decoder"]
