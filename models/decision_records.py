"""Decisions and triggers as the records that are published, in bulk: `published.Decision` and `Trigger` as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from models import catalogue_names
from models.decisions import DecisionColumn, Decisions, DecisionText
from models.jit import kernel
from models.json_write import MAX_ESCAPED, MAX_INT_BYTES, put_bytes, put_int, put_text
from models.records import Records
from models.texts import NULL, Texts

if TYPE_CHECKING:
    from models.catalogue import Catalogue, Rule

_json = msgspec.json.Encoder().encode
_INTS: Final = 5
_RULE, _EVENT_TIME, _DECIDED_AT, _MOMENT, _EXPIRES_AT, _SEQ = map(int, DecisionColumn)
# pieces that are the same for all; behind them those of each rule
_ID, _ACTED, _HELD_BACK, _GATES, _AT_EVENT, _AT_DECISION, _OF_MOMENT, _EXPIRES, _EVIDENCE, _OF_RECORD, _END = range(11)
_FIXED: Final = (
    b'{"id":"',
    b',"acted":true,"gate":',
    b',"acted":false,"gate":',
    b',"gates":',
    b',"event_time":',
    b',"decided_at":',
    b',"moment":',
    b',"expires_at":',
    b',"evidence":',
    b',"seq":',
    b"}",
)
_OF_RULE: Final = len(_FIXED)
_BEFORE_CUSTOMER, _BEFORE_ENTITY, _BEFORE_OUTCOME, _PIECES = range(4)  # those of a rule, and their number
_EDGES: Final = len(b'""')
_ESCAPED: Final = [DecisionText.CUSTOMER_ID, DecisionText.ENTITY_ID, DecisionText.GATE]
_ID_TEXT, _CUSTOMER_ID, _ENTITY_ID, _GATE, _GATES_TEXT, _EVIDENCE_TEXT = map(int, DecisionText)


class Pieces(NamedTuple):
    """Pieces of JSON. longest: bytes of all the pieces of one decision, at most."""

    texts: Texts
    longest: int


def pieces_of(catalogue: Catalogue) -> Pieces:
    """The pieces for a catalogue."""
    pieces = [piece for rule in catalogue.rules for piece in _pieces(catalogue, rule)]
    longest = sum(map(len, _FIXED)) + _PIECES * max(map(len, pieces), default=0)
    return Pieces(Texts.of([*_FIXED, *pieces]), longest)


def _pieces(catalogue: Catalogue, rule: Rule) -> tuple[bytes, ...]:
    names = (catalogue.name, catalogue.version, rule.name, rule.version)
    named = b'","catalogue":%b,"catalogue_version":%b,"rule":%b,"rule_version":%b' % tuple(map(_json, names))
    entity = catalogue_names.entity_of_rule(catalogue, rule)
    return (
        named + b',"customer_id":',
        b',"entity":%b,"entity_id":' % _json(entity),
        b',"action":%b,"channel":%b,"kind":%b' % tuple(map(_json, (rule.action, rule.channel, rule.kind))),
    )


def records_of(decisions: Decisions, pieces: Pieces, clock: int, *, triggers: bool = False) -> Records:
    """A record each, keyed by customer, with the timestamp `clock` (ms): of the decision, or of its trigger."""
    size = decisions.size.clip(0)
    room = int(size.sum() + size[DecisionText.CUSTOMER_ID].sum() + (MAX_ESCAPED * size[_ESCAPED]).sum())
    room += len(decisions) * (pieces.longest + _INTS * MAX_INT_BYTES + _EDGES * len(_ESCAPED))
    records = Records.blank(np.empty(room, np.uint8), len(decisions))
    records.timestamp[:] = clock
    texts, numbers = pieces.texts, decisions.numbers
    _write(texts, numbers, decisions.data, decisions.start, decisions.size, triggers, records)
    return records


@kernel
def _write(texts, numbers, data, of, long, triggers, records):
    """of, long: start and size of the texts of `Decisions`, which are in `data`."""
    target, at = records.data, 0
    pieces, start, size = texts
    for i in range(len(numbers)):
        rule = _OF_RULE + _PIECES * numbers[i, _RULE]
        records.key_start[i], records.key_size[i] = at, long[_CUSTOMER_ID, i]
        at = put_bytes(data, of[_CUSTOMER_ID, i], long[_CUSTOMER_ID, i], target, at)
        records.value_start[i] = at
        at = put_bytes(pieces, start[_ID], size[_ID], target, at)
        at = put_bytes(data, of[_ID_TEXT, i], long[_ID_TEXT, i], target, at)
        at = put_bytes(pieces, start[rule + _BEFORE_CUSTOMER], size[rule + _BEFORE_CUSTOMER], target, at)
        at = put_text(data, of[_CUSTOMER_ID, i], long[_CUSTOMER_ID, i], target, at)
        at = put_bytes(pieces, start[rule + _BEFORE_ENTITY], size[rule + _BEFORE_ENTITY], target, at)
        at = put_text(data, of[_ENTITY_ID, i], long[_ENTITY_ID, i], target, at)
        at = put_bytes(pieces, start[rule + _BEFORE_OUTCOME], size[rule + _BEFORE_OUTCOME], target, at)
        if not triggers:
            outcome = _ACTED if long[_GATE, i] == NULL else _HELD_BACK
            at = put_bytes(pieces, start[outcome], size[outcome], target, at)
            at = put_text(data, of[_GATE, i], long[_GATE, i], target, at)
            at = put_bytes(pieces, start[_GATES], size[_GATES], target, at)
            at = put_bytes(data, of[_GATES_TEXT, i], long[_GATES_TEXT, i], target, at)
        at = put_int(numbers[i, _EVENT_TIME], target, put_bytes(pieces, start[_AT_EVENT], size[_AT_EVENT], target, at))
        at = put_bytes(pieces, start[_AT_DECISION], size[_AT_DECISION], target, at)
        at = put_int(numbers[i, _DECIDED_AT], target, at)
        if not triggers:
            at = put_int(
                numbers[i, _MOMENT], target, put_bytes(pieces, start[_OF_MOMENT], size[_OF_MOMENT], target, at)
            )
        at = put_int(numbers[i, _EXPIRES_AT], target, put_bytes(pieces, start[_EXPIRES], size[_EXPIRES], target, at))
        at = put_bytes(pieces, start[_EVIDENCE], size[_EVIDENCE], target, at)
        at = put_bytes(data, of[_EVIDENCE_TEXT, i], long[_EVIDENCE_TEXT, i], target, at)
        if not triggers:
            at = put_int(numbers[i, _SEQ], target, put_bytes(pieces, start[_OF_RECORD], size[_OF_RECORD], target, at))
        at = put_bytes(pieces, start[_END], size[_END], target, at)
        records.value_size[i] = at - records.value_start[i]
