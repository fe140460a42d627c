"""Random SQL expressions over a scope of names, from a seeded random: cheap, always of the wanted type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

NUMBER, BOOLEAN, STRING = "number", "boolean", "string"

Kind = str | Sequence[str]  # NUMBER, BOOLEAN, STRING (IS NULL only) or the values of a string
Scope = Mapping[str, Kind]

COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")


def quoted(text: str) -> str:
    """A string literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def predicate(random: Random, scope: Scope, depth: int = 2) -> str:
    """An expression that is TRUE, FALSE or NULL."""
    form = random.randrange(10) if depth else random.randrange(5)
    if form == 0:
        return _null_test(random, scope)
    if form < 3 and (strings := _names(scope, tuple)):
        return _string_test(random, scope, random.choice(strings))
    if form == 3 and (flags := _names(scope, BOOLEAN)):
        return random.choice(("{}", "NOT {}", "{} = TRUE")).format(random.choice(flags))
    if form < 7:
        return _number_test(random, scope)
    if form == 9:
        one, other, test = (predicate(random, scope, depth - 1) for _ in range(3))
        return f"CASE WHEN {test} THEN {one} ELSE {other} END"
    if random.randrange(4) == 0:
        return f"NOT ({predicate(random, scope, depth - 1)})"
    operator = random.choice(("AND", "OR"))
    return f"({predicate(random, scope, depth - 1)} {operator} {predicate(random, scope, depth - 1)})"


def number(random: Random, scope: Scope, depth: int = 1) -> str:
    """An expression that is a number or NULL."""
    names = _names(scope, NUMBER)
    form = random.randrange(12) if depth else random.randrange(5)
    if form < 4 and names:
        return random.choice(names)
    if form < 5 or not depth:
        return literal(random)
    one, other = number(random, scope, depth - 1), number(random, scope, depth - 1)
    if form < 8:
        return f"({one} {random.choice('+-*/')} {other})"
    if form == 8:
        return f"CASE WHEN {predicate(random, scope, 0)} THEN {one} ELSE {other} END"
    if form == 9:
        return f"{random.choice(('ABS', '-'))}({one})"
    return f"{random.choice(('COALESCE', 'LEAST', 'GREATEST'))}({one}, {other})"


def literal(random: Random) -> str:
    """A number that is a multiple of a quarter, most often small."""
    return repr(random.choice((0, 1, 2, 3, 5, 0.25, 2.5, 10, 100, 60_000, 3_600_000)))


def _number_test(random: Random, scope: Scope) -> str:
    value = number(random, scope)
    form = random.randrange(6)
    if form == 0:
        items = ", ".join(literal(random) for _ in range(3))
        return f"{value} {random.choice(('', 'NOT '))}IN ({items})"
    if form == 1:
        low, high = sorted((float(literal(random)), float(literal(random))))
        return f"{value} BETWEEN {low} AND {high}"
    return f"{value} {random.choice(COMPARISONS)} {number(random, scope, 0)}"


def _string_test(random: Random, scope: Scope, name: str) -> str:
    values = [quoted(value) for value in scope[name]]
    if random.randrange(3) == 0:
        some = random.sample(values, random.randint(1, len(values)))
        return f"{name} {random.choice(('', 'NOT '))}IN ({', '.join(some)})"
    return f"{name} {random.choice(('=', '<>'))} {random.choice(values)}"


def _null_test(random: Random, scope: Scope) -> str:
    name = random.choice([*scope]) if scope else "1"
    return f"{name} IS {random.choice(('', 'NOT '))}NULL"


def _names(scope: Scope, kind: str | type) -> list[str]:
    """Names of a kind; `tuple` for strings with values."""
    if isinstance(kind, str):
        return [name for name, one in scope.items() if one == kind]
    return [name for name, one in scope.items() if not isinstance(one, str)]
