"""From a candidate to a decision: the gates that ask nothing of other candidates, and the id that tells a repeat.

docs/semantics.md has the order of all gates; models/judge.py asks the others.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from models.layout import RuleLayout
from models.policies import EXPIRED, GOAL


class Candidate(msgspec.Struct, kw_only=True, gc=False):
    """A rule whose predicate held, with what the engine captured, and what became of it so far. Times in ms.

    `offset` is that of the record that caused it, `deadline` is set for a timer, and `moment` is the offset of the
    record with which it is decided. `evidence`: `published.Evidence` as JSON. `goal_met` is None for one that was never
    held, or has no goal; `until` is set while it is held.
    """

    rule: RuleLayout
    offset: int
    deadline: int | None
    moment: int
    customer_row: int
    row: int  # of the entity that it is about
    customer_id: str
    entity_id: str | None
    event_time: int  # the deadline, at a timer
    clock: int
    gates_passed: int  # of the catalogue's gates, in order
    score: float
    seq: int
    evidence: bytes
    goal_met: bool | None = None
    until: int | None = None
    gates: dict[str, bool] = {}  # that were asked, up to the first that failed

    @property
    def expires_at(self) -> int:
        return self.event_time + self.rule.rule.expires_ms

    def ask(self, name: str, passed: bool) -> bool:
        """Note a gate and whether it passed."""
        self.gates[name] = passed
        return passed


def passes_alone(candidate: Candidate) -> bool:
    """Ask the gates up to quiet hours. False where one failed, or quiet hours hold the candidate (`until`)."""
    candidate.gates, candidate.until = {}, None
    if not candidate.ask(EXPIRED, candidate.clock <= candidate.expires_at):
        return False
    if candidate.goal_met is not None and not candidate.ask(GOAL, not candidate.goal_met):
        return False
    for number, name in enumerate(candidate.rule.policies.gates):
        if not candidate.ask(name, number < candidate.gates_passed):
            return False
    return _passes_quiet_hours(candidate)


def _passes_quiet_hours(candidate: Candidate) -> bool:
    for quiet in candidate.rule.policies.quiet:
        if not quiet.holds_at(candidate.clock):
            candidate.ask(quiet.name, True)
            continue
        until = quiet.next_end(candidate.clock)
        if until <= candidate.expires_at:
            candidate.until = until
            return False
        return candidate.ask(quiet.name, False)
    return True


def decision_id(catalogue: str, version: str, topic: str, partition: int, candidate: Candidate) -> str:
    """A hash of what makes the decision the one it is: 16 bytes, hex."""
    rule, deadline = candidate.rule, candidate.deadline
    due = ("", -1) if deadline is None else (rule.journey.name if rule.journey else "", deadline)
    at = candidate.offset if deadline is None else -1
    key = (
        *(catalogue, version, rule.rule.name, rule.entity_name, candidate.customer_id),
        *(candidate.entity_id, topic, partition, at, rule.rule.listens.timeout or "", *due),
    )
    return blake2b(msgspec.msgpack.encode(key), digest_size=16).hexdigest()
