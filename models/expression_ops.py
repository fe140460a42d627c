"""Typed trees to postfix programs. Every part is evaluated, once: nothing has effects, so that CASE needs no jump."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final

from models.expression_types import Node
from models.programs import GROWTH, Op

Ops = list[tuple[int, float]]
Compile = Callable[[Node], Ops]


def ops_of(node: Node, register_of: Mapping[str, int]) -> Ops:
    """The (operation, argument) pairs that leave the node's value on the stack."""

    def compiled(part: Node) -> Ops:
        return ops_of(part, register_of)

    if node.op == "COLUMN":
        return [(int(Op.LOAD), float(register_of[str(node.value)]))]
    if node.op == "TEXT":
        return _constant(node.type.values.index(str(node.value)))
    if node.op == "CONST":
        return _constant(float(node.value or 0.0))
    if node.op == "NUMBER":  # TRUE is 1.0 already
        return compiled(node.parts[0])
    if node.op in _COMPOUND:
        return _COMPOUND[node.op](node, compiled)
    return _folded(node, compiled)


def height(ops: Ops) -> int:
    """The most values that a program holds at once."""
    return max(accumulate(GROWTH[Op(op)] for op, _ in ops))


def _constant(value: float) -> Ops:
    return [(int(Op.CONST), float(value))]


def _joined(*parts: Iterable[tuple[int, float]]) -> Ops:
    return [op for part in parts for op in part]


def _plain(op: Op) -> Ops:
    return [(int(op), 0.0)]


def _folded(node: Node, compiled: Compile) -> Ops:
    """An operation of one or two operands, or of many from left to right."""
    first, *others = node.parts
    op = _plain(Op[node.op])
    if GROWTH[Op[node.op]] == 0:
        return compiled(first) + op
    return compiled(first) + [one for other in others for one in (*compiled(other), *op)]


def _between(node: Node, compiled: Compile) -> Ops:
    return _joined(*map(compiled, node.parts), _plain(Op.BETWEEN))


def _in(node: Node, compiled: Compile) -> Ops:
    subject, *items = node.parts
    tests = _joined(*(compiled(item) + _plain(Op.IN_ITEM) for item in items))
    return _joined(compiled(subject), _constant(0.0), tests, _plain(Op.NIP))


def _case(node: Node, compiled: Compile) -> Ops:
    *branches, otherwise = node.parts
    return compiled(otherwise) + _branches(branches, Op.SELECT, compiled)


def _switch(node: Node, compiled: Compile) -> Ops:
    subject, *branches, otherwise = node.parts
    chosen = _branches(branches, Op.SELECT_EQUAL, compiled)
    return _joined(compiled(subject), compiled(otherwise), chosen, _plain(Op.NIP))


def _branches(branches: list[Node], op: Op, compiled: Compile) -> Ops:
    """From the last branch to the first, so that the first that holds has the last word."""
    pairs = list(zip(branches[::2], branches[1::2], strict=True))
    return _joined(*(compiled(when) + compiled(then) + _plain(op) for when, then in reversed(pairs)))


_COMPOUND: Final[dict[str, Callable[[Node, Compile], Ops]]] = {
    "BETWEEN": _between,
    "IN": _in,
    "CASE": _case,
    "SWITCH": _switch,
}
