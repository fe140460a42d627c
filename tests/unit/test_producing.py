"""What a replay says where the broker does not take its records as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from streams import producing
from streams.producing import ReplayError, produce
from streams.sending import MoreRecordsError
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MoreRecordsError("partition 3 has more records."), "has more records. Begin anew with other topics: --prefix"),
        (MessageSizeTooLargeError("of 2 MB"), r"zhice.events cannot be written: MessageSizeTooLargeError: .*of 2 MB"),
    ],
)
def test_what_a_broker_does_not_take_is_said(error: Exception, said: str, tmp_path: Path) -> None:
    async def refuse(*_: Any) -> None:
        raise error

    file = tmp_path / "bank.jsonl"
    write_file(SimulationSettings(events=100, customers=10, days=2), file)
    with (
        mock.patch.object(producing.clients, "producer", return_value=mock.AsyncMock()),
        mock.patch.object(producing, "send_log", refuse),
        pytest.raises(ReplayError, match=said),
    ):
        produce(Settings(), str(file))
