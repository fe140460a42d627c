"""What the engine puts out: transitions, decisions and triggers, as they are published."""

from __future__ import annotations

import msgspec


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """An entity entered a stage. Times in ms; `seq` counts what the record at `offset` caused, from 0."""

    customer_id: str
    entity: str
    entity_id: str | None  # None for the customer itself
    journey: str
    from_stage: str | None
    to_stage: str
    entered_at: int
    time_in_stage_ms: int | None
    cause: str  # "event" or "timeout"
    event_id: str | None
    clock: int
    partition: int
    offset: int
    seq: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why: what the predicate read, and where it came from."""

    event_id: str | None
    event: str | None
    deadline: int | None  # ms; set for a timer
    stage: str | None
    values: dict[str, float | bool | str | None]  # each name that the predicate read
    predicate: str
    topic: str
    partition: int
    offset: int


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a candidate. `gate` names the gate that failed; `acted` is true when none did."""

    id: str
    catalogue: str
    catalogue_version: str
    rule: str
    rule_version: str
    customer_id: str
    entity: str
    entity_id: str | None
    action: str
    channel: str
    kind: str
    acted: bool
    gate: str | None
    gates: dict[str, bool]  # in order, up to the first that failed
    event_time: int
    decided_at: int
    moment: int  # offset of the record with which it was decided; the evidence's, unless quiet hours held it
    expires_at: int
    evidence: Evidence
    seq: int


class Trigger(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decision to act, as published for a channel."""

    id: str
    catalogue: str
    catalogue_version: str
    rule: str
    rule_version: str
    customer_id: str
    entity: str
    entity_id: str | None
    action: str
    channel: str
    kind: str
    event_time: int
    decided_at: int
    expires_at: int
    evidence: Evidence
