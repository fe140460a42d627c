"""Expressions: SQL text, checked and typed, to a postfix program for the engine and to DuckDB SQL for history.

Numbers are DOUBLE. A boolean where a number is wanted counts as 0 or 1; a number where a condition is wanted is an
error. x / 0 and x % 0 are NULL. Strings may only be compared with values that are declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import reduce
from typing import Final

import sqlglot
from sqlglot import exp

from models.programs import MAX_STACK, Op

MAX_EXPRESSION_CHARS: Final = 4096
MAX_EXPRESSION_DEPTH: Final = 48
MAX_PROGRAM_OPS: Final = 1024
OTHER: Final = -1.0  # the code of a string that is not declared


class ExpressionError(ValueError):
    """An expression that cannot be used; one line that says what and where."""


class Kind(Enum):
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"
    NULL = "null"  # the literal NULL, which fits any


@dataclass(frozen=True)
class Type:
    """A kind and, for strings, the declared values; at run time a string is its position among them."""

    kind: Kind
    values: tuple[str, ...] = ()


NUMBER: Final = Type(Kind.NUMBER)
BOOLEAN: Final = Type(Kind.BOOLEAN)
NULL: Final = Type(Kind.NULL)


def string_of(values: Iterable[str]) -> Type:
    """The type of a string with these declared values."""
    return Type(Kind.STRING, tuple(values))


@dataclass(frozen=True)
class Node:
    """A typed operation: `op` names it, `value` is a literal's value or a column's name."""

    op: str
    type: Type
    parts: tuple[Node, ...] = ()
    value: float | str | None = None


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, type, the columns it reads in order of first use, and its tree."""

    text: str
    type: Type
    names: tuple[str, ...]
    root: Node


_ARITHMETIC: Final[dict[type[exp.Expression], str]] = {
    exp.Add: "ADD",
    exp.Sub: "SUB",
    exp.Mul: "MUL",
    exp.Div: "DIV",
    exp.Mod: "MOD",
}
_COMPARISONS: Final[dict[type[exp.Expression], str]] = {
    exp.EQ: "EQ",
    exp.NEQ: "NE",
    exp.LT: "LT",
    exp.LTE: "LE",
    exp.GT: "GT",
    exp.GTE: "GE",
}
_LOGIC: Final[dict[type[exp.Expression], str]] = {exp.And: "AND", exp.Or: "OR"}
_FOLDED: Final[dict[type[exp.Expression], str]] = {
    exp.Coalesce: "COALESCE",
    exp.Least: "LEAST",
    exp.Greatest: "GREATEST",
}


def parse(text: str, types: Mapping[str, Type]) -> Expression:
    """Check an expression against the columns it may read. Raises ExpressionError."""
    tree = _tree(text)
    root = _Checker(types).node(tree)
    if root.type.kind is Kind.STRING and root.op != "COLUMN":
        raise ExpressionError("an expression may compare strings, not return them")
    expression = Expression(text, root.type, _names(tree), root)
    ops = _ops(root, dict.fromkeys(expression.names, 0))
    if len(ops) > MAX_PROGRAM_OPS:
        raise ExpressionError(f"the expression needs {len(ops)} operations; at most {MAX_PROGRAM_OPS}")
    if _stack(ops) > MAX_STACK:
        raise ExpressionError(f"the expression holds more than {MAX_STACK} values at once; add parentheses or tags")
    return expression


def names_in(text: str) -> tuple[str, ...]:
    """The columns that an expression reads, in order of first use. Raises ExpressionError for what is no expression.

    >>> names_in("a + b > 2 * a")
    ('a', 'b')
    """
    return _names(_tree(text))


def compile_ops(expression: Expression, register_of: Mapping[str, int]) -> list[tuple[int, float]]:
    """The postfix program: (op, argument) pairs that leave the value on the stack."""
    return _ops(expression.root, register_of)


