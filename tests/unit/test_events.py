"""Records become columns: what is read of events."""

from __future__ import annotations

import json

import numpy as np
import pytest
from msgspec import Raw

from models.bad_rows import MAX_DEPTH, Reason
from models.columns import BAD, TICK, UNKNOWN, Field
from models.decoding import Decoder
from models.events import (
    MAX_AHEAD_MS,
    MAX_EVENT_BYTES,
    MAX_EVENT_TIME_MS,
    MAX_ID_CHARS,
    MIN_EVENT_TIME_MS,
    Property,
    event_layout,
)
from models.records import Records
from tests.decoded import events, texts
from tests.pay_events import EVENTS, LAYOUT, NOW, TICK_HEADERS, bad_row, cells, columns, event, hashed, pay, record


class TestLayout:
    def test_columns_are_the_envelope_then_what_expressions_read(self) -> None:
        assert LAYOUT.properties == (
            Property("channel", "string", ("app", "branch")),
            Property("event_time", "number"),
            Property("event_hour", "number"),
            Property("event_weekday", "number"),
            Property("amount", "number"),
            Property("direction", "string", ("in", "out", "none")),
            Property("first", "boolean"),
            Property("note", "string", ()),
            Property("application_id", "string", ()),
            Property("class", "string", ("a", "b")),
        )

    def test_a_property_has_one_kind(self) -> None:
        with pytest.raises(ValueError, match="'x' is number in one event and string in another"):
            event_layout([], "UTC", {"a": {"x": "number"}, "b": {"x": ("y",)}})

    def test_a_key_is_a_string(self) -> None:
        with pytest.raises(ValueError, match="'x' must be a string"):
            event_layout([], "UTC", {"a": {"x": "number"}}, [("loan", "x", ["a"])])


