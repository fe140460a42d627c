"""The oracle's decisions: the candidates of one moment, those that are held, and who was contacted.

A moment is a record: `candidates` gathers what it causes, `decide` ends it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from models.catalogue import Catalogue, ContactLimit, Holdout, QuietHours, Rule
from models.policies import Policy
from models.published import Decision, Evidence
from tests.oracle_state import CUSTOMER, Cause, Row
from tests.oracle_windows import DAY_MS, HOUR_MS, MINUTE_MS, duration_ms, offset_ms


@dataclass(eq=False)
class Candidate:
    """A rule whose predicate held; `gates` and `score` are of when it came up or was last released."""

    id: str
    rule: Rule
    row: Row
    cause: Cause
    evidence: Evidence
    seq: int
    gates: dict[str, bool] = field(default_factory=dict)  # each [[gate]] of the catalogue; of one released `goal`, too
    score: float = 1.0
    goal_came: bool = False
    asked: dict[str, bool] = field(default_factory=dict)  # each gate asked in the moment that it stands in
    held_until: int | None = None  # of one that is or was held

    @property
    def expires_at(self) -> int:
        return self.cause.now + duration_ms(self.rule.expires)

    @property
    def place(self) -> tuple[int, int]:
        """In which order candidates came up."""
        return self.evidence.offset, self.seq


class Contact(NamedTuple):
    """A rule acted for a customer, or would have but for a holdout."""

    customer_id: str
    rule: Rule
    clock: int


class Decisions:
    """The candidates that are not yet decided, and the decisions made."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.candidates: list[Candidate] = []  # of this moment, in the order in which they came up
        self.held: list[Candidate] = []
        self.contacts: list[Contact] = []
        self.made: list[Decision] = []

    def release(self, clock: int) -> list[Candidate]:
        """Those held no longer become the first candidates of this moment."""
        released = [one for one in self.held if one.held_until is not None and one.held_until <= clock]
        self.held = [one for one in self.held if one not in released]
        for one in sorted(released, key=lambda one: one.place):
            # Choice: the goal's event has come "meanwhile" if it was applied before the record that releases
            one.gates["goal"] = not one.goal_came
            self.candidates.append(one)
        return released

    def reach_goals(self, event_type: str, rows: Mapping[str, Row]) -> None:
        """An event of `rows`, by entity, was applied. Choice: `within` of a goal bounds nothing here."""
        for one in [*self.held, *self.candidates]:
            named = rows.get(one.row.entity, one.row)  # the event may name no instance
            same_customer = rows[CUSTOMER].customer_id == one.row.customer_id
            if one.rule.goal is not None and one.rule.goal.event == event_type and same_customer and named is one.row:
                one.goal_came = True

    def decide(self, clock: int, moment: int) -> None:
        """The end of the moment, the record at this offset: what each candidate becomes."""
        candidates, self.candidates = self.candidates, []
        for one in candidates:
            self._ask_alone(one, clock)
        waiting = [one for one in candidates if one not in self.held]
        contenders = [one for one in waiting if all(one.asked.values())]
        taken: set[tuple[str, str]] = set()  # (customer, channel) of marketing
        for one in sorted(contenders, key=_turn):
            self._ask_in_turn(one, contenders, taken, clock)
        self.made += [self._decision(one, clock, moment) for one in waiting]

    # Gates

    def _ask_alone(self, one: Candidate, clock: int) -> None:
        """The gates that do not depend on other candidates: up to the first that fails, or the candidate is held."""
        zone, one.asked = self.catalogue.time_zone, {"expired": clock <= one.expires_at}
        goal = ["goal"] if one.rule.goal is not None and "goal" in one.gates else []
        for name in [*goal, *(gate.name for gate in self.catalogue.gates if is_for(gate, one.rule))]:
            if all(one.asked.values()):
                one.asked[name] = one.gates[name]
        for quiet in self.catalogue.quiet_hours:
            if all(one.asked.values()) and is_for(quiet, one.rule):
                one.asked[quiet.name] = not is_quiet(quiet, clock, zone)
                if not one.asked[quiet.name] and one.expires_at >= next_until(quiet, clock, zone):
                    one.held_until = next_until(quiet, clock, zone)
                    self.held.append(one)

    def _ask_in_turn(
        self, one: Candidate, contenders: list[Candidate], taken: set[tuple[str, str]], clock: int
    ) -> None:
        """The gates that depend on what was decided before; what acts, or would, is remembered."""
        rule, customer_id = one.rule, one.row.customer_id
        if rule.kind == "marketing" and len([other for other in contenders if _are_rivals(one, other)]) > 1:
            one.asked["arbitration"] = (customer_id, rule.channel) not in taken
        for limit in self.catalogue.contact_limits:
            if all(one.asked.values()) and is_for(limit, rule) and _counted_as(limit, rule) is not None:
                one.asked[limit.name] = self._contacts(limit, one, clock) < limit.most
        if all(one.asked.values()) and rule.cooldown is not None:
            last = one.row.acted.get(rule.name)
            one.asked["cooldown"] = last is None or clock - last >= duration_ms(rule.cooldown)
        if all(one.asked.values()):
            one.row.acted[rule.name] = clock
            self.contacts.append(Contact(customer_id, rule, clock))
            if rule.kind == "marketing":
                taken.add((customer_id, rule.channel))
        for holdout in self.catalogue.holdouts:
            if all(one.asked.values()) and is_for(holdout, rule):
                one.asked[holdout.name] = not is_held_out(holdout, customer_id)

    def _contacts(self, limit: ContactLimit, one: Candidate, clock: int) -> int:
        counted = [
            contact
            for contact in self.contacts
            if contact.customer_id == one.row.customer_id
            and is_for(limit, contact.rule)
            and _counted_as(limit, contact.rule) == _counted_as(limit, one.rule)
            and clock - duration_ms(limit.within) < contact.clock <= clock
        ]
        return len(counted)

    def _decision(self, one: Candidate, clock: int, moment: int) -> Decision:
        failed = [name for name, passed in one.asked.items() if not passed]
        return Decision(
            id=one.id,
            catalogue=self.catalogue.name,
            catalogue_version=self.catalogue.version,
            rule=one.rule.name,
            rule_version=one.rule.version,
            customer_id=one.row.customer_id,
            entity=one.row.entity,
            entity_id=one.row.entity_id,
            action=one.rule.action,
            channel=one.rule.channel,
            kind=one.rule.kind,
            acted=not failed,
            gate=failed[0] if failed else None,
            gates=dict(one.asked),
            event_time=one.cause.now,
            decided_at=clock,
            moment=moment,
            expires_at=one.expires_at,
            evidence=one.evidence,
            seq=one.seq,
        )


