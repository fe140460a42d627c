"""Kill -9 in the middle, and SIGTERM, on a broker without transactions; tests/chaos does more, with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.settings import Settings
from tests.integration.worked import assert_exact, prepare
from tests.workers import archived, kill, start_worker, stop, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
DEADLINE_S = 90


def wait_until_restored(settings: Settings, log: Path, before: int) -> None:
    """Until the worker whose log begins after `before` characters has said that each partition is restored."""
    wait_for(
        lambda: log.read_text()[before:].count("restored partition") >= settings.partitions,
        "every partition is restored, also those without new records",
        DEADLINE_S,
        log,
    )


def test_two_kills_and_a_stop(embedded_broker: Any, topic_prefix: str, tmp_path: Path) -> None:
    settings, records = prepare(embedded_broker, topic_prefix, tmp_path)
    log = tmp_path / "worker.log"
    for share in (0.2, 0.5):
        worker = start_worker(settings, log)
        wait_for(lambda share=share: archived(settings.lake) >= records * share, "some", DEADLINE_S, log)  # type: ignore[misc]
        kill(worker)
    before = len(log.read_text())
    worker = start_worker(settings, log)
    wait_until_restored(settings, log, before)
    wait_for(lambda: archived(settings.lake) >= records, "all", DEADLINE_S, log)
    stop(worker, log)
    assert_exact(settings, records)
