"""Predicates and rules: what a predicate reads, whether it holds, and the candidate that is captured."""

from __future__ import annotations

from typing import Final

import numpy as np

from models import features
from models.jit import part
from models.plan import CANDIDATES, CLOCK, ENTERED, SEQ, SEQ_RECORD, STAGE, CandidateColumn, Input
from models.programs import evaluate

_PROPERTY: Final = int(Input.PROPERTY)
_FEATURE: Final = int(Input.FEATURE)
_STAGE: Final = int(Input.STAGE)
_RECORD: Final = int(CandidateColumn.RECORD)
_RULE: Final = int(CandidateColumn.RULE)
_CUSTOMER: Final = int(CandidateColumn.CUSTOMER)
_INSTANCE: Final = int(CandidateColumn.INSTANCE)
_EVIDENCE_STAGE: Final = int(CandidateColumn.STAGE)
_DEADLINE: Final = int(CandidateColumn.DEADLINE)
_CLOCK: Final = int(CandidateColumn.CLOCK)
_GATES: Final = int(CandidateColumn.GATES)
_SEQ: Final = int(CandidateColumn.SEQ)
_SCORE: Final = int(CandidateColumn.SCORE)
_VALUES: Final = int(CandidateColumn.VALUES)


@part
def stage_time(cells, cell, now):
    """ms in the stage at `now`; NaN before the first stage."""
    entered = cells[cell + ENTERED]
    if entered != entered:
        return np.nan
    return max(0.0, now - entered)


@part
def fill(plan, predicate, customer, own, properties, now, out):
    """Fill the registers that the predicate reads. `properties` is empty at a timer: then they are NULL."""
    registers = out.registers
    for k in range(plan.input_bounds[predicate], plan.input_bounds[predicate + 1]):
        kind, index, register = plan.input_kind[k], plan.input_index[k], plan.input_register[k]
        if kind == _PROPERTY:
            registers[register] = properties[index] if len(properties) else np.nan
        elif kind == _FEATURE:
            cells = customer if plan.feature_entity[index] == 0 else own
            registers[register] = features.read(plan, out.places, index, cells)
        else:
            cells = customer if plan.journey_entity[index] == 0 else own
            cell = plan.journey_cell[index]
            if kind == _STAGE:
                registers[register] = cells[cell + STAGE]
            else:
                registers[register] = stage_time(cells, cell, now)


@part
def value_of(plan, predicate, customer, own, properties, now, out):
    """The value of a predicate or expression, and its inputs in `out.registers`."""
    fill(plan, predicate, customer, own, properties, now, out)
    first, end = plan.program_bounds[predicate], plan.program_bounds[predicate + 1]
    return evaluate(plan.ops, plan.args, first, end, out.registers, out.stack)


@part
def holds(plan, predicate, customer, own, properties, now, out):
    """Whether a predicate is TRUE; one that is absent is."""
    if predicate < 0:
        return True
    value = value_of(plan, predicate, customer, own, properties, now, out)
    return value == value and value != 0.0


@part
def gates_passed(plan, rule, customer, out):
    """How many of the rule's gates pass, in order, before one fails."""
    first, end = plan.rule_gate_bounds[rule], plan.rule_gate_bounds[rule + 1]
    for k in range(first, end):
        if not holds(plan, plan.rule_gates[k], customer, customer, out.registers[:0], np.nan, out):
            return k - first
    return end - first


@part
def score_of(plan, rule, customer, own, out):
    """The product of the rule's factors, 1 without any; what is NULL counts as 0."""
    score = 1.0
    for k in range(plan.rule_factor_bounds[rule], plan.rule_factor_bounds[rule + 1]):
        score *= value_of(plan, plan.rule_factors[k], customer, own, out.registers[:0], np.nan, out)
    return score if score == score else 0.0


@part
def next_seq(out, record):
    """Number what a record causes, transitions and candidates together, from 0."""
    if out.counts[SEQ_RECORD] != record:
        out.counts[SEQ_RECORD], out.counts[SEQ] = record, 0
    seq = out.counts[SEQ]
    out.counts[SEQ] = seq + 1
    return seq


@part
def consider(plan, state, out, rule, record, customer_row, instance_row, properties, now, deadline):
    """Evaluate a rule; where its predicate holds, capture the candidate with all that it read."""
    customer = state.customers[customer_row]
    own = state.instances[instance_row] if instance_row >= 0 else customer
    if not holds(plan, plan.rule_when[rule], customer, own, properties, now, out):
        return
    at = out.counts[CANDIDATES]
    out.counts[CANDIDATES] = at + 1
    row = out.candidates[at]
    for register in range(len(row) - _VALUES):
        row[_VALUES + register] = out.registers[register]
    journey = plan.rule_journey[rule]
    row[_RECORD], row[_RULE] = record, rule
    row[_CUSTOMER], row[_INSTANCE] = customer_row, instance_row
    row[_EVIDENCE_STAGE] = own[plan.journey_cell[journey] + STAGE] if journey >= 0 else np.nan
    row[_DEADLINE], row[_CLOCK] = deadline, state.numbers[CLOCK]
    row[_SEQ] = next_seq(out, record)
    row[_GATES] = gates_passed(plan, rule, customer, out)
    row[_SCORE] = score_of(plan, rule, customer, own, out)


@part
def add_considered(considered, count, bounds, rules, group):
    """Merge a CSR group into the ascending list of rules to consider, each once; returns the new count."""
    for k in range(bounds[group], bounds[group + 1]):
        rule = rules[k]
        at = count
        while at > 0 and considered[at - 1] > rule:
            at -= 1
        if at > 0 and considered[at - 1] == rule:
            continue
        for shift in range(count, at, -1):
            considered[shift] = considered[shift - 1]
        considered[at] = rule
        count += 1
    return count
