"""Decides about candidates, moment by moment, and keeps those that wait for the end of quiet hours."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from models import engine
from models.columns import Columns
from models.gates import Candidate, passes_alone
from models.layout import Layout
from models.plan import PAGE_ROWS, Batch, Out, Status
from models.policies import ARBITRATION, COOLDOWN
from models.shard_rows import Rows
from models.waiting import Waiting

MARKETING = "marketing"


class Judge:
    """`held`: the candidates that quiet hours hold."""

    def __init__(self, layout: Layout, rows: Rows) -> None:
        self.layout, self.rows = layout, rows
        self.held = Waiting()
        self._goal_events = np.zeros(len(layout.events), np.bool_)
        self._goal_events[[rule.goal_event for rule in layout.rules if rule.goal_event is not None]] = True

    def decide(self, candidates: list[Candidate]) -> list[Candidate]:
        """Decide about candidates of moments that are over, in the order in which they came up; all but those held."""
        moments: dict[tuple[int, int], list[Candidate]] = {}
        for one in candidates:
            moments.setdefault((one.moment, one.customer_row), []).append(one)
        for moment in moments.values():
            self._judge(moment)
        for one in candidates:
            if one.until is not None:
                self._hold(one)
        return [one for one in candidates if one.until is None]

    def _judge(self, moment: list[Candidate]) -> None:
        """Ask all gates of the candidates of one customer and one moment."""
        standing = [one for one in moment if passes_alone(one)]
        if len(standing) == 1:
            self._act(standing[0])
            return
        marketing = sorted((one for one in standing if _is_marketing(one)), key=lambda one: -one.score)
        rivals = Counter(one.rule.rule.channel for one in marketing)
        taken: set[str] = set()
        for one in standing:
            if not _is_marketing(one):
                self._act(one)
        for one in marketing:
            channel = one.rule.rule.channel
            if rivals[channel] == 1:
                self._act(one)
            elif one.ask(ARBITRATION, channel not in taken) and self._act(one):
                taken.add(channel)

    def _act(self, one: Candidate) -> bool:
        """Ask the gates that remember, and then remember; who is held out does not act, but all else is the same."""
        if not self._may_contact(one):
            return False
        self._note_action(one)
        for holdout in one.rule.policies.holdouts:
            if not one.ask(holdout.name, not holdout.has(one.customer_id)):
                break
        return True

    def _may_contact(self, one: Candidate) -> bool:
        """Ask the gates that remember: contact limits and the cooldown."""
        customer, rule = self.rows.state.customers[one.customer_row], one.rule
        for limit in rule.policies.limits:
            if not one.ask(limit.name, not one.clock - customer[limit.cell] < limit.within):
                return False
        if rule.rule.cooldown_ms is None:
            return True
        acted_at = self.rows.matrix(int(rule.entity > 0))[one.row, rule.acted_cell]
        return one.ask(COOLDOWN, not one.clock - acted_at < rule.rule.cooldown_ms)

    def _note_action(self, one: Candidate) -> None:
        """Remember when the rule acted for its entity, and the contact with the customer."""
        state, rule = self.rows.state, one.rule
        self.rows.matrix(int(rule.entity > 0))[one.row, rule.acted_cell] = one.clock
        (state.dirty_instances if rule.entity else state.dirty_customers)[one.row // PAGE_ROWS] = True
        for ring in rule.policies.rings:
            cells = state.customers[one.customer_row, ring.first : ring.first + ring.size]
            cells[1:] = cells[:-1]
            cells[0] = one.clock
            state.dirty_customers[one.customer_row // PAGE_ROWS] = True

    # --- held candidates -------------------------------------------------------------------------------------------

    def _hold(self, one: Candidate) -> None:
        if one.goal_met is None and one.rule.goal_event is not None:
            one.goal_met = False
        self.held.add(one)

    def next_release(self, clock: int) -> int:
        """The clock at which one that is held, or that comes up from now on, is due at the earliest."""
        return min([self.held.next_end, *(quiet.next_end(clock) for quiet in self.layout.policies.quiet)])

    def release(self, clock: int, moment: int, out: Out) -> list[Candidate]:
        """Those that are due at the clock of the record at an offset, as candidates of its moment."""
        due = self.held.release(clock)
        if due:
            self.reconsider(due, out)
        for one in due:
            one.moment, one.clock = moment, clock
        return due

    def reconsider(self, candidates: list[Candidate], out: Out) -> None:
        """Evaluate gates and scores anew, over the rows as they are."""
        number = [(one.rule.number, one.customer_row, one.row if one.rule.entity else -1) for one in candidates]
        rules, customers, instances = np.array(number, np.int64).reshape(-1, 3).T.copy()
        gates, scores = np.empty(len(rules), np.int64), np.empty(len(rules))
        plan, state = self.layout.plan, self.rows.state
        engine.reconsider(plan, state, out, rules, customers, instances, gates, scores)
        for one, passed, score in zip(candidates, gates.tolist(), scores.tolist(), strict=True):
            one.gates_passed, one.score = passed, score

    def note_goals(self, columns: Columns, batch: Batch, status: NDArray[np.int8], first: int, end: int) -> None:
        """Let held candidates know of the goals among records first … end - 1."""
        if not self.held.any_hoping:
            return
        applied = first + np.flatnonzero(status[first:end] == Status.APPLIED)
        for record in applied[self._goal_events[batch.event_type[applied]]].tolist():
            for one in self.held.hoping(int(batch.rows[record, 0])):
                if one.rule.goal_event == batch.event_type[record] and _is_later(one, columns, batch, record):
                    self.held.meet(one)


def _is_marketing(one: Candidate) -> bool:
    return one.rule.rule.kind == MARKETING


def _is_later(one: Candidate, columns: Columns, batch: Batch, record: int) -> bool:
    """Whether an event of the customer came after the candidate, and is not another instance's."""
    offset = columns.offset[record]
    if offset < one.offset or (offset == one.offset and one.deadline is None):
        return False
    return one.rule.entity == 0 or batch.rows[record, one.rule.entity] in (-1, one.row)
