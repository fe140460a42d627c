"""Typed trees to DuckDB SQL that means the same as the program, whatever DuckDB is set to do about x / 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from models.expression_types import Kind, Node

_INFIX: Final = {
    **{"EQ": "=", "NE": "<>", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "AND": "AND", "OR": "OR"},
    **{"ADD": "+", "SUB": "-", "MUL": "*", "DIV": "/", "MOD": "%"},
}
_SHAPES: Final = {
    **{"NOT": "(NOT {})", "NEG": "(- {})", "ABS": "abs({})", "IS_NULL": "({} IS NULL)"},
    **{"BETWEEN": "({} BETWEEN {} AND {})", "NUMBER": "CAST({} AS DOUBLE)"},
}


def sql_of(node: Node, column_sql: Mapping[str, str]) -> str:
    """SQL text; column `name` becomes column_sql[name], or the quoted name."""
    if node.op == "COLUMN":
        name = str(node.value)
        return column_sql[name] if name in column_sql else _quoted(name, '"')
    if node.op == "TEXT":
        return _quoted(str(node.value), "'")
    if node.op == "CONST":
        return _constant(node)
    return _operation(node, [sql_of(part, column_sql) for part in node.parts])


def _operation(node: Node, parts: list[str]) -> str:
    if node.op in _SHAPES:
        return _SHAPES[node.op].format(*parts)
    if node.op in ("DIV", "MOD") and not (node.parts[1].op == "CONST" and node.parts[1].value):
        return f"({parts[0]} {_INFIX[node.op]} NULLIF({parts[1]}, 0e0))"
    if node.op in _INFIX:
        return f"({parts[0]} {_INFIX[node.op]} {parts[1]})"
    if node.op == "IN":
        return f"({parts[0]} IN ({', '.join(parts[1:])}))"
    if node.op == "CASE":
        return _case("CASE", parts)
    if node.op == "SWITCH":
        return _case(f"CASE {parts[0]}", parts[1:])
    return f"{node.op.lower()}({', '.join(parts)})"


def _case(start: str, parts: list[str]) -> str:
    pairs = zip(parts[:-1:2], parts[1::2], strict=True)
    branches = " ".join(f"WHEN {when} THEN {then}" for when, then in pairs)
    return f"{start} {branches} ELSE {parts[-1]} END"


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _constant(node: Node) -> str:
    value = float(node.value or 0.0)
    if node.type.kind is Kind.NULL:
        return "NULL"
    if node.type.kind is Kind.BOOLEAN:
        return "TRUE" if value else "FALSE"
    text = repr(value)  # an exponent makes it a DOUBLE; without one it would be a DECIMAL
    return text if "e" in text else f"{text.removesuffix('.0')}e0"
