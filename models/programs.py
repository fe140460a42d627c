"""Programs: expressions in postfix, interpreted by one small loop. Everything is float64; NULL is NaN, TRUE is 1.0."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.jit import njit

MAX_STACK: Final = 64  # values that one program may hold at once


class Op(IntEnum):
    """CONST, LOAD and STORE have an argument: a value, or a register. No op jumps; SELECT takes (condition, then, else)."""

    CONST = 0
    LOAD = 1
    STORE = 2
    EQ = 3
    NE = 4
    LT = 5
    LE = 6
    GT = 7
    GE = 8
    AND = 9
    OR = 10
    NOT = 11
    ADD = 12
    SUB = 13
    MUL = 14
    DIV = 15
    MOD = 16
    NEG = 17
    ABS = 18
    IS_NULL = 19
    COALESCE = 20
    LEAST = 21
    GREATEST = 22
    SELECT = 23


_CONST: Final = int(Op.CONST)
_LOAD: Final = int(Op.LOAD)
_STORE: Final = int(Op.STORE)
_GE: Final = int(Op.GE)
_EQ: Final = int(Op.EQ)
_NE: Final = int(Op.NE)
_LT: Final = int(Op.LT)
_LE: Final = int(Op.LE)
_GT: Final = int(Op.GT)
_AND: Final = int(Op.AND)
_OR: Final = int(Op.OR)
_NOT: Final = int(Op.NOT)
_ADD: Final = int(Op.ADD)
_SUB: Final = int(Op.SUB)
_MUL: Final = int(Op.MUL)
_DIV: Final = int(Op.DIV)
_MOD: Final = int(Op.MOD)
_NEG: Final = int(Op.NEG)
_ABS: Final = int(Op.ABS)
_IS_NULL: Final = int(Op.IS_NULL)
_COALESCE: Final = int(Op.COALESCE)
_LEAST: Final = int(Op.LEAST)
_SELECT: Final = int(Op.SELECT)


@njit
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


@njit
def combine(op, a, b):
    """An operator of two operands that is no comparison."""
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
    if op == _MOD:
        return np.nan if b == 0.0 or b != b or not abs(a) < np.inf else np.fmod(a, b)
    if op == _COALESCE:
        return b if a != a else a
    if a != a:  # LEAST and GREATEST pass over NULL
        return b
    if b != b:
        return a
    if op == _LEAST:
        return min(a, b)
    return max(a, b)


@njit
def change(op, a):
    """An operator of one operand."""
    if op == _IS_NULL:
        return 1.0 if a != a else 0.0
    if op == _NOT:
        return 1.0 - a
    if op == _NEG:
        return -a
    return abs(a)


@njit
def evaluate(ops, args, start, end, registers, stack):
    """Run ops[start:end]; returns the value on top of the stack, NaN for NULL. `registers` may be written by STORE."""
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
        elif op == _SELECT:
            top -= 2
            if stack[top] != 1.0:
                stack[top + 1] = stack[top + 2]
            stack[top] = stack[top + 1]
        elif op == _NOT or op == _NEG or op == _ABS or op == _IS_NULL:
            stack[top] = change(op, stack[top])
        else:
            top -= 1
            stack[top] = combine(op, stack[top], stack[top + 1])
    return stack[max(top, 0)]


def link(
    programs: Sequence[Sequence[tuple[int, float]]],
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """All programs one after another: ops, args, and bounds; program p is bounds[p] … bounds[p + 1]."""
    flat = [op for program in programs for op in program]
    ops = np.array([op for op, _ in flat], np.int32)
    args = np.array([argument for _, argument in flat], np.float64)
    return ops, args, np.cumsum([0, *map(len, programs)], dtype=np.int32)
