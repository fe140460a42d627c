"""What the decoder's kernel reads of a record is what the slow way reads of it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.columns import BAD, TICK, Columns, Field
from models.decode_plan import SCRATCH_BYTES, SLOW, Decoded, new_decoded
from models.decoding import Decoder
from models.events import event_layout
from models.records import Record, Records
from tests.strategies_json import EARLIEST, HOUR, NOW, headers, keys, raw_values, texts, values

EVENTS: dict[str, Any] = {
    "pay": {"amount": "number", "direction": ("in", "out", "转入", 'a"b'), "first": "boolean", "loan_id": "string"},
    "borrow": {"loan_id": "string", "card": ("x", "y"), "名": "string", "数": "number"},
    "start": {},
}
LAYOUT = event_layout(
    ["app", "网点", "a\\b"],
    "Europe/Berlin",
    EVENTS,
    [("loan", "loan_id", ["pay"]), ("card", "card", ["borrow", "start"]), ("again", "loan_id", ["borrow", "pay"])],
)


class SlowDecoder(Decoder):
    """Sends every record but ticks the slow way."""

    def _read(self, records: Records) -> Decoded:
        decoded = new_decoded(records.count, self.layout)
        decoded.event_type[records.tick] = TICK
        decoded.properties[:] = np.nan
        return decoded


FAST, SLOWLY = Decoder(LAYOUT), SlowDecoder(LAYOUT)

gaps = st.sampled_from(["", "", "", " ", "\n\t", "\r  "])
some_ids = st.sampled_from(
    ["e1", "名", "x" * 255, "x" * 256, "名" * 85, "名" * 86, "名" * 255, "", "a\x00", 'q"\\/\n\x7f']
)
good_numbers = ["0", "-0", "-0.0", "0.0", "1", "-1", "12.50", "1e5", "1E+22", "1e-22", "-12.5e-3", "123456789012345"]
hard_numbers = [
    "1234567890123456",
    "0.30000000000000004",
    "123456789012345678e-22",
    "999999999999999999",
    "1000000000000000000",
    "0.000000000000000000000001",
    "0.123456789012345",
    "9007199254740993",
    "1e23",
    "1e400",
    "1e-400",
    "5e-324",
    "0e99",
]
no_numbers = ["1.e5", ".5", "01", "-01", "+1", "1e", "1e+", "0x1", "1_0", "-", "1.5.5", "00", "1 1"]
some_numbers = st.sampled_from([*good_numbers, *hard_numbers, *no_numbers, "99999999999999999999e-20"])
number_texts = some_numbers | st.floats().map(repr) | st.integers().map(str) | st.floats(0, 1e6).map("{:.2f}".format)


@st.composite
def json_string(draw: st.DrawFn, text: str) -> str:
    """A string, as it is or with escapes."""
    return json.dumps(text, ensure_ascii=draw(st.sampled_from([False, False, True])))


@st.composite
def object_text(draw: st.DrawFn, fields: list[tuple[str, str]]) -> str:
    """An object of names and the texts of their values, with any white space."""
    pairs = [draw(json_string(name)) + draw(gaps) + ":" + draw(gaps) + value for name, value in fields]
    return "{" + draw(gaps) + (draw(gaps) + "," + draw(gaps)).join(pairs) + draw(gaps) + "}"


any_value = values.flatmap(lambda value: json_string(value) if isinstance(value, str) else st.just(json.dumps(value)))
property_values = {
    "amount": number_texts,
    "first": st.sampled_from(["true", "false", "null", "tru", "True"]),
    "direction": st.sampled_from(["in", "out", "up", "转入", 'a"b', ""]).flatmap(json_string),
    "card": st.sampled_from(["x", "y", "z", ""]).flatmap(json_string),
    "loan_id": some_ids.flatmap(json_string),
    "名": texts.flatmap(json_string),
    "数": number_texts,
}
usual_property = st.sampled_from(list(property_values)).flatmap(
    lambda name: property_values[name].map(lambda text: (name, text))
)
odd_property = st.tuples(st.sampled_from([*property_values, "more"]), any_value | number_texts)
property_fields = st.lists(usual_property | usual_property | usual_property | odd_property, max_size=5)
envelope_values = {
    "channel": st.sampled_from(["app", "网点", "a\\b", "fax", ""]).flatmap(json_string),
    "session_id": texts.flatmap(json_string),
    "device_id": some_ids.flatmap(json_string),
    "received_at": number_texts | st.integers(0, 10**20).map(str),
    "context": st.lists(st.tuples(texts, any_value), max_size=2).flatmap(object_text),
    "more": any_value,
}
usual_field = st.sampled_from(list(envelope_values)).flatmap(
    lambda name: envelope_values[name].map(lambda text: (name, text))
)
odd_field = st.tuples(
    st.sampled_from(["event_id", "event", "customer_id", "event_time", "channel", "context", "properties"]),
    any_value | number_texts,
)
event_times = st.integers(EARLIEST, NOW) | st.sampled_from([EARLIEST - 1, NOW + HOUR, NOW + HOUR + 1, 10**18, 10**17])


@st.composite
def event_texts(draw: st.DrawFn) -> bytes:
    fields = [
        ("event_id", draw(some_ids.flatmap(json_string))),
        ("event", draw(st.sampled_from(["pay", "pay", "borrow", "start", "other"]).flatmap(json_string))),
        ("customer_id", draw(st.sampled_from(["c1", "c1", "c1", "c2"]).flatmap(json_string))),
        ("event_time", str(draw(event_times))),
        ("properties", draw(property_fields.flatmap(object_text))),
        *draw(st.lists(usual_field, max_size=3, unique_by=lambda field: field[0])),
        *draw(st.sampled_from([0, 0, 0, 1]).flatmap(lambda n: st.lists(odd_field, min_size=n, max_size=n))),
    ]
    ordered = draw(st.permutations(fields)) if draw(st.booleans()) else fields
    text = draw(gaps) + draw(object_text(list(ordered))) + draw(gaps)
    return text.encode(errors="surrogatepass")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One place of an event changed."""
    value = bytearray(draw(event_texts()))
    at = draw(st.integers(0, len(value)))
    value[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"}", b","]))
    return bytes(value)


