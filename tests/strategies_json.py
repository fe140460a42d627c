"""Random JSON values, events of a small catalogue, and their bytes: good, odd and broken."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NOW = 1_700_000_000_000
HOUR = 3_600_000
EARLIEST = 946_684_800_000
EVENTS: dict[str, Any] = {
    "pay": {"amount": "number", "direction": ("in", "out"), "first": "boolean", "loan_id": "string"},
    "start": {},
}

texts = st.text(max_size=4) | st.sampled_from(["x" * 255, "x" * 256, "\ud800", "名", "in"])
numbers = st.integers() | st.floats() | st.sampled_from([2**63, 10**400, -(2**63) - 1, 1e308, 5e-324])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
properties = st.fixed_dictionaries(
    {},
    optional={
        "amount": numbers | scalars,
        "direction": st.sampled_from(["in", "out", "up"]) | scalars,
        "first": st.booleans() | scalars,
        "loan_id": texts | scalars,
        "more": values,
    },
)
times = st.integers(NOW - HOUR, NOW + 2 * HOUR) | st.sampled_from([EARLIEST, EARLIEST - 1, NOW + HOUR, NOW + HOUR + 1])
good_events = st.fixed_dictionaries(
    {
        "event_id": st.text("abc", min_size=1),
        "event": st.sampled_from(["pay", "start", "other"]),
        "customer_id": st.just("c1"),
        "event_time": st.integers(EARLIEST, NOW),
    },
    optional={
        "channel": st.sampled_from(["app", "fax", None]),
        "properties": st.fixed_dictionaries(
            {}, optional={"amount": st.integers(-5, 5) | st.none(), "first": st.booleans(), "more": st.text(min_size=9)}
        ),
    },
)
one_field = st.one_of(
    st.tuples(st.sampled_from(["event_id", "event", "customer_id", "event_time"]), values),
    st.tuples(st.sampled_from(["channel", "session_id", "received_at", "more"]), values),
    st.tuples(st.just("event_time"), times),
    st.tuples(st.just("context"), values),
    st.tuples(st.just("properties"), properties),
    st.tuples(st.just("properties"), st.fixed_dictionaries({"loan_id": texts | scalars})),
    st.tuples(st.just("properties"), values),
)
odd_events = st.tuples(good_events, one_field).map(lambda parts: parts[0] | dict([parts[1]]))
event_bytes = (good_events | odd_events).flatmap(
    lambda event: st.booleans().map(lambda ascii: json.dumps(event, ensure_ascii=ascii).encode(errors="surrogatepass"))
)


@st.composite
def mutated_bytes(draw: st.DrawFn) -> bytes:
    """A valid event in which some bytes were replaced, dropped or doubled."""
    value = bytearray(json.dumps(draw(good_events), ensure_ascii=False).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value)))
        piece = draw(
            st.binary(max_size=2)
            | st.sampled_from([b'"', b"\xff", b"{", b"}", b"[", b",", b":", b"\\", b"null", b"1e999"])
        )
        value[at : at + draw(st.integers(0, 3))] = piece
    return bytes(value)


keys = st.sampled_from([b"c1"] * 9 + [None, b"", b"\xff"])
headers = st.sampled_from([(), (), (("zhice", b"tick"),), (("zhice", b"tock"),)])
raw_values = event_bytes | event_bytes | mutated_bytes() | st.binary(max_size=20) | st.none()


def parse(value: bytes) -> Any:
    """The JSON in these bytes; ValueError for what RFC 8259 does not allow, and for half a surrogate pair."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    document = json.loads(value.decode(), parse_constant=refuse)
    json.dumps(document, ensure_ascii=False).encode()
    return document
