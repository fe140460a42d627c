"""From sqlglot's tree to typed nodes; what is outside the language, or does not fit, is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import isinf
from typing import Final

from sqlglot import exp

from models.expression_text import outside, shown
from models.expression_types import BOOLEAN, NULL, NUMBER, ExpressionError, Kind, Node, Type, string_of

_ARITHMETIC: Final[dict[type[exp.Expression], str]] = {
    exp.Add: "ADD",
    exp.Sub: "SUB",
    exp.Mul: "MUL",
    exp.Div: "DIV",
    exp.Mod: "MOD",
    exp.Neg: "NEG",
    exp.Abs: "ABS",
}
_COMPARISONS: Final[dict[type[exp.Expression], str]] = {
    exp.EQ: "EQ",
    exp.NEQ: "NE",
    exp.LT: "LT",
    exp.LTE: "LE",
    exp.GT: "GT",
    exp.GTE: "GE",
}
_LOGIC: Final[dict[type[exp.Expression], str]] = {exp.And: "AND", exp.Or: "OR", exp.Not: "NOT"}
_FOLDED: Final[dict[type[exp.Expression], str]] = {
    exp.Coalesce: "COALESCE",
    exp.Least: "LEAST",
    exp.Greatest: "GREATEST",
}


def checked(tree: exp.Expression, types: Mapping[str, Type]) -> Node:
    """The typed tree of an expression that may read these columns. Raises ExpressionError."""
    root = _Checker(types).node(tree)
    if root.type.kind is Kind.STRING and root.op != "COLUMN":
        raise _returned()
    return root


class _Checker:
    def __init__(self, types: Mapping[str, Type]) -> None:
        self.types = types

    def node(self, tree: exp.Expression) -> Node:
        handler = _HANDLERS.get(type(tree))
        if handler is None:
            raise outside(tree)
        return handler(self, tree)

    def column(self, tree: exp.Expression) -> Node:
        if tree.args.get("table") or not isinstance(tree.this, exp.Identifier):
            raise outside(tree)
        name = tree.name
        if name not in self.types:
            near = get_close_matches(name.lower(), self.types, n=1)  # names are lower case
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ExpressionError(f"unknown name '{name}'{hint}")
        return Node("COLUMN", self.types[name], value=name)

    def literal(self, tree: exp.Expression) -> Node:
        if tree.is_string:
            return Node("TEXT", string_of(()), value=str(tree.this))
        try:
            value = float(tree.this)
        except ValueError:
            raise outside(tree) from None
        if isinf(value):
            raise ExpressionError(f"{shown(tree)} is too large a number")
        return Node("CONST", NUMBER, value=value)

    def boolean(self, tree: exp.Expression) -> Node:
        return Node("CONST", BOOLEAN, value=1.0 if tree.this else 0.0)

    def null(self, tree: exp.Expression) -> Node:
        return Node("CONST", NULL, value=float("nan"))

    def inner(self, tree: exp.Expression) -> Node:
        return self.node(tree.this)

    def arithmetic(self, tree: exp.Expression) -> Node:
        parts = [_number(self.node(part), part) for part in tree.iter_expressions()]
        return Node(_ARITHMETIC[type(tree)], NUMBER, tuple(parts))

    def logic(self, tree: exp.Expression) -> Node:
        parts = [self.condition(part) for part in tree.iter_expressions()]
        return Node(_LOGIC[type(tree)], BOOLEAN, tuple(parts))

    def condition(self, tree: exp.Expression) -> Node:
        node = self.node(tree)
        if node.type.kind not in (Kind.BOOLEAN, Kind.NULL):
            raise ExpressionError(f"{shown(tree)} is a {node.type.kind.value}, where a condition is wanted")
        return node

    def comparison(self, tree: exp.Expression) -> Node:
        op = _COMPARISONS[type(tree)]
        return Node(op, BOOLEAN, self._comparable(tree, [tree.this, tree.expression], op in ("EQ", "NE")))

    def between(self, tree: exp.Expression) -> Node:
        if tree.args.get("symmetric"):
            raise outside(tree)
        operands = [tree.this, tree.args["low"], tree.args["high"]]
        return Node("BETWEEN", BOOLEAN, self._comparable(tree, operands, False))

    def membership(self, tree: exp.Expression) -> Node:
        if not tree.expressions:
            raise outside(tree)
        return Node("IN", BOOLEAN, self._comparable(tree, [tree.this, *tree.expressions], True))

    def is_null(self, tree: exp.Expression) -> Node:
        if not isinstance(tree.expression, exp.Null):
            raise outside(tree)
        node = self.node(tree.this)
        if node.op == "TEXT":
            raise ExpressionError(f"{shown(tree)}: a string that is written here is never NULL")
        return Node("IS_NULL", BOOLEAN, (node,))

    def folded(self, tree: exp.Expression) -> Node:
        parts = self._alike([tree.this, *tree.expressions])
        return Node(_FOLDED[type(tree)], _type_of(parts), parts)

    def case(self, tree: exp.Expression) -> Node:
        branches = tree.args["ifs"]
        subject, whens = self._tests(tree, [branch.this for branch in branches])
        otherwise = tree.args.get("default") or exp.Null()
        *thens, last = self._alike([*(branch.args["true"] for branch in branches), otherwise])
        pairs = [part for pair in zip(whens, thens, strict=True) for part in pair]
        return Node("SWITCH" if subject else "CASE", _type_of([*thens, last]), (*subject, *pairs, last))

    def _tests(self, tree: exp.Expression, whens: list[exp.Expression]) -> tuple[list[Node], list[Node]]:
        """A CASE's subject, in a list that is empty without one, and what follows each WHEN."""
        if tree.this is None:
            return [], [self.condition(when) for when in whens]
        subject, *values = self._comparable(tree, [tree.this, *whens], True)
        return [subject], values

    def _alike(self, trees: list[exp.Expression]) -> tuple[Node, ...]:
        """Nodes of one kind, none a string; booleans among numbers become numbers."""
        nodes = [self.node(tree) for tree in trees]
        if any(node.type.kind is Kind.STRING for node in nodes):
            raise _returned()
        return _same_kind(nodes, trees)

    def _comparable(self, whole: exp.Expression, trees: list[exp.Expression], equality: bool) -> tuple[Node, ...]:
        """Nodes that may be compared: of one kind, or a string with values that are declared for it."""
        nodes = [self.node(tree) for tree in trees]
        strings = [node for node in nodes if node.type.kind is Kind.STRING]
        if not strings:
            return _same_kind(nodes, trees)
        if not equality:
            raise ExpressionError(f"strings have no order: {shown(whole)}")
        columns = [node for node in strings if node.op == "COLUMN"]
        if len(columns) != 1 or any(node.type.kind not in (Kind.STRING, Kind.NULL) for node in nodes):
            raise ExpressionError(f"a string may only be compared with values that are declared for it: {shown(whole)}")
        return tuple(_declared(node, columns[0]) if node.op == "TEXT" else node for node in nodes)