def assert_same(first: Columns, second: Columns) -> None:
    assert first.bad_rows == second.bad_rows
    for name in ("event_type", "event_time", "received_at", "has_received_at", "id_hash", "customer_hash"):
        assert getattr(first, name).tolist() == getattr(second, name).tolist()
    for field in range(Field.KEYS + len(LAYOUT.keyed)):
        assert first.texts(field).to_list() == second.texts(field).to_list()
    nan = np.isnan(first.properties)
    assert (nan == np.isnan(second.properties)).all()
    assert first.properties[~nan].tobytes() == second.properties[~nan].tobytes()  # the sign of 0, too


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.tuples(event_texts() | event_texts() | mutated() | raw_values, keys, headers), min_size=3, max_size=6)
)
def test_both_ways_read_the_same(parts: list[tuple[Any, Any, Any]]) -> None:
    records = Records.of(Record(at, NOW, key, value, header) for at, (value, key, header) in enumerate(parts))
    assert_same(FAST.columns("t", 0, records), SLOWLY.columns("t", 0, records))


USUAL = {"event_id": "e1", "event": "pay", "customer_id": "c1", "event_time": NOW}
PROPERTIES = {"amount": 12.5, "direction": "in", "first": True, "loan_id": "l1", "other": [1, {"x": None}, "名\n"]}


@pytest.mark.parametrize(
    "event",
    [
        USUAL,
        USUAL | {"properties": PROPERTIES},
        {"properties": PROPERTIES} | USUAL,
        USUAL | {"properties": dict.fromkeys(PROPERTIES), "context": None, "channel": None, "received_at": None},
        USUAL | {"event_id": "名", "channel": "网点", "context": {"页": "转账"}, "properties": {"direction": "转入"}},
        USUAL | {"event": "unknown", "received_at": NOW, "properties": {"amount": "many"}},
        USUAL | {"event": "borrow", "properties": {"名": 'quoted "text"', "card": "x"}},
    ],
)
def test_usual_records_go_the_fast_way(event: dict[str, Any]) -> None:
    records = Records.of([Record(0, NOW, b"c1", json.dumps(event, ensure_ascii=False, indent=1).encode())])
    assert SLOW not in FAST._read(records).event_type
    assert_same(FAST.columns("t", 0, records), SLOWLY.columns("t", 0, records))


