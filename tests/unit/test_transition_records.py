"""Transitions that a kernel writes are the bytes that msgspec writes of each."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.json_write import MAX_INT_BYTES
from models.transition_records import pieces_of, records_of
from tests.small_logs import DAY, START, outputs, random_records, records, small_catalogue

CLOCK = 1_700_000_000_000
ODD_IDS = ['"', "\\", "a\tb\nc\rd\be\ff", "\x00\x1f\x7f", "客户", "x" * 255, "é/€", "😀"]


def published(log: list) -> tuple[list[tuple[bytes | None, bytes | None]], list[tuple[bytes, bytes]]]:
    catalogue = small_catalogue()
    pieces, ours, theirs = pieces_of(catalogue), [], []
    for output in outputs(catalogue, log, partition=7):
        found = records_of(output.transitions, output.columns, pieces, CLOCK)
        assert (found.timestamp == CLOCK).all() and not found.tick.any()
        ours += zip(found.keys.to_list(), found.values.to_list(), strict=True)
        for one in output.transitions.structs(catalogue, output.columns):
            theirs.append((one.customer_id.encode(), msgspec.json.encode(one)))
    return ours, theirs


def test_a_log_with_timeouts() -> None:
    ours, theirs = published(random_records(3, 1500))
    assert ours == theirs
    assert any(b'"timeout"' in value for _, value in theirs)
    assert any(b'"entity_id":"' in value for _, value in theirs)


@pytest.mark.parametrize("odd", ODD_IDS)
def test_texts_that_need_an_escape(odd: str) -> None:
    apply = {
        "event": "loan_apply",
        "customer_id": odd,
        "event_id": odd[:200] + "1",
        "properties": {"application_id": odd},
    }
    ours, theirs = published(records([{**apply, "at": START}, {**apply, "event_id": "2", "at": START + DAY}]))
    assert ours == theirs and len(theirs) == 4


def test_the_longest_number_has_room() -> None:
    assert len(str(np.iinfo(np.int64).min + 1)) == MAX_INT_BYTES
