"""Programs: expressions in postfix, interpreted by one small loop. Everything is float64; NULL is NaN, TRUE is 1.0.

No operation jumps, so that programs may be joined by putting one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

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


@njit(cache=True)
def truth(known, held):
    """A boolean from a comparison: NULL if not all operands are known."""
    return (1.0 if held else 0.0) if known else np.nan


@njit(cache=True)
def both(a, b):
    """a AND b."""
    if a == 0.0 or b == 0.0:
        return 0.0
    return truth(a == a and b == b, True)


@njit(cache=True)
def either(a, b):
    """a OR b."""
    if a == 1.0 or b == 1.0:
        return 1.0
    return truth(a == a and b == b, False)


@njit(cache=True)
def remainder(a, b):
    """a % b with the sign of a."""
    if b == 0.0 or b != b or not abs(a) < np.inf:
        return np.nan
    return np.fmod(a, b)


@njit(cache=True)
def least(a, b):
    """The smaller; NULL only if both are."""
    return b if a != a or b < a else a


@njit(cache=True)
def greatest(a, b):
    """The greater; NULL only if both are."""
    return b if a != a or b > a else a


@njit(cache=True)
def combine(op, a, b):
    """An operation on two values."""
    known = a == a and b == b
    if op == _GE:
        return truth(known, a >= b)
    if op == _EQ:
        return truth(known, a == b)
    if op == _AND:
        return both(a, b)
    if op == _GT:
        return truth(known, a > b)
    if op == _LE:
        return truth(known, a <= b)
    if op == _LT:
        return truth(known, a < b)
    if op == _NE:
        return truth(known, a != b)
    if op == _OR:
        return either(a, b)
    if op == _ADD:
        return a + b
    if op == _SUB:
        return a - b
    if op == _MUL:
        return a * b
    if op == _DIV:
        return a / b if b != 0.0 else np.nan
    if op == _COALESCE:
        return a if a == a else b
    if op == _LEAST:
        return least(a, b)
    if op == _GREATEST:
        return greatest(a, b)
    return remainder(a, b)


@njit(cache=True)
def change(op, a):
    """An operation on one value."""
    if op == _NOT:
        return 1.0 - a
    if op == _IS_NULL:
        return 1.0 if a != a else 0.0
    if op == _NEG:
        return -a
    return abs(a)


@njit(cache=True)
def choose(op, stack, below, top):
    """An operation on more than two values: the new top. `below` is the number of values under the top."""
    if op == _SELECT:
        return top if stack[below - 1] == 1.0 else stack[below - 2]
    if op == _BETWEEN:
        value, low = stack[below - 2], stack[below - 1]
        above = truth(value == value and low == low, value >= low)
        return both(above, truth(value == value and top == top, value <= top))
    if op == _SELECT_EQUAL:
        return top if stack[below - 3] == stack[below - 1] else stack[below - 2]
    if op == _IN_ITEM:
        subject = stack[below - 2]
        return either(stack[below - 1], truth(subject == subject and top == top, subject == top))
    return top  # NIP


@njit(cache=True, error_model="numpy")
def evaluate(ops, args, start, end, registers, stack):
    """Run ops[start:end]: the value that is left, NaN for NULL, also if none is. STORE writes to `registers`.

    ops: int32[n], args: float64[n]; registers: float64, as many as are named; stack: float64[MAX_STACK], scratch.
    """
    below, top = 0, np.nan  # the top of the stack is kept out of `stack`, which holds `below` values under it
    for at in range(start, end):
        op = ops[at]
        if op <= _CONST:
            stack[below] = top
            below += 1
            top = registers[int(args[at])] if op == _LOAD else args[at]
        elif op == _STORE:
            registers[int(args[at])] = top
            below -= 1
            top = stack[below]
        elif op <= _GREATEST:
            below -= 1
            top = combine(op, float(stack[below]), float(top))
        elif op <= _ABS:
            top = change(op, top)
        else:
            top = choose(op, stack, below, top)
            below -= 2 if op <= _SELECT_EQUAL else 1
    return top


def link(
    programs: Sequence[Sequence[tuple[int, float]]],
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """All programs one after another: ops, args, and bounds; program p is bounds[p] … bounds[p + 1]."""
    flat = [op for program in programs for op in program]
    ops = np.array([op for op, _ in flat], np.int32)
    args = np.array([argument for _, argument in flat], np.float64)
    return ops, args, np.cumsum([0, *map(len, programs)], dtype=np.int32)