def _number(node: Node, tree: exp.Expression) -> Node:
    if node.type.kind is Kind.STRING:
        raise ExpressionError(f"{shown(tree)} is a string, where a number is wanted")
    return Node("NUMBER", NUMBER, (node,)) if node.type.kind is Kind.BOOLEAN else node


def _same_kind(nodes: list[Node], trees: list[exp.Expression]) -> tuple[Node, ...]:
    if any(node.type.kind is Kind.NUMBER for node in nodes):
        return tuple(_number(node, tree) for node, tree in zip(nodes, trees, strict=True))
    return tuple(nodes)


def _type_of(alike: list[Node] | tuple[Node, ...]) -> Type:
    return next((node.type for node in alike if node.type.kind is not Kind.NULL), NULL)


def _declared(text: Node, column: Node) -> Node:
    if text.value not in column.type.values:
        declared = ", ".join(map(repr, column.type.values)) or "none"
        raise ExpressionError(f"'{text.value}' is no declared value of '{column.value}'; declared: {declared}")
    return Node("TEXT", column.type, value=text.value)


def _returned() -> ExpressionError:
    return ExpressionError("an expression may compare strings, not return them")


_HANDLERS: Final[dict[type[exp.Expression], Callable[[_Checker, exp.Expression], Node]]] = {
    exp.Column: _Checker.column,
    exp.Literal: _Checker.literal,
    exp.Boolean: _Checker.boolean,
    exp.Null: _Checker.null,
    exp.Paren: _Checker.inner,
    exp.In: _Checker.membership,
    exp.Between: _Checker.between,
    exp.Is: _Checker.is_null,
    exp.Case: _Checker.case,
    **dict.fromkeys(_ARITHMETIC, _Checker.arithmetic),
    **dict.fromkeys(_COMPARISONS, _Checker.comparison),
    **dict.fromkeys(_LOGIC, _Checker.logic),
    **dict.fromkeys(_FOLDED, _Checker.folded),
}