ESCAPED = [
    {"direction": "转入", "名": "客户 😀", "数": 1},
    {"direction": 'a"b', "first": True, "note": "\x00\x1f\x7f\n\\ / \u07ff\uffff"},
    {"direction": "转" * 20, "other": {"深": ["😀"]}},
]


@pytest.mark.parametrize("properties", ESCAPED)
def test_text_with_escapes_goes_the_fast_way(properties: dict[str, Any]) -> None:
    """But for ids and the names of event types and channels: Python's `json.dumps` escapes all that is not ASCII."""
    for event in ("pay", "borrow"):
        value = json.dumps(USUAL | {"event": event, "properties": properties}).encode()
        records = Records.of([Record(0, NOW, b"c1", value)])
        assert SLOW not in FAST._read(records).event_type
        assert_same(FAST.columns("t", 0, records), SLOWLY.columns("t", 0, records))


@pytest.mark.parametrize("characters", [SCRATCH_BYTES - 8, SCRATCH_BYTES])
def test_a_long_text_with_escapes_is_read_the_slow_way(characters: int) -> None:
    value = json.dumps(USUAL | {"properties": {"direction": "\n" + "x" * characters}}).encode()
    records = Records.of([Record(0, NOW, b"c1", value)])
    assert (SLOW in FAST._read(records).event_type) == (characters == SCRATCH_BYTES)
    assert_same(FAST.columns("t", 0, records), SLOWLY.columns("t", 0, records))


def amounts(texts: list[str]) -> tuple[list[float], list[bool]]:
    """What the decoder makes of numbers, and whether the kernel read each."""
    start = json.dumps(USUAL)[:-1] + ', "properties": {"amount": '
    records = Records.of(Record(at, NOW, b"c1", f"{start}{text}}}}}".encode()) for at, text in enumerate(texts))
    column = [declared.name for declared in LAYOUT.properties].index("amount")
    fast = FAST._read(records).event_type != SLOW
    return FAST.columns("t", 0, records).properties[:, column].tolist(), fast.tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-5, 1e15) | st.floats(-1e7, -0.01) | st.just(0.1 + 0.2), min_size=20, max_size=50))
def test_numbers_as_programs_write_them_are_read_by_the_kernel(numbers: list[float]) -> None:
    read, fast = amounts([repr(number) for number in numbers])
    assert read == numbers and all(fast)


SOME_DIGITS = st.integers(1, 10**18 - 1) | st.integers(2**53, 2**57).map(lambda number: number | 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(SOME_DIGITS, st.integers(-22, 22)), min_size=20, max_size=50))
def test_numbers_of_many_digits_are_the_nearest_floats(parts: list[tuple[int, int]]) -> None:
    texts = [f"{digits}e{power}" for digits, power in parts]
    texts += [str(Decimal(digits).scaleb(power)) for digits, power in parts]
    read, _ = amounts(texts)
    assert read == [float(text) for text in texts]


def test_what_lies_in_the_middle_of_two_floats_is_read_the_slow_way() -> None:
    """And what is nearest to the middle is not: ulps of 1 to 128 at powers of 0, halves of it at others."""
    middles = [2**53 + 1, 2**54 + 2, 2**55 + 12, 2**59 - 32]
    read, fast = amounts([str(middle) for middle in middles])
    assert read == [float(middle) for middle in middles] and not any(fast)
    beside = [str(middle + one) for middle in middles[1:] for one in (-1, 1)] + ["4503599627370496.49", "0.1e-5"]
    read, fast = amounts(beside)
    assert read == [float(text) for text in beside] and all(fast)


@pytest.mark.parametrize("cut", range(1, 5))
def test_half_a_character_does_not_borrow_from_the_next_record(cut: int) -> None:
    """Keys and values lie in one buffer."""
    event = json.dumps(USUAL | {"more": "名"}, ensure_ascii=False).encode()
    broken = event[: event.index("名".encode()) + cut]
    records = Records.of(Record(at, NOW, b"c1", value) for at, value in enumerate([broken, b'\x90\x8d"}', event]))
    columns = FAST.columns("t", 0, records)
    assert columns.event_type.tolist() == [BAD, BAD, 0]
    assert_same(columns, SLOWLY.columns("t", 0, records))
