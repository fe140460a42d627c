"""What the log says of strays."""

from __future__ import annotations

import pytest

from streams import telemetry
from streams.telemetry import Telemetry


def test_the_warning_about_strays_counts_all_so_far(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It gave the number of one batch, most often 1, as if there were no others."""
    counted = Telemetry()
    for count in (1, 500):
        counted.strays(3, count)
    counted.strays(2, 70)
    monkeypatch.setattr(telemetry, "STRAYS_SAID_S", -1.0)
    counted.strays(3, 1_000)
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(", and")[0] for line in said] == [
        "events in partition 3 belong to others, 1 so far",
        "events in partition 3 belong to others, 1501 so far",
    ]
