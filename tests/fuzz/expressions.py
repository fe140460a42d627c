"""Inputs for the parser of expressions: grammatical ones, mutated ones, and tokens in any order.

Each is an expression, or an ExpressionError; one that the grammar made is an expression.
"""

from __future__ import annotations

from random import Random

from models.expressions import BOOLEAN, NUMBER, ExpressionError, Type, parse, string_of, to_duckdb
from tests import strategies_expressions as grammar

TYPES: dict[str, Type] = {
    "a": NUMBER,
    "b": NUMBER,
    "flag": BOOLEAN,
    "direction": string_of(("in", "out")),
    "名": string_of(("甲", "it's")),
}
SCOPE = {"a": "number", "b": "number", "flag": "boolean", "direction": ("in", "out"), "名": ("甲", "it's")}
LIMITS = ("operations; at most", "values at once", "characters", "deep")  # what the grammar, too, may run into
TOKENS = [
    *("a", "b", "flag", "direction", "名", "c", "1", "0", "2.5", "1e999", "1e-400", "9" * 400),
    *("'in'", "'x'", "''", '"a"'),
    *("+", "-", "*", "/", "%", "//", "**", "^", "=", "<>", "!=", "<", "<=", ">", ">=", "==", "||", "::", ":", ".", ","),
    *("(", ")", "[", "]", "{", "}", ";", "--", "/*", "*/", "?", "$1", "@", "`", "'", '"', "\\", "\x00", "\ud800", "😀"),
    *("AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "CASE", "WHEN", "THEN", "ELSE", "END", "TRUE", "FALSE"),
    "LIKE",
    *("COALESCE(", "LEAST(", "GREATEST(", "ABS(", "CAST(", "SELECT", "FROM", "AS", "DISTINCT", "INTERVAL", "DATE"),
    "EXISTS",
    *("ARRAY[", "STRUCT(", "LAMBDA", "x -> x", "OVER (", "FILTER (", "COUNT(*)", "read_csv(", "DROP TABLE", "PRAGMA"),
]  # fmt: skip
NESTS = [
    ("(", ")"),
    ("NOT ", ""),
    ("-", ""),
    ("ABS(", ")"),
    ("CASE WHEN ", " THEN 1 END"),
    ("a + (", ")"),
    ("a IN (", ")"),
]


def text(random: Random) -> tuple[str, bool]:
    """(an input, whether it must be an expression)."""
    form = random.randrange(10)
    if form < 3:
        return grammar.predicate(random, SCOPE, random.randint(0, 3)), True
    if form < 4:
        return grammar.number(random, SCOPE, random.randint(0, 3)), True
    if form < 7:
        return _mutated(random, grammar.predicate(random, SCOPE, random.randint(0, 2))), False
    if form < 9:
        return " ".join(random.choices(TOKENS, k=random.randint(0, 12))), False
    return _nested(random), False


def _mutated(random: Random, whole: str) -> str:
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(whole) + 1)
        piece = random.choice(["", random.choice(TOKENS), chr(random.randrange(0x250))])
        whole = whole[:at] + piece + whole[at + random.randint(0, 4) :]
    return whole


def _nested(random: Random) -> str:
    depth = random.choice([1, 5, 20, 60, 200, 3000])
    opening, closing = random.choice(NESTS)
    return opening * depth + random.choice(["a", "flag", "1", ""]) + closing * (depth - random.randrange(2))


def fuzz(seed: int, first: int, last: int) -> int:
    """Inputs number first … last - 1 of a seed; returns how many were expressions. Raises what parse must not raise."""
    good = 0
    for number in range(first, last):
        given, must = text(Random(f"expression {seed} {number}"))
        try:
            to_duckdb(parse(given, TYPES))
        except ExpressionError as error:
            assert not must or any(limit in str(error) for limit in LIMITS), f"{given!r}: {error}"
        except BaseException as error:
            raise AssertionError(f"input {number} of seed {seed}, {given!r}: {error!r}") from error
        else:
            good += 1
    return good
