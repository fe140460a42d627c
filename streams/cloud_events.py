"""The headers of a trigger's record: CloudEvents 1.0 in Kafka's binary mode, as a record batch has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from aiokafka.record.util import encode_varint

from models.catalogue import Rule
from models.decisions import DecisionColumn, Decisions, DecisionText
from models.texts import Texts

_ID_BYTES: Final = 32
_TIME_BYTES: Final = 24


def rfc3339(time_ms: int) -> str:
    """An instant as text, UTC.

    >>> rfc3339(0)
    '1970-01-01T00:00:00.000Z'
    """
    return f"{np.datetime64(time_ms, 'ms')}Z"


class CloudEvents:
    """Of the triggers of a catalogue's rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._ends = [_end(f"zhice.trigger.{rule.name}") for rule in rules]

    def headers(self, decisions: Decisions) -> Texts:
        """The headers of the trigger of each decision, their number before them."""
        ids, rules = decisions.texts(DecisionText.ID).to_list(), decisions.rule.tolist()
        clocks = decisions.numbers[:, DecisionColumn.DECIDED_AT].tolist()
        times = {clock: rfc3339(clock).encode() for clock in set(clocks)}  # of one batch they are few
        return Texts.of(
            b"%b%b%b%b" % (_BEGIN, id_, self._ends[rule], times[clock])
            for id_, rule, clock in zip(ids, rules, clocks, strict=True)
        )


def packed(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Headers as they are in a record, but for their number."""
    parts = [part for name, value in headers for part in (name.encode(), value)]
    return b"".join(_varint(len(part)) + part for part in parts)


def _varint(number: int) -> bytes:
    found = bytearray()
    encode_varint(number, found.append)
    return bytes(found)


_FIRST: Final = (("content-type", b"application/json"), ("ce_specversion", b"1.0"), ("ce_source", b"/zhice"))
_OTHERS: Final = ("ce_id", "ce_type", "ce_time")
_BEGIN: Final = (
    _varint(len(_FIRST) + len(_OTHERS)) + packed(_FIRST) + packed([("ce_id", bytes(_ID_BYTES))])[:-_ID_BYTES]
)


def _end(type_: str) -> bytes:
    """What is between the id and the time."""
    return packed([("ce_type", type_.encode()), ("ce_time", bytes(_TIME_BYTES))])[:-_TIME_BYTES]
