"""Programs: expressions in postfix, interpreted by one small loop. Everything is float64; NULL is NaN, TRUE is 1.0.

No operation jumps, so that programs may be joined by putting one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.jit import kernel, part

MAX_STACK: Final = 64  # values that one program may hold at once


class Op(IntEnum):
    """What an operation does with the stack; written as: what it takes → what it leaves, the top last.

    CONST, LOAD and STORE have an argument: a value, or a register.
    """

    LOAD = 0  # → value
    CONST = 1  # → value
    STORE = 2  # value →
    EQ = 3  # a, b → boolean; likewise to GREATEST
    NE = 4
    LT = 5
    LE = 6
    GT = 7
    GE = 8
    AND = 9
    OR = 10
    ADD = 11
    SUB = 12
    MUL = 13
    DIV = 14
    MOD = 15
    COALESCE = 16
    LEAST = 17
    GREATEST = 18
    NOT = 19  # a → boolean; likewise to ABS
    IS_NULL = 20
    NEG = 21
    ABS = 22
    BETWEEN = 23  # a, low, high → boolean
    SELECT = 24  # otherwise, condition, then → value
    SELECT_EQUAL = 25  # subject, otherwise, a, then → subject, value
    IN_ITEM = 26  # subject, found, a → subject, found
    NIP = 27  # a, b → b


GROWTH: Final[dict[Op, int]] = (
    {Op.LOAD: 1, Op.CONST: 1, Op.STORE: -1}
    | {op: -1 for op in Op if Op.EQ <= op <= Op.GREATEST}
    | {op: 0 for op in Op if Op.NOT <= op <= Op.ABS}
    | {Op.BETWEEN: -2, Op.SELECT: -2, Op.SELECT_EQUAL: -2, Op.IN_ITEM: -1, Op.NIP: -1}
)
"""By how many values an operation makes the stack higher."""

_LOAD: Final = int(Op.LOAD)
_CONST: Final = int(Op.CONST)
_STORE: Final = int(Op.STORE)
_EQ: Final = int(Op.EQ)
_NE: Final = int(Op.NE)
_LT: Final = int(Op.LT)
_LE: Final = int(Op.LE)
_GT: Final = int(Op.GT)
_GE: Final = int(Op.GE)
_AND: Final = int(Op.AND)
_OR: Final = int(Op.OR)
_ADD: Final = int(Op.ADD)
_SUB: Final = int(Op.SUB)
_MUL: Final = int(Op.MUL)
_DIV: Final = int(Op.DIV)
_MOD: Final = int(Op.MOD)
_COALESCE: Final = int(Op.COALESCE)
_LEAST: Final = int(Op.LEAST)
_GREATEST: Final = int(Op.GREATEST)
_NOT: Final = int(Op.NOT)
_IS_NULL: Final = int(Op.IS_NULL)
_NEG: Final = int(Op.NEG)
_ABS: Final = int(Op.ABS)
_BETWEEN: Final = int(Op.BETWEEN)
_SELECT: Final = int(Op.SELECT)
_SELECT_EQUAL: Final = int(Op.SELECT_EQUAL)
_IN_ITEM: Final = int(Op.IN_ITEM)


@part
def compare(op, a, b):
    """A comparison of two values; NULL if one is."""
    if a != a or b != b:
        return np.nan
    if op == _EQ:
        return 1.0 if a == b else 0.0
    if op == _NE:
        return 1.0 if a != b else 0.0
    if op == _LT:
        return 1.0 if a < b else 0.0
    if op == _LE:
        return 1.0 if a <= b else 0.0
    if op == _GT:
        return 1.0 if a > b else 0.0
    return 1.0 if a >= b else 0.0


@part
def combine(op, a, b):
    """An operation on two values that is no comparison."""
    if op == _AND:
        if a == 0.0 or b == 0.0:
            return 0.0
        return np.nan if a != a or b != b else 1.0
    if op == _OR:
        if a == 1.0 or b == 1.0:
            return 1.0
        return np.nan if a != a or b != b else 0.0
    if op == _ADD:
        return a + b
    if op == _SUB:
        return a - b
    if op == _MUL:
        return a * b
    if op == _DIV:
        return np.nan if b == 0.0 else a / b
    if op == _MOD:  # the sign is that of a
        return np.nan if b == 0.0 or b != b or not abs(a) < np.inf else np.fmod(a, b)
    if op == _COALESCE:
        return b if a != a else a
    if op == _LEAST:  # LEAST and GREATEST pass over NULL
        return b if a != a or b < a else a
    return b if a != a or b > a else a


@part
def change(op, a):
    """An operation on one value."""
    if op == _IS_NULL:
        return 1.0 if a != a else 0.0
    if op == _NOT:
        return 1.0 - a
    if op == _NEG:
        return -a
    return abs(a)


@part
def between(a, low, high):
    """a BETWEEN low AND high."""
    return combine(_AND, compare(_GE, a, low), compare(_LE, a, high))


@kernel
def evaluate(ops, args, start, end, registers, stack):
    """Run ops[start:end]; returns the value on top of the stack, NaN for NULL. STORE writes to `registers`.

    ops: int32[n], args: float64[n]; registers: float64, as many as are named; stack: float64[MAX_STACK], scratch.
    """
    top = -1
    for at in range(start, end):
        op = ops[at]
        if op == _LOAD:
            top += 1
            stack[top] = registers[int(args[at])]
        elif op == _CONST:
            top += 1
            stack[top] = args[at]
        elif op == _STORE:
            registers[int(args[at])] = stack[top]
            top -= 1
        elif op <= _GE:
            top -= 1
            stack[top] = compare(op, stack[top], stack[top + 1])
        elif op <= _GREATEST:
            top -= 1
            stack[top] = combine(op, float(stack[top]), float(stack[top + 1]))
        elif op <= _ABS:
            stack[top] = change(op, stack[top])
        elif op == _SELECT:
            top -= 2
            if stack[top + 1] == 1.0:
                stack[top] = stack[top + 2]
        elif op == _BETWEEN:
            top -= 2
            stack[top] = between(stack[top], stack[top + 1], stack[top + 2])
        elif op == _SELECT_EQUAL:
            top -= 2
            if stack[top - 1] == stack[top + 1]:
                stack[top] = stack[top + 2]
        elif op == _IN_ITEM:
            top -= 1
            stack[top] = combine(_OR, stack[top], compare(_EQ, stack[top - 1], stack[top + 1]))
        else:  # NIP
            top -= 1
            stack[top] = stack[top + 1]
    return stack[max(top, 0)]


def link(
    programs: Sequence[Sequence[tuple[int, float]]],
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """All programs one after another: ops, args, and bounds; program p is bounds[p] … bounds[p + 1]."""
    flat = [op for program in programs for op in program]
    ops = np.array([op for op, _ in flat], np.int32)
    args = np.array([argument for _, argument in flat], np.float64)
    return ops, args, np.cumsum([0, *map(len, programs)], dtype=np.int32)