def to_duckdb(expression: Expression, column_sql: Mapping[str, str] | None = None) -> str:
    """DuckDB SQL that means the same; column `name` becomes column_sql[name], or the quoted name.

    >>> to_duckdb(parse("a / 2 > 1", {"a": NUMBER}))
    '(("a" / NULLIF(2e0, 0)) > 1e0)'
    """
    return _sql(expression.root, column_sql or {})


def _tree(text: str) -> exp.Expression:
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {MAX_EXPRESSION_CHARS}")
    try:
        statements = sqlglot.parse(f"SELECT {text}\n", dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError) as error:
        raise ExpressionError(f"not a SQL expression: {str(error).splitlines()[0]}") from None
    select = statements[0] if len(statements) == 1 else None
    if not isinstance(select, exp.Select) or len(select.expressions) != 1:
        raise ExpressionError("not one SQL expression")
    if any(value for name, value in select.args.items() if name not in ("expressions", "kind")):
        raise ExpressionError("not a SQL expression: only an expression may stand here, no clauses")
    tree = select.expressions[0]
    _check_depth(tree)
    return tree


def _check_depth(tree: exp.Expression) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MAX_EXPRESSION_DEPTH:
            raise ExpressionError(f"the expression is nested deeper than {MAX_EXPRESSION_DEPTH}")
        level = [child for node in level for child in node.iter_expressions()]


def _names(tree: exp.Expression) -> tuple[str, ...]:
    columns = [node for node in tree.dfs() if isinstance(node, exp.Column)]
    return tuple(dict.fromkeys(column.name for column in columns))