def _turn(one: Candidate) -> tuple[bool, float]:
    """Service, then marketing by score. Choice: the score of service orders nothing."""
    marketing = one.rule.kind == "marketing"
    return marketing, -one.score if marketing else 0.0


def _are_rivals(one: Candidate, other: Candidate) -> bool:
    """Both marketing, for one customer on one channel; each is a rival of itself."""
    same = one.row.customer_id == other.row.customer_id and one.rule.channel == other.rule.channel
    return same and one.rule.kind == other.rule.kind == "marketing"


# Policies


def is_for(policy: Policy, rule: Rule) -> bool:
    """Whether a policy's scope holds the rule."""
    if policy.kinds is not None and rule.kind not in policy.kinds:
        return False
    if policy.channels is not None and rule.channel not in policy.channels:
        return False
    if policy.groups is not None and rule.group not in policy.groups:
        return False
    return policy.rules is None or rule.name in policy.rules


def _counted_as(limit: ContactLimit, rule: Rule) -> str | None:
    """What a contact of the rule counts for; None if the limit counts it not at all."""
    return {"customer": "", "channel": rule.channel, "group": rule.group, "rule": rule.name}[limit.per]


def is_held_out(holdout: Holdout, customer_id: str) -> bool:
    """Whether the customer is in the share that is held out."""
    digest = hashlib.blake2b(f"{holdout.name}:{customer_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < holdout.share * 2**64


def is_quiet(quiet: QuietHours, clock: int, time_zone: str) -> bool:
    """Whether the local time of day is in [from, until)."""
    start, end = _time_of_day(quiet.from_), _time_of_day(quiet.until)
    now = (clock + offset_ms(clock, time_zone)) % DAY_MS
    return start <= now < end if start < end else now >= start or now < end


def next_until(quiet: QuietHours, clock: int, time_zone: str) -> int:
    """The next instant after the clock at which the quiet hours end."""
    today = clock // DAY_MS
    walls = [day * DAY_MS + _time_of_day(quiet.until) for day in range(today - 3, today + 4)]
    instants = [_instant_of(wall, time_zone) for wall in walls]
    return min(instant for instant in instants if instant > clock)


def _time_of_day(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * HOUR_MS + int(minute) * MINUTE_MS


def _instant_of(wall: int, time_zone: str) -> int:
    """Of a wall clock that is shown twice the later instant; of one that is left out that by the offset before."""
    shown = datetime(1970, 1, 1) + timedelta(milliseconds=wall)
    zone = ZoneInfo(time_zone)
    return max(round(shown.replace(tzinfo=zone, fold=fold).timestamp() * 1000) for fold in (0, 1))
