"""Expressions against DuckDB: random ones over random rows, as emitted and as written; and no text that crashes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from random import Random

import duckdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.expressions import (
    BOOLEAN,
    NUMBER,
    Expression,
    ExpressionError,
    compile_ops,
    names_in,
    parse,
    string_of,
    to_duckdb,
)
from models.programs import MAX_STACK, evaluate, link

NUMBERS, BOOLEANS = ("a", "b", "c"), ("p", "q")
STRINGS = {"s": ("in", "out", "it's"), "t": ("in", "内部")}
TYPES = (
    dict.fromkeys(NUMBERS, NUMBER)
    | dict.fromkeys(BOOLEANS, BOOLEAN)
    | {name: string_of(values) for name, values in STRINGS.items()}
)
COLUMNS = tuple(TYPES)
REGISTER_OF = {name: number for number, name in enumerate(COLUMNS)}
COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=")
LITERALS = ("0", "1", "2", "3", "7", "0.25", "2.5", "100", "1e3", "6000000")

Value = float | bool | str | None
Row = tuple[Value, ...]


class Writer:
    """Writes random expressions. `plain`: only such that DuckDB, given the text as it is, means the same."""

    def __init__(self, random: Random, plain: bool) -> None:
        self.random = random
        self.plain = plain

    def one_of(self, choices: Sequence[str]) -> str:
        return self.random.choice(choices)

    def some(self, depth: int) -> list[str]:
        return [self.number(depth) for _ in range(self.random.randint(1, 4))]

    def number(self, depth: int) -> str:
        form = self.random.randrange(12) if depth else self.random.randrange(4)
        if form == 0:
            return "NULL" if self.random.random() < 0.3 else self.one_of(LITERALS)
        if form < 4:
            return self.one_of(NUMBERS)
        if form < 8:
            return self.arithmetic(depth)
        if form == 8:
            return self.one_of(("- {}", "ABS({})", "abs(- {})", "+{}")).format(self.factor(depth - 1))
        if form == 9:
            return f"{self.one_of(('COALESCE', 'LEAST', 'Greatest'))}({', '.join(self.some(depth - 1))})"
        if form == 10 and not self.plain:
            return f"({self.condition(depth - 1)})"  # counts as 0 or 1
        return self.case(depth, self.number)

    def factor(self, depth: int) -> str:
        text = self.number(depth)
        return text if text.isidentifier() else f"({text})"

    def arithmetic(self, depth: int) -> str:
        left = self.one_of((self.number(depth - 1), self.factor(depth - 1)))
        operator = self.one_of("+-*/%")
        if self.plain and operator in "/%":  # DuckDB's x / 0 depends on its settings
            return f"{self.factor(depth - 1)} {operator} {self.one_of(('2', '3', '0.25'))}"
        return f"{left} {operator} {self.one_of((self.number(depth - 1), self.factor(depth - 1)))}"

    def case(self, depth: int, write) -> str:
        branches = self.random.randint(1, 3)
        otherwise = self.one_of(("", f" ELSE {write(depth - 1)}"))
        if self.random.randrange(2):
            whens = [self.condition(depth - 1) for _ in range(branches)]
            return f"CASE{self.whens(whens, write, depth)}{otherwise} END"
        if self.random.randrange(3) == 0:
            name = self.one_of([*STRINGS])
            return f"CASE {name}{self.whens(self.texts(name), write, depth)}{otherwise} END"
        whens = [self.number(depth - 1) for _ in range(branches)]
        return f"CASE {self.number(depth - 1)}{self.whens(whens, write, depth)}{otherwise} END"

    def whens(self, whens: list[str], write, depth: int) -> str:
        return "".join(f" WHEN {when} THEN {write(depth - 1)}" for when in whens)

    def texts(self, name: str) -> list[str]:
        values = ["'" + value.replace("'", "''") + "'" for value in STRINGS[name]] + ["NULL"]
        return self.random.sample(values, self.random.randint(1, len(values)))

    def condition(self, depth: int) -> str:
        form = self.random.randrange(14) if depth else self.random.randrange(4)
        if form == 0:
            return self.one_of((*BOOLEANS, "TRUE", "false", "NULL"))
        if form < 3:
            return f"{self.number(0)} {self.one_of(COMPARISONS)} {self.number(0)}"
        if form == 3:
            return self.string_test()
        if form == 4:
            return f"{self.number(depth - 1)} {self.one_of(COMPARISONS)} {self.number(depth - 1)}"
        if form == 5:
            items = ", ".join([*self.some(depth - 1), *self.one_of(("", "NULL")).split()])
            return f"{self.number(depth - 1)} {self.one_of(('IN', 'NOT IN'))} ({items})"
        if form == 6:
            low, high = self.number(depth - 1), self.number(depth - 1)
            return f"{self.number(depth - 1)} {self.one_of(('BETWEEN', 'NOT BETWEEN'))} {low} AND {high}"
        if form == 7:
            return f"{self.one_of((*BOOLEANS, self.factor(depth - 1)))} IS {self.one_of(('', 'NOT '))}NULL"
        if form == 8:
            return self.case(depth, self.condition) if self.random.randrange(2) else self.mixed(depth)
        if form == 9:
            return f"NOT {self.one_of((self.condition(depth - 1), f'({self.condition(depth - 1)})'))}"
        one, other = self.condition(depth - 1), self.condition(depth - 1)
        return self.one_of(("{} AND {}", "{} OR {}", "({} OR {})", "({}) AND ({})")).format(one, other)

    def mixed(self, depth: int) -> str:
        """Booleans compared, with each other or with numbers."""
        number = self.one_of(("1", "0", "2") if self.plain else NUMBERS)
        other = self.one_of((f"({self.condition(depth - 1)})", self.one_of(BOOLEANS), number))
        return f"{self.one_of(BOOLEANS)} {self.one_of(COMPARISONS)} {other}"

    def string_test(self) -> str:
        name = self.one_of([*STRINGS])
        texts = self.texts(name)
        shape = self.one_of(("{0} = {1}", "{1} <> {0}", "{0} IN ({2})", "{0} NOT IN ({2})", "{0} IS NULL"))
        return shape.format(name, texts[0], ", ".join(texts))


def random_rows(random: Random, count: int) -> list[Row]:
    numbers = (None, None, 0.0, 0.0, 1.0, 2.0, 3.0, -1.0, -7.5, 0.25, 0.1, 1e3, 6_000_000.0)
    return [
        (
            *(random.choice((*numbers, random.uniform(-10, 10))) for _ in NUMBERS),
            *(random.choice((None, True, False)) for _ in BOOLEANS),
            *(random.choice((None, "not declared", "IN", *values)) for values in STRINGS.values()),
        )
        for _ in range(count)
    ]


def registers_of(row: Row) -> np.ndarray:
    """A row as the engine holds it."""
    registers = np.full(len(COLUMNS), np.nan)
    for number, (name, value) in enumerate(zip(COLUMNS, row, strict=True)):
        values = TYPES[name].values
        if isinstance(value, str):
            registers[number] = values.index(value) if value in values else -1.0
        elif value is not None:
            registers[number] = value
    return registers


def engine_values(expressions: list[Expression], rows: list[Row]) -> list[tuple[float | None, ...]]:
    """By row, the value of each expression."""
    ops, args, bounds = link([compile_ops(expression, REGISTER_OF) for expression in expressions])
    stack = np.empty(MAX_STACK)
    table = []
    for row in rows:
        registers = registers_of(row)
        values = [
            float(evaluate(ops, args, bounds[number], bounds[number + 1], registers, stack))
            for number in range(len(expressions))
        ]
        table.append(tuple(None if value != value else value for value in values))
    return table


def duckdb_values(texts: list[str], rows: list[Row]) -> list[tuple[float | None, ...]]:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE rows (a DOUBLE, b DOUBLE, c DOUBLE, p BOOLEAN, q BOOLEAN, s VARCHAR, t VARCHAR)"
        )
        connection.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        columns = ", ".join(f"CAST(({text}) AS DOUBLE)" for text in texts)
        return connection.execute(f"SELECT {columns} FROM rows ORDER BY rowid").fetchall()


def compare(seed: int, plain: bool, expressions: int = 25, rows: int = 20) -> int:
    """Evaluates random expressions over random rows in both; returns how many pairs agreed."""
    random = Random(seed)
    writer = Writer(random, plain)
    texts = [random.choice((writer.number, writer.condition))(random.randint(1, 4)) for _ in range(expressions)]
    parsed = [parse(text, TYPES) for text in texts]
    table = random_rows(random, rows)
    wanted = duckdb_values(texts if plain else [to_duckdb(one) for one in parsed], table)
    for row, got, want in zip(table, engine_values(parsed, table), wanted, strict=True):
        for text, one, other in zip(texts, got, want, strict=True):
            assert one == other, f"seed {seed}: {text}\nover {dict(zip(COLUMNS, row, strict=True))}"
    return expressions * rows


def test_engine_is_as_duckdb() -> None:
    assert sum(compare(seed, plain=False) for seed in range(40)) >= 20_000


def test_text_as_written_means_the_same_in_duckdb() -> None:
    assert sum(compare(seed, plain=True) for seed in range(1_000, 1_020)) >= 10_000


@given(st.integers(min_value=0, max_value=2**32))
@settings(max_examples=20, deadline=None)
def test_engine_is_as_duckdb_for_any_seed(seed: int) -> None:
    compare(seed, plain=False, expressions=5, rows=5)


def test_engine_is_as_duckdb_without_jit() -> None:
    test = f"{__file__}::{test_engine_is_as_duckdb.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", test]
    done = subprocess.run(
        command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def reads(text: str) -> Expression | None:
    """The expression, or None if it is refused in one line."""
    for read in (names_in, lambda text: parse(text, TYPES)):
        try:
            expression = read(text)
        except ExpressionError as error:
            assert str(error) and "\n" not in str(error)
            return None
    return expression


WORDS = (
    *("a", "p", "s", "'in'", "'", '"', "1", "1e9", "NULL", "TRUE", "AND", "OR", "NOT", "IN", "IS", "BETWEEN"),
    *("CASE", "WHEN", "THEN", "ELSE", "END", "ABS", "COALESCE", "LEAST", "IF", "SELECT", "FROM", "CAST", "AS"),
    *("+", "-", "*", "/", "%", "=", "<>", "<", "(", ")", ",", ";", ".", "::", "--", "/*", "*/", "{#", "[", "]"),
    *("INTERVAL", "DATE", "OVER", "WITH", "VALUES", "LIKE", "\0", "\n", "$$", "?", "@", "{", "}", "ALL", "->"),
)


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(WORDS), max_size=16).map(" ".join)))
@example("{# a #}")
@example("\ud800")
@example("1__0")
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    expression = reads(text)
    if expression is not None:
        compile_ops(expression, REGISTER_OF)
        sql = to_duckdb(expression)
        assert "CAST(" in sql or "NULLIF(" in sql or to_duckdb(parse(sql, TYPES)) == sql


@pytest.mark.parametrize(
    "opening", ["(", "ABS(", "- ", "NOT ", "CASE WHEN ", "CASE ", "a IN (", "a + ", "a OR ", "(-", "[", "{"]
)
@pytest.mark.parametrize("ending", ["", "a", "p"])
@pytest.mark.parametrize("times", [3, 30, 60, 99, 400, 4000])
def test_depth_is_read_or_refused(opening: str, ending: str, times: int) -> None:
    closing = {
        "(": ")",
        "ABS(": ")",
        "CASE WHEN ": " THEN a END",
        "CASE ": " WHEN 1 THEN a END",
        "a IN (": ")",
        "(-": ")",
    }
    for text in (opening * times + ending, opening * times + ending + closing.get(opening, "") * times):
        reads(text)
