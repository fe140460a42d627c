"""Transitions as the records that are published: in bulk, the same bytes as msgspec gives of each `Transition`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from models.columns import Columns, Field
from models.jit import kernel
from models.json_write import MAX_ESCAPED, MAX_INT_BYTES, put_bytes, put_int, put_text
from models.plan import TransitionColumn
from models.records import Records
from models.texts import NULL, Ints, Texts
from models.transitions import NO_STAGE, NO_TIME, Transitions

if TYPE_CHECKING:
    from models.catalogue import Catalogue, Journey

_INTS: Final = 5
_JOURNEY, _FROM, _TO = map(int, (TransitionColumn.JOURNEY, TransitionColumn.FROM, TransitionColumn.TO))
_ENTERED_AT, _TIME_IN_STAGE = int(TransitionColumn.ENTERED_AT), int(TransitionColumn.TIME_IN_STAGE)
_TIMED_OUT, _AT, _OF_RECORD = map(int, (TransitionColumn.BY_TIMEOUT, TransitionColumn.CLOCK, TransitionColumn.SEQ))
# pieces that are the same for all transitions
_CUSTOMER, _TIME, _BY_EVENT, _BY_TIMEOUT, _CLOCK, _PARTITION, _OFFSET, _SEQ, _END = range(9)
_FIXED: Final = (
    b'{"customer_id":',
    b',"time_in_stage_ms":',
    b',"cause":"event","event_id":',
    b',"cause":"timeout","event_id":',
    b',"clock":',
    b',"partition":',
    b',"offset":',
    b',"seq":',
    b"}",
)


class Pieces(NamedTuple):
    """Pieces of JSON. entity: int64[journeys], the piece of each; stages: int64[journeys], the piece of a move from no
    stage to the first; counts: int64[journeys], stages of each; longest: bytes of all the pieces of one transition.
    """

    texts: Texts
    entity: Ints
    stages: Ints
    counts: Ints
    longest: int


def pieces_of(catalogue: Catalogue) -> Pieces:
    """The pieces for a catalogue."""
    pieces, entity, stages = list(_FIXED), [], []
    for journey in catalogue.journeys:
        entity.append(len(pieces))
        pieces.append(b',"entity":%b,"entity_id":' % msgspec.json.encode(journey.entity))
        stages.append(len(pieces))
        pieces += _moves(journey)
    counts = np.array([len(journey.stages) for journey in catalogue.journeys], np.int64)
    longest = sum(map(len, _FIXED)) + 2 * max(map(len, pieces))
    return Pieces(Texts.of(pieces), np.array(entity, np.int64), np.array(stages, np.int64), counts, longest)


def _moves(journey: Journey) -> Iterator[bytes]:
    """Of each pair of stages, from none and then from each in order."""
    name, stages = msgspec.json.encode(journey.name), list(map(msgspec.json.encode, journey.stages))
    for from_ in (b"null", *stages):
        for to in stages:
            yield b',"journey":%b,"from_stage":%b,"to_stage":%b,"entered_at":' % (name, from_, to)


def records_of(transitions: Transitions, columns: Columns, pieces: Pieces, clock: int) -> Records:
    """A record each, keyed by customer, with the timestamp `clock` (ms)."""
    event_ids = columns.texts(Field.EVENT_ID).take(transitions.record)
    of_event = Texts(event_ids.data, event_ids.start, np.where(transitions.by_timeout, NULL, event_ids.size))
    texts = (transitions.customers, transitions.entity_ids, of_event)
    room = len(transitions) * (pieces.longest + _INTS * MAX_INT_BYTES + 2 * len(texts) + MAX_INT_BYTES)
    room += sum(int((MAX_ESCAPED * text.size.clip(0)).sum()) for text in texts) + int(texts[0].size.sum())
    count = len(transitions)
    records = Records.blank(np.empty(room, np.uint8), count)
    records.timestamp[:] = clock
    offset = columns.offset[transitions.record]
    _write(*pieces[:4], transitions.numbers, offset, columns.partition, *texts, records)
    return records


@kernel
def _write(texts, entity, stages, counts, numbers, offset, partition, customers, entity_ids, event_ids, records):
    """numbers: those of `Transitions`; offset: int64[n], of the records that caused them."""
    target, at = records.data, 0
    pieces, start, size = texts
    for i in range(len(numbers)):
        journey, from_, to = numbers[i, _JOURNEY], numbers[i, _FROM], numbers[i, _TO]
        by_timeout = numbers[i, _TIMED_OUT] != 0
        records.key_start[i], records.key_size[i] = at, customers.size[i]
        at = put_bytes(customers.data, customers.start[i], customers.size[i], target, at)
        records.value_start[i] = at
        at = put_bytes(pieces, start[_CUSTOMER], size[_CUSTOMER], target, at)
        at = put_text(customers.data, customers.start[i], customers.size[i], target, at)
        at = put_bytes(pieces, start[entity[journey]], size[entity[journey]], target, at)
        at = put_text(entity_ids.data, entity_ids.start[i], entity_ids.size[i], target, at)
        move = stages[journey] + (from_ - NO_STAGE) * counts[journey] + to
        at = put_int(numbers[i, _ENTERED_AT], target, put_bytes(pieces, start[move], size[move], target, at))
        at = put_bytes(pieces, start[_TIME], size[_TIME], target, at)
        if numbers[i, _TIME_IN_STAGE] == NO_TIME:
            at = put_text(pieces, 0, NULL, target, at)
        else:
            at = put_int(numbers[i, _TIME_IN_STAGE], target, at)
        cause = _BY_TIMEOUT if by_timeout else _BY_EVENT
        at = put_bytes(pieces, start[cause], size[cause], target, at)
        at = put_text(event_ids.data, event_ids.start[i], event_ids.size[i], target, at)
        at = put_int(numbers[i, _AT], target, put_bytes(pieces, start[_CLOCK], size[_CLOCK], target, at))
        at = put_int(partition, target, put_bytes(pieces, start[_PARTITION], size[_PARTITION], target, at))
        at = put_int(offset[i], target, put_bytes(pieces, start[_OFFSET], size[_OFFSET], target, at))
        at = put_int(numbers[i, _OF_RECORD], target, put_bytes(pieces, start[_SEQ], size[_SEQ], target, at))
        at = put_bytes(pieces, start[_END], size[_END], target, at)
        records.value_size[i] = at - records.value_start[i]