class TestEvents:
    def test_the_envelope_is_kept(self) -> None:
        context, properties = '{"ip" : "10.0.0.1"}', '{"amount": 1, "其他": [1e999]}'
        fields = event(channel="app", session_id="s", device_id="d", received_at=5)
        text = f'{json.dumps(fields)[:-1]}, "context": {context}, "properties": {properties}, "more": 1}}'
        (found,) = events(columns(record(text.encode())))
        assert found is not None
        assert (found.event_id, found.event, found.customer_id, found.event_time) == ("e1", "pay", "c1", NOW)
        assert (found.channel, found.session_id, found.device_id, found.received_at) == ("app", "s", "d", 5)
        assert (bytes(found.context).decode(), bytes(found.properties).decode()) == (context, properties)

    def test_null_is_absent(self) -> None:
        names = ("channel", "session_id", "device_id", "received_at", "context", "properties")
        nulls, absent = events(columns(record(event(**dict.fromkeys(names))), record(event())))
        assert nulls == absent
        assert absent is not None
        assert absent.context == absent.properties == Raw(b"")

    def test_numbers(self) -> None:
        values = [1, -2.5, 10**30, 1e-400, None]
        found = cells("amount", *(pay(amount=value) for value in values), pay(), event(), event(event="start"))
        assert np.array_equal(found, [1, -2.5, 1e30, 0, *[np.nan] * 4], equal_nan=True)

    def test_booleans(self) -> None:
        found = cells("first", *(pay(first=value) for value in (True, False, None)), pay())
        assert np.array_equal(found, [1, 0, np.nan, np.nan], equal_nan=True)

    def test_declared_values_have_the_number_of_the_union_over_events(self) -> None:
        apply = event(event="apply", properties={"direction": "none"})
        directions = [pay(direction=value) for value in ("in", "out", "none", "up", "", None)]
        found = cells("direction", *directions, apply, event())
        assert np.array_equal(found, [0, 1, 2, -1, -1, np.nan, 2, np.nan], equal_nan=True)

    def test_of_a_plain_string_only_its_presence_is_seen(self) -> None:
        found = cells("note", pay(note="x"), pay(note=None), pay(), event(event="start"))
        assert np.array_equal(found, [-1, np.nan, np.nan, np.nan], equal_nan=True)

    def test_channel(self) -> None:
        found = cells("channel", *(event(channel=value) for value in ("branch", "app", "fax", None)), event())
        assert np.array_equal(found, [1, 0, -1, np.nan, np.nan], equal_nan=True)

    def test_time_in_the_zone(self) -> None:
        decoded = columns(record(event()), record(b"{"))
        assert decoded.properties[0, 1:4].tolist() == [NOW, 6, 3]
        assert np.isnan(decoded.properties[1]).all()

    def test_customers(self) -> None:
        rows = [("b", "pay"), ("x", "other"), ("a", "start"), ("b", "pay"), ("客户", "pay")]
        decoded = columns(*(record(event(customer_id=who, event=what), who.encode()) for who, what in rows))
        assert texts(decoded, Field.CUSTOMER_ID) == ["b", "x", "a", "b", "客户"]
        assert decoded.customer_hash.tolist() == [hashed(who) for who, _ in rows]
        assert decoded.event_type.tolist() == [0, UNKNOWN, 2, 0, 0]

    def test_keys_are_those_of_the_event_types_concerned(self) -> None:
        rows = [("apply", "z"), ("pay", "y"), ("apply", "y"), ("apply", None), ("apply", "z")]
        decoded = columns(*(record(event(event=what, properties={"application_id": key})) for what, key in rows))
        assert texts(decoded, Field.KEYS) == ["z", None, "y", None, "z"]
        assert texts(decoded, Field.KEYS + 1) == [None] * 5

    def test_keys_over_event_types(self) -> None:
        decoder = Decoder(
            event_layout([], "UTC", EVENTS | {"end": EVENTS["apply"]}, [("loan", "application_id", ["end", "apply"])])
        )
        rows = [("end", "z"), ("apply", "y"), ("end", "x"), ("apply", "z"), ("start", "w")]
        records = [record(event(event=what, properties={"application_id": key})) for what, key in rows]
        assert texts(decoder.columns("t", 0, Records.of(records)), Field.KEYS) == ["z", "y", "x", "z", None]

    def test_a_key_is_checked_wherever_it_is_declared(self) -> None:
        """Also on an event type that does not concern its entity."""
        declared = EVENTS | {"end": EVENTS["apply"]}
        decoder = Decoder(event_layout([], "UTC", declared, [("loan", "application_id", ["apply"])]))
        rows = [event(event="end", properties={"application_id": key}) for key in ("x", "")]
        decoded = decoder.columns("t", 0, Records.of(map(record, rows)))
        assert texts(decoded, Field.KEYS) == [None, None]
        assert [row.field for row in decoded.bad_rows] == ["properties.application_id"]

    def test_ids_have_the_same_hash_in_every_process(self) -> None:
        escaped = json.dumps(event(event_id="交易")).encode()
        decoded = columns(
            record(event()), record(event(event_id="交易")), record(b""), record(event()), record(escaped)
        )
        first, second = hashed("e1"), hashed("交易")
        assert decoded.id_hash.tolist() == [first, second, 0, first, second]
        assert texts(decoded, Field.EVENT_ID) == ["e1", "交易", None, "e1", "交易"]

    def test_unknown_types_are_checked_in_their_envelope_only(self) -> None:
        decoded = columns(record(event(event="other", properties={"amount": "many"})))
        assert (decoded.event_type.tolist(), decoded.bad_rows) == ([UNKNOWN], [])
        assert decoded.properties[0, 1] == NOW
        assert bad_row(record(event(event="other", properties=[]))).field == "properties"

    def test_ticks(self) -> None:
        ticks = [record(None, None, headers=TICK_HEADERS), record(b"", headers=[["zhice", b"tick"]])]
        decoded = columns(*ticks)
        assert (decoded.event_type.tolist(), decoded.bad_rows) == ([TICK, TICK], [])
        assert decoded.timestamp.tolist() == [NOW, NOW]

    def test_a_value_makes_a_record_an_event_whatever_its_headers(self) -> None:
        assert columns(record(event(), headers=TICK_HEADERS)).event_type.tolist() == [0]

    def test_no_records(self) -> None:
        decoded = columns()
        assert (len(decoded), decoded.properties.shape) == (0, (0, len(LAYOUT.properties)))

    @pytest.mark.parametrize("time", [MAX_EVENT_TIME_MS + 1, NOW * 1000, 2**62, 2**63 - 1])
    def test_a_record_of_a_time_that_cannot_be_is_bad_and_moves_no_clock(self, time: int) -> None:
        decoded = columns(
            record(event()), record(event(), timestamp=time), record(None, headers=TICK_HEADERS, timestamp=time)
        )
        assert decoded.event_type.tolist() == [0, BAD, TICK]
        assert decoded.timestamp.tolist() == [NOW, MIN_EVENT_TIME_MS, MIN_EVENT_TIME_MS]
        [bad] = decoded.bad_rows
        assert (bad.reason, bad.field, bad.timestamp) == (Reason.TIME_OUT_OF_RANGE, None, time)

    @pytest.mark.parametrize("time", [-1, 0, NOW // 1000, -(2**63)])
    def test_a_record_before_all_events_moves_no_clock(self, time: int) -> None:
        decoded = columns(record(event(), timestamp=time))
        assert (decoded.event_type.tolist(), decoded.timestamp.tolist()) == ([BAD], [MIN_EVENT_TIME_MS])

    def test_limits_are_inclusive(self) -> None:
        name = "名" * MAX_ID_CHARS
        size = MAX_EVENT_BYTES - len(json.dumps(event(more="")))
        good = [
            record(event(event_time=MIN_EVENT_TIME_MS)),
            record(event(event_time=NOW + MAX_AHEAD_MS)),
            record(event(event_time=MAX_EVENT_TIME_MS), timestamp=MAX_EVENT_TIME_MS),
            record(event(event_id=name, event=name, customer_id=name), name.encode()),
            record(event(more="x" * size)),
            record(event(context=json.loads('{"x":' * (MAX_DEPTH - 1) + "1" + "}" * (MAX_DEPTH - 1)))),
            record(event(context={"x": "[{" * 999})),
        ]
        assert columns(*good).bad_rows == []
