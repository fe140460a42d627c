"""Decisions and triggers that kernels write are the bytes that msgspec writes of each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import Catalogue, load
from models.decision_records import pieces_of, records_of
from models.decisions import Decisions, DecisionText
from models.outputs import BatchOutput
from models.published import Decision, Trigger
from models.records import Record, Records
from models.texts import Texts
from streams import sending
from streams.cloud_events import CloudEvents, packed
from streams.sending import batches_of
from tests.small_logs import MINUTE, SMALL, START, LogRecord, decided, outputs, random_records, records, small_catalogue
from tests.unit.test_transition_records import ODD_IDS

CLOCK = 1_700_000_000_000
NIGHT = '[[quiet_hours]]\nname = "night"\nkinds = ["marketing"]\nfrom = "18:00"\nuntil = "10:00"\n'


def night() -> Catalogue:
    return load({SMALL.name: SMALL.read_text(encoding="utf-8"), "night.toml": NIGHT})


def published(catalogue: Catalogue, log: list[LogRecord]) -> Iterator[tuple[BatchOutput, Records, Records]]:
    pieces = pieces_of(catalogue)
    for output in outputs(catalogue, log, partition=7):
        made = output.decisions
        yield output, records_of(made, pieces, CLOCK), records_of(made.triggers(), pieces, CLOCK, triggers=True)


def texts(found: Records) -> list[bytes]:
    return [value or b"" for value in found.values.to_list()]


def check(catalogue: Catalogue, log: list[LogRecord]) -> list[Decision]:
    """All decisions of a log, each the bytes that msgspec writes of it; the same for triggers."""
    decisions: list[Decision] = []
    for output, found, acted in published(catalogue, log):
        of_batch = [msgspec.json.decode(text, type=Decision, strict=True) for text in texts(found)]
        assert texts(found) == [msgspec.json.encode(one) for one in of_batch]
        assert found.keys.to_list() == [one.customer_id.encode() for one in of_batch]
        assert set(found.timestamp.tolist()) <= {CLOCK} and not found.tick.any()
        names = Trigger.__struct_fields__
        triggers = [Trigger(**{name: getattr(one, name) for name in names}) for one in of_batch if one.acted]
        assert texts(acted) == [msgspec.json.encode(one) for one in triggers]
        assert acted.keys.to_list() == [one.customer_id.encode() for one in triggers]
        assert output.decisions.acted.tolist() == [one.acted for one in of_batch]
        decisions += of_batch
    return decisions


def test_a_log_with_timers_and_gates() -> None:
    decisions = check(night(), random_records(3, 1500))
    assert {one.acted for one in decisions} == {True, False}
    assert {one.evidence.deadline is None for one in decisions} == {True, False}
    assert {one.entity_id is None for one in decisions} == {True, False}
    assert {one.evidence.stage is None for one in decisions} == {True, False}
    assert all(one.evidence.topic == "zhice.events" and one.evidence.partition == 7 for one in decisions)


@pytest.mark.parametrize("odd", ODD_IDS)
def test_texts_that_need_an_escape(odd: str) -> None:
    apply = {"event": "loan_apply", "customer_id": odd, "properties": {"application_id": odd, "requested": 20_000.5}}
    later = {"event": "login", "customer_id": odd, "at": START + 11 * MINUTE}
    (nudge,) = check(small_catalogue(), records([{**apply, "at": START}, later]))
    assert (nudge.customer_id, nudge.entity_id, nudge.evidence.event_id) == (odd, odd, None)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_numbers_of_the_evidence_are_those_of_the_event(numbers: list[float]) -> None:
    bank = load({"bank.toml": BANK})
    log = records(
        {"event": "pay", "at": START + number, "properties": {"amount": value}} for number, value in enumerate(numbers)
    )
    decisions = [one for output in outputs(bank, log) for one in decided(output, bank)]
    assert [one.evidence.values["amount"] for one in decisions] == numbers
    assert decisions[0].evidence.predicate == "amount IS NOT NULL AND\n\tpaid IS NOT NULL\n"


BANK = '''
[catalogue]
name = "bank"
time_zone = "UTC"

[[event]]
name = "pay"
properties = { amount = "number" }

[[feature]]
name = "paid"
on = ["pay"]
aggregate = "sum"
value = "amount"

[[rule]]
name = "thank"
listens = { event = ["pay"] }
when = """
amount IS NOT NULL AND
\tpaid IS NOT NULL
"""
action = "say_thanks"
channel = "push"
expires = "1d"
'''


def test_triggers_carry_the_headers_of_cloud_events() -> None:
    """As a client reads them from a record batch."""
    catalogue, seen = small_catalogue(), 0
    events = CloudEvents(catalogue.rules)
    for output, _, acted in published(catalogue, random_records(3, 1500)):
        (*batches,) = batches_of(acted, events.headers(output.decisions.triggers()))
        wire = [record for batch in batches for record in in_batch(bytes(batch._build()))]
        triggers = [msgspec.json.decode(record.value, type=Trigger) for record in wire]
        for record, trigger in zip(wire, triggers, strict=True):
            assert dict(record.headers) == {
                "content-type": b"application/json",
                "ce_specversion": b"1.0",
                "ce_source": b"/zhice",
                "ce_id": trigger.id.encode(),
                "ce_type": f"zhice.trigger.{trigger.rule}".encode(),
                "ce_time": rfc3339(trigger.decided_at).encode(),
            }
        assert [one.id for one in triggers] == [id_.decode() for id_, acts in of_each(output.decisions) if acts]
        seen += len(triggers)
    assert seen > 20


def of_each(decisions: Decisions) -> list[tuple[bytes, bool]]:
    ids = decisions.texts(DecisionText.ID).to_list()
    return [(id_ or b"", acted) for id_, acted in zip(ids, decisions.acted.tolist(), strict=True)]


def rfc3339(time_ms: int) -> str:
    seconds = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{seconds:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def in_batch(data: bytes) -> list[Any]:
    """The records of a batch, as aiokafka reads them."""
    read = MemoryRecords(data)
    return list(read.next_batch())


def test_headers_take_part_in_the_size_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BATCH_BYTES", 1_000)
    log = Records.of([Record(number, CLOCK, b"k", b"v" * 100) for number in range(20)])
    headers = Texts.of([b"\x02" + packed([("name", b"x" * number * 20)]) for number in range(20)])
    batches = list(batches_of(log, headers))
    assert all(len(batch._build()) <= 1_000 or batch.record_count() == 1 for batch in batches)
    found = [record for batch in batches for record in in_batch(bytes(batch._build()))]
    assert [list(record.headers) for record in found] == [[("name", b"x" * number * 20)] for number in range(20)]
