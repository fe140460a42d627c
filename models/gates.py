"""From a candidate to a decision: the gates, in order (docs/semantics.md), and the id that tells a repeat."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from models.decisions import Decision, Evidence, Trigger
from models.layout import RuleLayout

EXPIRED, COOLDOWN = "expired", "cooldown"


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A rule whose predicate held, with what the engine captured. Times in ms."""

    rule: RuleLayout
    customer_id: str
    entity: str
    entity_id: str | None
    event_time: int  # the deadline, at a timer
    clock: int
    gates_passed: int  # of the catalogue's gates, in order
    acted_at: float  # when the rule last acted for the entity; NaN: never
    evidence: Evidence


def judge(candidate: Candidate) -> dict[str, bool]:
    """Each gate that was asked and whether it passed, up to the first that failed."""
    rule = candidate.rule.rule
    gates = {EXPIRED: candidate.clock <= candidate.event_time + rule.expires_ms}
    if not gates[EXPIRED]:
        return gates
    names = candidate.rule.gates
    for number, name in enumerate(names[: candidate.gates_passed + 1]):
        gates[name] = number < candidate.gates_passed
    if candidate.gates_passed < len(names):
        return gates
    if rule.cooldown_ms is not None:
        gates[COOLDOWN] = not candidate.clock - candidate.acted_at < rule.cooldown_ms
    return gates


def decision_id(catalogue: str, version: str, candidate: Candidate) -> str:
    """A hash of what makes the decision the one it is: 16 bytes, hex."""
    evidence = candidate.evidence
    journey = candidate.rule.journey
    due = ("", -1) if evidence.deadline is None else (journey.name if journey else "", evidence.deadline)
    at = -1 if evidence.deadline is not None else evidence.offset
    listens = candidate.rule.rule.listens
    key = (
        *(catalogue, version, candidate.rule.rule.name, candidate.entity, candidate.customer_id),
        *(candidate.entity_id, evidence.topic, evidence.partition, at, listens.timeout or "", *due),
    )
    return blake2b(msgspec.msgpack.encode(key), digest_size=16).hexdigest()


def decide(catalogue: str, version: str, candidate: Candidate, seq: int) -> Decision:
    """The decision about a candidate."""
    rule = candidate.rule.rule
    gates = judge(candidate)
    failed = next((name for name, passed in gates.items() if not passed), None)
    return Decision(
        id=decision_id(catalogue, version, candidate),
        catalogue=catalogue,
        catalogue_version=version,
        rule=rule.name,
        rule_version=rule.version,
        customer_id=candidate.customer_id,
        entity=candidate.entity,
        entity_id=candidate.entity_id,
        action=rule.action,
        channel=rule.channel,
        kind=rule.kind,
        acted=failed is None,
        gate=failed,
        gates=gates,
        event_time=candidate.event_time,
        decided_at=candidate.clock,
        expires_at=candidate.event_time + rule.expires_ms,
        evidence=candidate.evidence,
        seq=seq,
    )


def trigger_of(decision: Decision) -> Trigger:
    """What is published of a decision to act."""
    return Trigger(**{name: getattr(decision, name) for name in Trigger.__struct_fields__})
