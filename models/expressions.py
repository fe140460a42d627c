"""Expressions: SQL text, checked and typed, to a postfix program for the engine and to DuckDB SQL for history.

NULL is as in DuckDB. Numbers are DOUBLE. A boolean where a number is wanted counts as 0 or 1; a number where a
condition is wanted is an error. x / 0 and x % 0 are NULL. Strings may only be compared with values that are declared.
What overflows is infinite; ∞ - ∞ is NULL in the engine, NaN in DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.expression_checks import checked
from models.expression_ops import height, ops_of
from models.expression_sql import sql_of
from models.expression_text import MAX_EXPRESSION_CHARS, MAX_EXPRESSION_DEPTH, names_in, tree_of
from models.expression_types import BOOLEAN, NUMBER, ExpressionError, Kind, Node, Type, string_of
from models.programs import MAX_STACK

__all__ = [
    "BOOLEAN",
    "MAX_EXPRESSION_CHARS",
    "MAX_EXPRESSION_DEPTH",
    "MAX_PROGRAM_OPS",
    "NUMBER",
    "Expression",
    "ExpressionError",
    "Kind",
    "Type",
    "compile_ops",
    "names_in",
    "parse",
    "string_of",
    "to_duckdb",
]

MAX_PROGRAM_OPS: Final = 1024


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, type, the columns it reads in order of first use, and its tree."""

    text: str
    type: Type
    names: tuple[str, ...]
    root: Node


def parse(text: str, types: Mapping[str, Type]) -> Expression:
    """Check an expression against the columns it may read. Raises ExpressionError.

    >>> parse("COALESCE(amount, 0) > 3", {"amount": NUMBER}).type.kind
    <Kind.BOOLEAN: 'boolean'>
    """
    root = checked(tree_of(text), types)
    expression = Expression(text, root.type, names_in(text), root)
    ops = compile_ops(expression, dict.fromkeys(expression.names, 0))
    if len(ops) > MAX_PROGRAM_OPS:
        raise ExpressionError(f"the expression needs {len(ops)} operations; at most {MAX_PROGRAM_OPS}")
    if height(ops) > MAX_STACK:
        raise ExpressionError(f"the expression holds more than {MAX_STACK} values at once; split it into tags")
    return expression


def compile_ops(expression: Expression, register_of: Mapping[str, int]) -> list[tuple[int, float]]:
    """The postfix program: (op, argument) pairs that leave the value on the stack.

    >>> compile_ops(parse("a > 1", {"a": NUMBER}), {"a": 5})  # LOAD 5, CONST 1, GT
    [(0, 5.0), (1, 1.0), (7, 0.0)]
    """
    return ops_of(expression.root, register_of)


def to_duckdb(expression: Expression, column_sql: Mapping[str, str] | None = None) -> str:
    """DuckDB SQL that means the same; column `name` becomes column_sql[name], or the quoted name.

    Numbers must be DOUBLE there, booleans BOOLEAN and strings VARCHAR.

    >>> to_duckdb(parse("a / b > 1", {"a": NUMBER, "b": NUMBER}), {"a": "t.x"})
    '((t.x / NULLIF("b", 0e0)) > 1e0)'
    """
    return sql_of(expression.root, column_sql or {})
