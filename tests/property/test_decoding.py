"""Whatever the bytes are, a record becomes one row: an event exactly if an obvious reading in Python says so."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.bad_rows import MAX_DEPTH
from models.columns import BAD, TICK, UNKNOWN
from models.decoding import Decoder
from models.events import event_layout
from models.records import Record, Records
from models.zones import local_ms, zone_offsets_ms
from tests.decoded import events
from tests.strategies_json import (
    EARLIEST,
    EVENTS,
    HOUR,
    NOW,
    event_bytes,
    headers,
    keys,
    mutated_bytes,
    parse,
    raw_values,
)

DECODER = Decoder(event_layout(["app"], "Asia/Shanghai", EVENTS, [("loan", "loan_id", ["pay"])]))


def is_event(record: Record) -> bool:
    """The rules of docs/semantics.md and the limits, read one by one."""
    try:
        body = parse(record.value or b"")
    except ValueError:
        return False
    if not isinstance(body, dict):
        return False
    given, context = body.get("properties"), body.get("context")
    ids = [body.get(name) for name in ("event_id", "event", "customer_id")]
    time, received = body.get("event_time"), body.get("received_at", 0)
    return (
        all(isinstance(text, str) and 1 <= len(text) <= 255 for text in ids)
        and type(time) is int
        and EARLIEST <= time <= record.timestamp + HOUR
        and ids[2].encode() == record.key
        and all(isinstance(body.get(name), str | None) for name in ("channel", "session_id", "device_id"))
        and (received is None or (type(received) is int and -(2**63) <= received < 2**63))
        and isinstance(context, dict | None)
        and isinstance(given, dict | None)
        and (ids[1] != "pay" or are_properties(given or {}))
    )


def are_properties(given: dict[str, Any]) -> bool:
    amount, loan = given.get("amount"), given.get("loan_id")
    return (
        (amount is None or (type(amount) in (int, float) and abs(amount) <= 1.7976931348623157e308))
        and isinstance(given.get("first"), bool | None)
        and isinstance(given.get("direction"), str | None)
        and (loan is None or (isinstance(loan, str) and 1 <= len(loan) <= 255))
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(raw_values, keys, headers), min_size=6, max_size=12))
def test_n_records_are_n_rows_and_events_are_those_of_the_oracle(parts: list[tuple[Any, Any, Any]]) -> None:
    records = [Record(9 + at, NOW, key, value, header) for at, (value, key, header) in enumerate(parts)]
    columns = DECODER.columns("t", 1, Records.of(records))
    assert columns.offset.tolist() == [record.offset for record in records]
    kinds = columns.event_type.tolist()
    for record, kind, event in zip(records, kinds, events(columns), strict=True):
        assert (event is not None) == (kind >= UNKNOWN) == is_event(record)
        if kind == TICK:
            assert not record.value
            assert record.headers == (("zhice", b"tick"),)
    bad = [record for record, kind in zip(records, kinds, strict=True) if kind == BAD]
    assert [(row.offset, row.key, row.value) for row in columns.bad_rows] == [
        (record.offset, record.key, record.value) for record in bad
    ]


@given(event_bytes | mutated_bytes())
def test_an_event_has_the_values_of_its_json(value: bytes) -> None:
    """The last of equal names counts, as in Python."""
    columns = DECODER.columns("t", 0, Records.of([Record(0, NOW, b"c1", value)]))
    (event,) = events(columns)
    if event is None:
        return
    body = parse(value)
    assert (event.event_id, event.event, event.customer_id) == tuple(
        body[n] for n in ("event_id", "event", "customer_id")
    )
    assert columns.event_time.tolist() == [event.event_time] == [body["event_time"]]
    if event.event == "pay":
        given = body.get("properties") or {}
        amount, first = columns.properties[0, [4, 6]].tolist()
        assert amount == float(given["amount"]) if given.get("amount") is not None else np.isnan(amount)
        assert first == given["first"] if given.get("first") is not None else np.isnan(first)
    if event.properties:
        assert json.loads(bytes(event.properties)) == body["properties"] or "NaN" in str(body)
    else:
        assert body.get("properties") is None


@given(st.lists(st.tuples(raw_values, keys, headers), min_size=2, max_size=8), st.data())
def test_a_batch_decodes_as_its_parts(parts: list[tuple[Any, Any, Any]], data: st.DataObject) -> None:
    records = [Record(at, NOW, key, value, header) for at, (value, key, header) in enumerate(parts)]
    cut = data.draw(st.integers(0, len(records)))
    whole = DECODER.columns("t", 0, Records.of(records))
    first, second = (DECODER.columns("t", 0, Records.of(part)) for part in (records[:cut], records[cut:]))
    for name in ("event_type", "event_time", "id_hash", "customer_hash", "properties"):
        halves = np.concatenate([getattr(first, name), getattr(second, name)])
        assert np.array_equal(getattr(whole, name), halves, equal_nan=name == "properties")
    assert events(whole) == events(first) + events(second)
    assert whole.bad_rows == first.bad_rows + second.bad_rows


@given(st.integers(0, 3 * MAX_DEPTH), st.sampled_from(["[]", "{}", '[]"[{\\"]"']), st.booleans())
@example(MAX_DEPTH - 2, "[]", True)
@example(MAX_DEPTH - 1, "[]", True)
def test_depth_is_limited_by_the_text_alone(depth: int, kind: str, wide: bool) -> None:
    """Brackets in strings, and side by side, do not count."""
    opened, closed = ('{"x":', "}") if kind == "{}" else ("[", "]")
    inner = '"[[{{\\"[["' if '"' in kind else "1"
    nested = opened * depth + inner + closed * depth
    flat = ",".join(["[]"] * 3 * MAX_DEPTH) if wide else ""
    event = {"event_id": "e", "event": "start", "customer_id": "c1", "event_time": NOW}
    value = f'{json.dumps(event)[:-1]}, "context": {{"x": {nested}, "y": [{flat}]}}}}'.encode()
    columns = DECODER.columns("t", 0, Records.of([Record(0, NOW, b"c1", value)]))
    reasons = [row.reason for row in columns.bad_rows]
    assert reasons == ([] if depth + 2 <= MAX_DEPTH else ["too_deep"])


@pytest.mark.parametrize(
    "zone", ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca"]
)
def test_local_time_is_that_of_the_zone(zone: str) -> None:
    """At random instants of 2000 to 2100, and around every change of the offset."""
    transitions, _ = zone_offsets_ms(zone)
    changes = transitions[1:]
    random = np.random.default_rng(7).integers(EARLIEST, 4_102_444_800_000, 2_000)
    instants = np.concatenate([random, changes - 1, changes, changes + 1])
    epoch = datetime.fromtimestamp(0, ZoneInfo("UTC"))
    expected = []
    for instant in instants.tolist():
        local = (epoch + timedelta(milliseconds=instant)).astimezone(ZoneInfo(zone))
        expected.append((local.replace(tzinfo=ZoneInfo("UTC")) - epoch) // timedelta(milliseconds=1))
    assert local_ms(instants, zone).tolist() == expected


def test_hours_and_weekdays_are_local_across_a_change_of_the_clock() -> None:
    decoder = Decoder(event_layout([], "Europe/Berlin", {"start": {}}))
    sunday = datetime(2024, 3, 31, 0, 59, tzinfo=ZoneInfo("UTC"))
    instants = [sunday + timedelta(minutes=minutes) for minutes in (-60, 0, 1, 60 * 21, 60 * 22)]
    millis = [int(instant.timestamp()) * 1000 for instant in instants]
    event = '{"event_id":"e","event":"start","customer_id":"c1","event_time":%d}'
    records = [Record(at, time, b"c1", (event % time).encode()) for at, time in enumerate(millis)]
    columns = decoder.columns("t", 0, Records.of(records))
    local = [instant.astimezone(ZoneInfo("Europe/Berlin")) for instant in instants]
    assert columns.properties[:, 2].tolist() == [one.hour for one in local] == [0, 1, 3, 23, 0]
    assert columns.properties[:, 3].tolist() == [one.isoweekday() for one in local] == [7, 7, 7, 7, 1]
