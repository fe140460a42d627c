"""The types of expressions, and the typed tree that a text becomes: what programs and SQL are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final


class ExpressionError(ValueError):
    """An expression that cannot be used; one line that says what and where."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


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
    """A typed operation on `parts`; `value` is a literal's value or a column's name.

    `op` is COLUMN, CONST, TEXT (a declared string), NUMBER (a boolean as a number) or an operation of SQL: EQ … GE,
    AND, OR, ADD … MOD, NOT, IS_NULL, NEG, ABS, COALESCE, LEAST, GREATEST, BETWEEN, IN (subject, items …), CASE
    (when, then, …, otherwise) and, for a CASE with a subject, SWITCH (subject, when, then, …, otherwise).
    """

    op: str
    type: Type
    parts: tuple[Node, ...] = ()
    value: float | str | None = None
