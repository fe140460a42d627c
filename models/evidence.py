"""Evidence as it is published, of many candidates at once: `published.Evidence` as JSON, with numbers as orjson's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.expressions import Kind, Type
from models.jit import kernel
from models.json_write import MAX_ESCAPED, MAX_INT_BYTES, put_bytes, put_int, put_text
from models.layout import RuleLayout
from models.plan import CandidateColumn
from models.texts import NULL, Ints, Texts
from models.value_texts import Shape, Values, between, shown

_json = msgspec.json.Encoder().encode
_EVENT_ID, _EVENT, _DEADLINE, _SHOWN, _END = range(5)
_FIXED: Final = (b'{"event_id":', b',"event":', b',"deadline":', b",", b"}")
_TEXTS: Final = 2  # that may have to be escaped
_EDGES: Final = len(b'""null')


class EvidenceWriter:
    """Of the candidates of one shard."""

    def __init__(self, rules: Sequence[RuleLayout], topic: str, partition: int) -> None:
        self._columns = [np.array(list(_columns(rule)), np.intp) for rule in rules]
        self._shapes = [Shape.of(_between(rule, topic, partition), _types(rule)) for rule in rules]
        self._pieces = Texts.of(_FIXED)

    def of(self, buffer: NDArray[np.float64], rules: Ints, caused: Sequence[Texts], offsets: Ints) -> Texts:
        """The evidence of each row of the engine's buffer, float64[m, CandidateColumn …].

        rules: int64[m], numbers; caused: ids and types of the events at `offsets`.
        """
        parts = [self._values(buffer, number, np.flatnonzero(rules == number)) for number in set(rules.tolist())]
        middle, deadline = shown(len(rules), parts), buffer[:, CandidateColumn.DEADLINE]
        by_event = np.isnan(deadline)
        caused = [Texts(one.data, one.start, np.where(by_event, one.size, NULL)) for one in caused]
        fixed = sum(map(len, _FIXED)) + 2 * MAX_INT_BYTES + _TEXTS * _EDGES
        room = len(rules) * fixed + int(middle.size.sum())
        room += sum(int((MAX_ESCAPED * texts.size.clip(0)).sum()) for texts in caused)
        made = Texts(np.empty(room, np.uint8), np.empty_like(rules), np.empty_like(rules))
        due = np.where(by_event, 0, deadline).astype(np.int64)
        _write(self._pieces, *caused, by_event, due, middle, offsets, made)
        return made

    def _values(self, buffer: NDArray[np.float64], rule: int, rows: Ints) -> Values:
        columns = self._columns[rule]
        return Values(self._shapes[rule], rows, np.ascontiguousarray(buffer[rows[:, np.newaxis], columns]))


def _columns(rule: RuleLayout) -> Iterator[int]:
    """Where the engine's buffer has the stage and what the predicate read."""
    if rule.journey:
        yield int(CandidateColumn.STAGE)
    for register, _ in rule.reads.values():
        yield CandidateColumn.VALUES + register


def _types(rule: RuleLayout) -> list[Type]:
    stage = [Type(Kind.STRING, rule.journey.stages)] if rule.journey else []
    return [*stage, *(type_ for _, type_ in rule.reads.values())]


def _between(rule: RuleLayout, topic: str, partition: int) -> list[bytes]:
    stage = ["stage"] if rule.journey else b'"stage":null'
    when = _json(rule.rule.when or "TRUE")
    end = b'},"predicate":%b,"topic":%b,"partition":%d,"offset":' % (when, _json(topic), partition)
    return between(stage, b',"values":{', list(rule.reads), end)


@kernel
def _write(pieces, event_ids, events, by_event, deadline, middle, offset, made):
    target, at = made.data, 0
    data, first, sizes = pieces
    for i in range(len(offset)):
        made.start[i] = at
        at = put_bytes(data, first[_EVENT_ID], sizes[_EVENT_ID], target, at)
        at = put_text(event_ids.data, event_ids.start[i], event_ids.size[i], target, at)
        at = put_bytes(data, first[_EVENT], sizes[_EVENT], target, at)
        at = put_text(events.data, events.start[i], events.size[i], target, at)
        at = put_bytes(data, first[_DEADLINE], sizes[_DEADLINE], target, at)
        if by_event[i]:
            at = put_text(data, 0, NULL, target, at)
        else:
            at = put_int(deadline[i], target, at)
        at = put_bytes(data, first[_SHOWN], sizes[_SHOWN], target, at)
        at = put_bytes(middle.data, middle.start[i], middle.size[i], target, at)
        at = put_int(offset[i], target, at)
        at = put_bytes(data, first[_END], sizes[_END], target, at)
        made.size[i] = at - made.start[i]
