"""Strays wait for the checkpoint that sends them on: what they hold of memory, and when they do not wait any longer."""

from __future__ import annotations

import time
from types import SimpleNamespace
from unittest import mock

import numpy as np

from models.decoding import Decoder
from models.layout import Layout
from models.records import Records
from streams.settings import Settings
from streams.state_log import Stray
from streams.worker import STRAYS_KEPT_BYTES, Worker
from tests.small_logs import START, TOPIC, records, small_catalogue

PARTITIONS = 2


def worker() -> Worker:
    """One that has just taken a checkpoint, and got records since."""
    made = object.__new__(Worker)
    made.settings, made.telemetry = Settings(partitions=PARTITIONS), mock.Mock()
    owned = SimpleNamespace(shard=SimpleNamespace(next_offset=5), state_log=None)
    made.ownership = mock.Mock(owned={0: owned})
    made._strays, made._saved = {}, {}
    made.checkpointed_at, made.checkpoint_took_s = time.monotonic(), 0.0
    return made


def test_strays_keep_no_other_records_in_memory() -> None:
    layout, kept = Layout.compile(small_catalogue()), worker()
    log = Records.of(
        one._replace(offset=number)
        for number, one in enumerate(
            records({"event": "login", "at": START, "customer_id": f"c{number}"} for number in range(50))
        )
    )
    columns = Decoder(layout.event_layout).columns(TOPIC, 0, log)
    kept._keep_strays(columns, log)
    [stray] = kept._strays[0]
    assert stray.partition == 1 and 10 < stray.records.count < 40
    which = np.searchsorted(log.offset, stray.records.offset)
    assert [stray.records.record(n) for n in range(stray.records.count)] == [log.record(n) for n in which.tolist()]
    assert stray.records.data.nbytes < 0.8 * log.data.nbytes


def test_many_bytes_of_strays_do_not_wait() -> None:
    """A hundred thousand of 60 KB each did."""
    kept = worker()
    assert not kept.checkpoint_due()
    large = Records.blank(np.empty(STRAYS_KEPT_BYTES + 1, np.uint8), 1)
    kept._strays[0] = [Stray(1, large)]
    assert kept.checkpoint_due()
