"""The oracle's reading of SQL expressions: the syntax tree of sqlglot, walked in plain Python.

NULL is None, strings are strings, numbers are floats, booleans bools; logic is three-valued as in DuckDB, a
division by zero is NULL. Written independently of `models/expressions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import sqlglot
from sqlglot import exp

Value = bool | float | str | None
Lookup = Callable[[str], Value]


@lru_cache(maxsize=4096)
def tree_of(text: str) -> exp.Expression:
    """The syntax tree of an expression."""
    return sqlglot.parse_one(text, dialect="duckdb")


@lru_cache(maxsize=4096)
def names_read(text: str) -> tuple[str, ...]:
    """Each name that stands in the expression, once."""
    return tuple(sorted({column.name for column in tree_of(text).find_all(exp.Column)}))


def evaluate(text: str, lookup: Lookup) -> Value:
    """The value of an expression; `lookup` gives the value of a name."""
    return value_of(tree_of(text), lookup)


def holds(text: str | None, lookup: Lookup) -> bool:
    """Whether a predicate is TRUE (not NULL); an absent one is."""
    return text is None or evaluate(text, lookup) is True


def value_of(node: exp.Expression, lookup: Lookup) -> Value:
    """The value of one node of the tree."""
    if isinstance(node, exp.Paren):
        return value_of(node.this, lookup)
    if isinstance(node, exp.Column):
        return lookup(node.name)
    if isinstance(node, exp.Literal):
        return node.this if node.is_string else float(node.this)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.And):
        return _and(value_of(node.this, lookup), value_of(node.expression, lookup))
    if isinstance(node, exp.Or):
        return _not(_and(_not(value_of(node.this, lookup)), _not(value_of(node.expression, lookup))))
    if isinstance(node, exp.Not):
        return _not(value_of(node.this, lookup))
    if isinstance(node, exp.In):
        return _in(value_of(node.this, lookup), [value_of(item, lookup) for item in node.expressions])
    if isinstance(node, exp.Between):
        value, low, high = (value_of(node.args[name], lookup) for name in ("this", "low", "high"))
        return _and(_binary(exp.GTE, value, low), _binary(exp.LTE, value, high))
    if isinstance(node, exp.Is):
        return value_of(node.this, lookup) is value_of(node.expression, lookup)  # NULL, TRUE or FALSE
    if isinstance(node, exp.Case):
        return _case(node, lookup)
    if isinstance(node, exp.Neg):
        value = value_of(node.this, lookup)
        return None if value is None else -value
    if isinstance(node, exp.Abs):
        value = value_of(node.this, lookup)
        return None if value is None else abs(value)
    if isinstance(node, exp.Coalesce | exp.Least | exp.Greatest):
        return _first_or_extreme(node, [value_of(item, lookup) for item in (node.this, *node.expressions)])
    if isinstance(node, exp.Binary):
        return _binary(type(node), value_of(node.this, lookup), value_of(node.expression, lookup))
    raise TypeError(f"not in the language: {node.sql()}")


def _and(left: Value, right: Value) -> Value:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _not(value: Value) -> Value:
    return None if value is None else not value


def _in(value: Value, items: list[Value]) -> Value:
    if value is None:
        return None
    if value in [item for item in items if item is not None]:
        return True
    return None if None in items else False


def _case(node: exp.Case, lookup: Lookup) -> Value:
    for branch in node.args["ifs"]:
        condition = value_of(branch.this, lookup)
        if node.this is not None:
            condition = _binary(exp.EQ, value_of(node.this, lookup), condition)
        if condition is True:
            return value_of(branch.args["true"], lookup)
    default = node.args.get("default")
    return None if default is None else value_of(default, lookup)


def _first_or_extreme(node: exp.Expression, values: list[Value]) -> Value:
    """COALESCE, LEAST and GREATEST: all three pass over NULL."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if isinstance(node, exp.Coalesce):
        return known[0]
    return min(known) if isinstance(node, exp.Least) else max(known)


_OPERATORS: dict[type[exp.Expression], Callable[[Value, Value], Value]] = {
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.Add: lambda a, b: a + b,
    exp.Sub: lambda a, b: a - b,
    exp.Mul: lambda a, b: a * b,
    exp.Div: lambda a, b: None if b == 0 else a / b,
}


def _binary(kind: type[exp.Expression], left: Value, right: Value) -> Value:
    if left is None or right is None:
        return None
    return _OPERATORS[kind](left, right)