class _Checker:
    """From sqlglot's tree to typed nodes."""

    def __init__(self, types: Mapping[str, Type]) -> None:
        self.types = types

    def node(self, tree: exp.Expression) -> Node:
        handler = _HANDLERS.get(type(tree))
        if handler is None:
            raise ExpressionError(f"outside the language: {_shown(tree)}")
        return handler(self, tree)

    def number(self, tree: exp.Expression) -> Node:
        return self._as_number(self.node(tree), tree)

    def _as_number(self, node: Node, tree: exp.Expression) -> Node:
        if node.type.kind is Kind.STRING:
            raise ExpressionError(f"{_shown(tree)} is a string, where a number is wanted")
        return Node("NUMBER", NUMBER, (node,)) if node.type.kind is Kind.BOOLEAN else node

    def condition(self, tree: exp.Expression) -> Node:
        node = self.node(tree)
        if node.type.kind not in (Kind.BOOLEAN, Kind.NULL):
            raise ExpressionError(f"{_shown(tree)} is a {node.type.kind.value}, where a condition is wanted")
        return node

    def column(self, tree: exp.Expression) -> Node:
        if tree.args.get("table") or not isinstance(tree.this, exp.Identifier):
            raise ExpressionError(f"outside the language: {_shown(tree)}")
        name = tree.name
        if name not in self.types:
            near = get_close_matches(name, self.types, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ExpressionError(f"unknown name '{name}'{hint}")
        return Node("COLUMN", self.types[name], value=name)

    def literal(self, tree: exp.Expression) -> Node:
        if tree.args.get("is_string"):
            return Node("TEXT", string_of(()), value=str(tree.this))
        value = float(tree.this)
        if value in (float("inf"), float("-inf")):
            raise ExpressionError(f"{_shown(tree)} is too large a number")
        return Node("CONST", NUMBER, value=value)

    def boolean(self, tree: exp.Expression) -> Node:
        return Node("CONST", BOOLEAN, value=1.0 if tree.this else 0.0)

    def null(self, tree: exp.Expression) -> Node:
        return Node("CONST", NULL, value=float("nan"))

    def inner(self, tree: exp.Expression) -> Node:
        return self.node(tree.this)

    def arithmetic(self, tree: exp.Expression) -> Node:
        op = _ARITHMETIC[type(tree)]
        return Node(op, NUMBER, (self.number(tree.this), self.number(tree.expression)))

    def one(self, tree: exp.Expression) -> Node:
        return Node("NEG" if isinstance(tree, exp.Neg) else "ABS", NUMBER, (self.number(tree.this),))

    def negation(self, tree: exp.Expression) -> Node:
        return Node("NOT", BOOLEAN, (self.condition(tree.this),))

    def logic(self, tree: exp.Expression) -> Node:
        return Node(_LOGIC[type(tree)], BOOLEAN, (self.condition(tree.this), self.condition(tree.expression)))

    def comparison(self, tree: exp.Expression) -> Node:
        return self._compare(_COMPARISONS[type(tree)], tree.this, tree.expression)

    def _compare(self, op: str, left: exp.Expression, right: exp.Expression) -> Node:
        a, b = self.node(left), self.node(right)
        if Kind.STRING not in (a.type.kind, b.type.kind):
            if a.type.kind is not b.type.kind:
                a, b = self._as_number(a, left), self._as_number(b, right)
            return Node(op, BOOLEAN, (a, b))
        if op not in ("EQ", "NE"):
            raise ExpressionError(f"strings have no order: {_shown(left.parent or left)}")
        return Node(op, BOOLEAN, self._strings(a, b, left, right))

    def _strings(self, a: Node, b: Node, left: exp.Expression, right: exp.Expression) -> tuple[Node, Node]:
        if a.op == "TEXT" and b.op == "COLUMN":
            b, a = self._strings(b, a, right, left)
            return a, b
        if a.op != "COLUMN" or a.type.kind is not Kind.STRING:
            raise ExpressionError(f"{_shown(left)} and {_shown(right)} cannot be compared")
        if b.type.kind is Kind.NULL:
            return a, b
        if b.op != "TEXT":
            raise ExpressionError(f"'{a.value}' is a string, and may only be compared with a value that is declared")
        if b.value not in a.type.values:
            declared = ", ".join(map(repr, a.type.values)) or "none"
            raise ExpressionError(f"'{b.value}' is no declared value of '{a.value}'; declared: {declared}")
        return a, Node("TEXT", a.type, value=b.value)

    def membership(self, tree: exp.Expression) -> Node:
        if tree.args.get("query") or tree.args.get("unnest") or not tree.expressions:
            raise ExpressionError(f"outside the language: {_shown(tree)}")
        tests = [self._compare("EQ", tree.this, item) for item in tree.expressions]
        return reduce(lambda a, b: Node("OR", BOOLEAN, (a, b)), tests)

    def between(self, tree: exp.Expression) -> Node:
        low = self._compare("GE", tree.this, tree.args["low"])
        return Node("AND", BOOLEAN, (low, self._compare("LE", tree.this, tree.args["high"])))

    def is_null(self, tree: exp.Expression) -> Node:
        if not isinstance(tree.expression, exp.Null):
            raise ExpressionError(f"outside the language: {_shown(tree)}")
        return Node("IS_NULL", BOOLEAN, (self.node(tree.this),))

    def folded(self, tree: exp.Expression) -> Node:
        parts = self._unified([tree.this, *tree.expressions])
        return reduce(lambda a, b: Node(_FOLDED[type(tree)], _either(a, b), (a, b)), parts)

    def case(self, tree: exp.Expression) -> Node:
        subject = tree.this
        whens = [
            self._compare("EQ", subject, branch.this) if subject else self.condition(branch.this)
            for branch in tree.args["ifs"]
        ]
        otherwise = tree.args.get("default") or exp.Null()
        *results, last = self._unified([*(branch.args["true"] for branch in tree.args["ifs"]), otherwise])
        for when, then in zip(reversed(whens), reversed(results), strict=True):
            last = Node("SELECT", _either(then, last), (when, then, last))
        return last

    def _unified(self, trees: list[exp.Expression]) -> list[Node]:
        """Nodes of one kind; booleans among numbers become numbers."""
        nodes = [self.node(tree) for tree in trees]
        for node in nodes:
            if node.type.kind is Kind.STRING:
                raise ExpressionError("an expression may compare strings, not return them")
        if any(node.type.kind is Kind.NUMBER for node in nodes):
            return [self._as_number(node, tree) for node, tree in zip(nodes, trees, strict=True)]
        return nodes


def _either(a: Node, b: Node) -> Type:
    return b.type if a.type.kind is Kind.NULL else a.type


_HANDLERS: Final[dict[type[exp.Expression], Callable[[_Checker, exp.Expression], Node]]] = {
    exp.Column: _Checker.column,
    exp.Literal: _Checker.literal,
    exp.Boolean: _Checker.boolean,
    exp.Null: _Checker.null,
    exp.Paren: _Checker.inner,
    exp.Neg: _Checker.one,
    exp.Abs: _Checker.one,
    exp.Not: _Checker.negation,
    exp.In: _Checker.membership,
    exp.Between: _Checker.between,
    exp.Is: _Checker.is_null,
    exp.Case: _Checker.case,
    **dict.fromkeys(_ARITHMETIC, _Checker.arithmetic),
    **dict.fromkeys(_COMPARISONS, _Checker.comparison),
    **dict.fromkeys(_LOGIC, _Checker.logic),
    **dict.fromkeys(_FOLDED, _Checker.folded),
}


def _shown(tree: exp.Expression) -> str:
    text = tree.sql(dialect="duckdb")
    return f"{type(tree).__name__.upper()} in «{text if len(text) <= 80 else text[:77] + '…'}»"


def _ops(node: Node, register_of: Mapping[str, int]) -> list[tuple[int, float]]:
    if node.op == "COLUMN":
        return [(int(Op.LOAD), float(register_of[str(node.value)]))]
    if node.op == "TEXT":
        return [(int(Op.CONST), float(node.type.values.index(str(node.value))))]
    if node.op == "CONST":
        return [(int(Op.CONST), float(node.value or 0.0))]
    ops = [op for part in node.parts for op in _ops(part, register_of)]
    return ops if node.op == "NUMBER" else [*ops, (int(Op[node.op]), 0.0)]


def _stack(ops: list[tuple[int, float]]) -> int:
    """The most values that a program holds at once."""
    height = most = 0
    for op, _ in ops:
        if op in (Op.CONST, Op.LOAD):
            height += 1
        elif op == Op.SELECT:
            height -= 2
        elif op not in (Op.NOT, Op.NEG, Op.ABS, Op.IS_NULL):
            height -= 1
        most = max(most, height)
    return most


_SQL: Final = {
    **{"EQ": "({} = {})", "NE": "({} <> {})", "LT": "({} < {})", "LE": "({} <= {})", "GT": "({} > {})"},
    **{"GE": "({} >= {})", "AND": "({} AND {})", "OR": "({} OR {})", "NOT": "(NOT {})"},
    **{"ADD": "({} + {})", "SUB": "({} - {})", "MUL": "({} * {})", "DIV": "({} / NULLIF({}, 0))"},
    **{"MOD": "({} % NULLIF({}, 0))", "NEG": "(- {})", "ABS": "abs({})", "IS_NULL": "({} IS NULL)"},
    **{"COALESCE": "coalesce({}, {})", "LEAST": "least({}, {})", "GREATEST": "greatest({}, {})"},
    **{"SELECT": "CASE WHEN {} THEN {} ELSE {} END", "NUMBER": "CAST({} AS DOUBLE)"},
}


def _sql(node: Node, column_sql: Mapping[str, str]) -> str:
    if node.op == "COLUMN":
        name = str(node.value)
        return column_sql.get(name) or exp.to_identifier(name, quoted=True).sql(dialect="duckdb")
    if node.op == "TEXT":
        return exp.Literal.string(str(node.value)).sql(dialect="duckdb")
    if node.op == "CONST":
        return _constant(node)
    return _SQL[node.op].format(*(_sql(part, column_sql) for part in node.parts))


def _constant(node: Node) -> str:
    value = float(node.value or 0.0)
    if value != value:
        return "NULL"
    if node.type.kind is Kind.BOOLEAN:
        return "TRUE" if value else "FALSE"
    text = repr(value)
    return text if "e" in text else f"{text.removesuffix('.0')}e0"
