"""Texts one behind the other, of one buffer and of several."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.texts import Texts, joined

VALUES = st.lists(st.none() | st.binary(max_size=5), max_size=4)


@given(st.lists(VALUES, min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1))
def test_joined_texts_are_those_of_their_parts(buffers: list[list[bytes | None]], cuts: list[tuple[int, int]]) -> None:
    texts = [Texts.of(values) for values in buffers]
    parts = [texts[which % len(texts)].take(slice(first, None)) for which, first in cuts]
    assert joined(parts).to_list() == [value for part in parts for value in part.to_list()]


def test_what_is_in_one_buffer_is_not_copied() -> None:
    """Also where a part has no texts, as a batch without transitions."""
    texts, none = Texts.of([b"a", b"b", None]), Texts.of([])
    found = joined([none, texts.take(np.array([2, 1])), none, texts.take(np.array([0]))])
    assert found.data is texts.data
    assert found.to_list() == [None, b"b", b"a"]
