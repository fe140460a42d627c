"""The kernel that reads lines of a file of records, against the standard library's parser."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.line_kernel import read_lines
from models.texts import Texts
from tests.strategies_json import mutated_bytes, parse, values

names = st.sampled_from(["customer_id", "event_time", "received_at", "$record", "other", "名"])
fields = st.one_of(
    st.tuples(st.just("customer_id"), st.text(max_size=5)),
    st.tuples(st.sampled_from(["event_time", "received_at"]), st.integers(0, 10**19) | st.none()),
    st.tuples(names, values),
)
gaps = st.text(" \t\r\n", max_size=2)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """An object with repeated names, any white space, and characters as they are or escaped."""
    parts = []
    given_fields = [("customer_id", "c1"), ("event_time", 5)] if draw(st.booleans()) else []
    for name, value in [*given_fields, *draw(st.lists(fields, max_size=4))]:
        texts = (json.dumps(part, ensure_ascii=draw(st.booleans())) for part in (name, value))
        parts.append((draw(gaps) + ":" + draw(gaps)).join(texts))
    text = "{" + draw(gaps) + (draw(gaps) + "," + draw(gaps)).join(parts) + draw(gaps) + "}" + draw(gaps)
    return text.encode(errors="surrogatepass")


def expected(line: bytes) -> tuple[Any, ...]:
    body = parse(line)
    assert "$record" not in body
    return body["customer_id"].encode(), body["event_time"], body.get("received_at")


@settings(max_examples=500, deadline=None)
@given(st.lists(objects() | mutated_bytes() | st.binary(max_size=9), min_size=5, max_size=9))
def test_what_is_read_is_what_the_line_says(lines: list[bytes]) -> None:
    texts = Texts.of(lines)
    found = read_lines(texts)
    customers = Texts(texts.data, found.customer_start, found.customer_size)
    for number in found.read.nonzero()[0].tolist():
        received = int(found.received_at[number]) if found.has_received_at[number] else None
        assert (customers.value(number), found.event_time[number], received) == expected(lines[number])


def test_usual_lines_are_read() -> None:
    more = '{"a": [1, -2.5e3, {}, []], "b": "名\\n"}'
    line = f'{{"event_time": 5, "more": {more}, "customer_id": "名", "received_at": %s}}\r\n'
    found = read_lines(Texts.of([(line % value).encode() for value in ("7", "null")]))
    assert found.read.all()
    assert (found.received_at.tolist(), found.has_received_at.tolist()) == ([7, 0], [True, False])
