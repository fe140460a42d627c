"""Held candidates as records of the state: by names, which outlive rows and catalogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from models.gates import Candidate
from models.layout import Layout, RuleLayout
from models.pages import PageError
from models.published import Evidence
from models.shard_rows import Rows

_evidence = msgspec.json.Decoder(Evidence)

HELD_ROWS = 64  # candidates of one page, whose predicates may have 4,096 characters: at most about 400 KiB


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A candidate that waits for the end of quiet hours. Times in ms."""

    rule: str
    entity: str
    customer_id: str
    entity_id: str | None
    event_time: int
    until: int
    goal_met: bool | None
    seq: int
    evidence: Evidence


_decode_page = msgspec.msgpack.Decoder(list[Held]).decode


def packed(candidates: Iterable[Candidate]) -> bytes:
    """One page."""
    return msgspec.msgpack.encode([_held(one) for one in candidates])


def _held(one: Candidate) -> Held:
    assert one.until is not None, "only what is held is kept"
    return Held(
        rule=one.rule.rule.name,
        entity=one.rule.entity_name,
        customer_id=one.customer_id,
        entity_id=one.entity_id,
        event_time=one.event_time,
        until=one.until,
        goal_met=one.goal_met,
        seq=one.seq,
        evidence=_evidence.decode(one.evidence),
    )


def unpacked(blobs: Iterable[bytes]) -> list[Held]:
    """What pages hold, in order. Raises PageError."""
    try:
        return [held for blob in blobs for held in _decode_page(blob)]
    except msgspec.DecodeError as error:
        raise PageError(f"a record of the state is damaged, or of a newer version: {error}") from None


def resumed(held: Iterable[Held], layout: Layout, rows: Rows) -> tuple[list[Candidate], Counter[str]]:
    """The candidates; of rules that the catalogue has no more, or of another entity, only how many there were."""
    rules = {rule.rule.name: rule for rule in layout.rules}
    kept, gone = list[Candidate](), Counter[str]()
    for one in held:
        rule = rules.get(one.rule)
        if rule is None or rule.entity_name != one.entity:
            gone[one.rule] += 1
        else:
            kept.append(_candidate(one, rule, rows))
    return kept, gone


def _candidate(held: Held, rule: RuleLayout, rows: Rows) -> Candidate:
    customer = rows.customer_row(held.customer_id)
    return Candidate(
        rule=rule,
        offset=held.evidence.offset,
        deadline=held.evidence.deadline,
        moment=-1,
        customer_row=customer,
        row=customer if held.entity_id is None else rows.instance_row(rule.entity, customer, held.entity_id),
        customer_id=held.customer_id,
        entity_id=held.entity_id,
        event_time=held.event_time,
        clock=0,
        gates_passed=0,
        score=0.0,
        seq=held.seq,
        evidence=msgspec.json.encode(held.evidence),
        goal_met=held.goal_met,
        until=held.until,
    )
