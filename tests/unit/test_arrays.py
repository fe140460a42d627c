"""Columns of views and dictionaries: what is gathered of them is what Arrow gathers of strings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.texts import Texts
from sinks import arrays
from sinks.arrays import kept, named, repeated, strings, taken, vocabulary

TEXTS = st.lists(st.none() | st.text(max_size=20), min_size=1, max_size=30)


def texts_of(values: list[str | None]) -> Texts:
    return Texts.of(None if value is None else value.encode() for value in values)


@given(TEXTS)
def test_texts_become_views(values: list[str | None]) -> None:
    """Texts of 12 bytes lie in the view, longer ones in the buffer; empty is not NULL."""
    column = strings(texts_of(values))
    column.validate(full=True)
    assert column.to_pylist() == values


@given(TEXTS, TEXTS, st.data())
def test_rows_of_several_buffers_are_taken(
    first: list[str | None], second: list[str | None], data: st.DataObject
) -> None:
    chunks = [strings(texts_of(first)), strings(texts_of([*second, "a text of another chunk"])).slice(0, len(second))]
    rows = pa.table({"text": pa.chunked_array(chunks), "n": list(range(len(first) + len(second)))})
    order = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=40))
    found = taken(rows.combine_chunks(), np.array(order, np.int64))
    assert found["n"].to_pylist() == order
    assert found["text"].to_pylist() == [(first + second)[at] for at in order]
    found["text"].chunk(0).validate(full=True)


def test_rows_are_kept_where_it_is_true() -> None:
    rows = pa.table({"text": strings(texts_of(["a", None, "longer than twelve bytes"])), "n": [1, 2, 3]})
    assert kept(rows, pc.greater(rows["n"], 1)).to_pylist() == [
        {"text": None, "n": 2},
        {"text": "longer than twelve bytes", "n": 3},
    ]


def test_names_by_number() -> None:
    """The same name may stand in several places; a dictionary has it once."""
    words = vocabulary(["none", "seen", "none"])
    column = named(np.array([2, 1, -1, 0]), words)
    assert column.to_pylist() == ["none", "seen", None, "none"]
    assert column.dictionary.to_pylist() == ["none", "seen"]
    assert repeated("topic", 2).to_pylist() == ["topic", "topic"]


def test_a_buffer_of_more_than_a_view_can_tell_apart_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LONGEST", 3)
    assert strings(texts_of(["abc"])).to_pylist() == ["abc"]
    with pytest.raises(ValueError, match="4 bytes of text in one buffer, at most 3"):
        strings(texts_of(["abcd"]))
