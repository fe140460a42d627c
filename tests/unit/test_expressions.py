"""The expression language: every construct, every refusal, the limits; programs and SQL."""

from __future__ import annotations

from math import nan

import duckdb
import numpy as np
import pytest

from models.expressions import (
    BOOLEAN,
    MAX_EXPRESSION_CHARS,
    MAX_PROGRAM_OPS,
    NUMBER,
    ExpressionError,
    Kind,
    compile_ops,
    names_in,
    parse,
    string_of,
    to_duckdb,
)
from models.programs import GROWTH, MAX_STACK, Op, evaluate, link

SIDE = string_of(["in", "out"])
TYPES = {
    **{"a": NUMBER, "b": NUMBER, "p": BOOLEAN, "side": SIDE, "other_side": SIDE, "memo": string_of([])},
    **{"amount": NUMBER, "select": NUMBER, '余额 "now"': NUMBER},
}
REGISTER_OF = {name: number for number, name in enumerate(TYPES)}


def value(text: str, **columns: float) -> float | None:
    """What the engine makes of an expression; columns that are not given are NULL, strings are codes."""
    registers = np.array([columns.get(name, nan) for name in TYPES])
    ops, args, bounds = link([compile_ops(parse(text, TYPES), REGISTER_OF)])
    result = float(evaluate(ops, args, bounds[0], bounds[1], registers, np.empty(MAX_STACK)))
    return None if result != result else result


def refusal(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        parse(text, TYPES)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("-7 % 3", -1.0),
        ("7 % (-3)", 1.0),
        ("- - 5", 5.0),
        ("1 / 0", None),
        ("0 / 0", None),
        ("5 % 0", None),
        ("1 + NULL", None),
        ("0.1 + 0.2 = 0.3", 0.0),  # as DOUBLE, not as DECIMAL
        ("7 / 2", 3.5),
        ("1 = 1", 1.0),
        ("1 <> 1", 0.0),
        ("1 != 2", 1.0),
        ("NULL = NULL", None),
        ("NULL AND FALSE", 0.0),
        ("NULL AND TRUE", None),
        ("NULL OR TRUE", 1.0),
        ("NULL OR FALSE", None),
        ("NOT NULL", None),
        ("NOT TRUE", 0.0),
        ("TRUE OR TRUE AND FALSE", 1.0),
        ("2 IN (1, 2)", 1.0),
        ("2 IN (1, NULL)", None),
        ("2 IN (NULL, 2)", 1.0),
        ("2 NOT IN (1, NULL)", None),
        ("NULL IN (1)", None),
        ("2 IN (1, 1 + 1)", 1.0),
        ("2 BETWEEN 2 AND 2", 1.0),
        ("3 BETWEEN NULL AND 2", 0.0),
        ("1 BETWEEN NULL AND 2", None),
        ("3 NOT BETWEEN 1 AND 2", 1.0),
        ("NULL IS NULL", 1.0),
        ("(1 / 0) IS NOT NULL", 0.0),
        ("CASE WHEN NULL THEN 1 WHEN TRUE THEN 2 END", 2.0),
        ("CASE WHEN FALSE THEN 1 END", None),
        ("CASE WHEN TRUE THEN 1 WHEN TRUE THEN 2 END", 1.0),
        ("CASE 2 WHEN 1 THEN 10 WHEN 2 THEN 20 WHEN 2 THEN 30 ELSE 40 END", 20.0),
        ("CASE NULL WHEN NULL THEN 1 ELSE 2 END", 2.0),
        ("CASE WHEN TRUE THEN NULL ELSE 2 END", None),
        ("COALESCE(NULL, NULL, 3, 4)", 3.0),
        ("COALESCE(NULL)", None),
        ("LEAST(3, NULL, 2)", 2.0),
        ("GREATEST(NULL, 3, 4)", 4.0),
        ("LEAST(NULL, NULL)", None),
        ("ABS(-2)", 2.0),
        ("TRUE + 1", 2.0),  # a boolean counts as 0 or 1 where a number is wanted
        ("TRUE = 1", 1.0),
        ("TRUE IN (2, 1)", 1.0),
        ("CASE WHEN TRUE THEN TRUE ELSE 5 END", 1.0),
        ("TRUE > FALSE", 1.0),
        ("1 /* one */ + 1 -- two", 2.0),
    ],
)
def test_values(text: str, wanted: float | None) -> None:
    assert value(text) == wanted
    with duckdb.connect() as connection:
        sql = to_duckdb(parse(text, TYPES))
        assert connection.execute(f"SELECT CAST({sql} AS DOUBLE)").fetchone() == (wanted,)


def test_strings_are_codes() -> None:
    test = "side = 'out'"
    assert [value(test, side=0), value(test, side=1), value(test, side=-1), value(test)] == [0, 1, 0, None]
    assert value("side <> 'out'", side=-1) == 1
    assert value("side IN ('in', 'out')", side=-1) == 0
    assert value("'in' = side", side=0) == 1
    assert value("CASE side WHEN 'in' THEN 1 WHEN 'out' THEN 2 ELSE 3 END", side=1) == 2
    assert value("memo IS NULL", memo=-1) == 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a", Kind.NUMBER),
        ("p", Kind.BOOLEAN),
        ("a > 1", Kind.BOOLEAN),
        ("NULL", Kind.NULL),
        ("COALESCE(NULL, p)", Kind.BOOLEAN),
        ("COALESCE(p, 1)", Kind.NUMBER),
        ("CASE WHEN p THEN p END", Kind.BOOLEAN),
        ("CASE WHEN p THEN NULL ELSE a END", Kind.NUMBER),
    ],
)
def test_types(text: str, kind: Kind) -> None:
    assert parse(text, TYPES).type.kind is kind


def test_a_string_column_alone_has_its_values() -> None:
    assert parse("side", TYPES).type == SIDE


def test_names_in_order_of_first_use() -> None:
    text = "CASE b WHEN a THEN amount ELSE b END > a OR side IN ('in') AND \"select\" BETWEEN 1 AND p"
    assert parse(text, TYPES).names == names_in(text) == ("b", "a", "amount", "side", "select", "p")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the expression is empty"),
        ("-- nothing", "the expression is empty"),
        ("a, b", "not one SQL expression"),
        ("a >", "not a SQL expression: something is missing, near «>» at column 3"),
        ("(a", "not a SQL expression: Expecting ), near «a» at column 2"),
        ("a FROM events", "not a SQL expression: only an expression may stand here, no clauses"),
        ("DISTINCT a", "not a SQL expression: only an expression may stand here, no clauses"),
        ("ok; ok", "outside the language: «;»"),
        ("a::int", "outside the language: «::»"),
        ("a // b", "outside the language: «//»"),
        ("@a", "outside the language: «@»"),
        ("!p", "outside the language: «!»"),
        ("ALL a", "outside the language: «ALL»"),
        ("t.a", "outside the language: «.»"),
        ("SUM(a * (b + 1)) > 1", "outside the language: SUM in «SUM(a * (b + 1))»"),
        ("ifnull(a, 1)", "outside the language: IFNULL in «ifnull(a, 1)»"),
        ("CAST(a AS INT)", "outside the language: CAST in «CAST(a AS INT)»"),
        ("IF(p, 1, 2)", "outside the language: IF in «IF(p, 1, 2)»"),
        ("a IN (SELECT 1)", "outside the language: IN in «a IN (SELECT 1)»"),
        ("a IN ()", "outside the language: IN in «a IN ()»"),
        ("memo LIKE 'x%'", "outside the language: LIKE in «memo LIKE 'x%'»"),
        ("p IS TRUE", "outside the language: IS in «p IS TRUE»"),
        ("a b", "outside the language: ALIAS in «a AS b»"),
        ("a < b < 3", "put LT in «a < b» into parentheses"),
        ("a IN (1) = p", "put IN in «a IN (1)» into parentheses"),
        ("p = NOT p", "put NOT in «NOT p» into parentheses"),
        ("1e999", "LITERAL in «1e999» is too large a number"),
        ("amout > 1", "unknown name 'amout'; did you mean 'amount'?"),
        ("AMOUNT > 1", "unknown name 'AMOUNT'; did you mean 'amount'?"),
        ("zzz", "unknown name 'zzz'"),
        ('"line 1\nline 2"', "unknown name 'line 1 line 2'"),
        ("side = 'up'", "'up' is no declared value of 'side'; declared: 'in', 'out'"),
        ("memo = 'x'", "'x' is no declared value of 'memo'; declared: none"),
        ("side < 'out'", "strings have no order: LT in «side < 'out'»"),
        (
            "side = other_side",
            "a string may only be compared with values that are declared for it: EQ in «side = other_side»",
        ),
        ("side = 1", "a string may only be compared with values that are declared for it: EQ in «side = 1»"),
        ("a = 'x'", "a string may only be compared with values that are declared for it: EQ in «a = 'x'»"),
        ("'x'", "an expression may compare strings, not return them"),
        ("COALESCE(side, 'in')", "an expression may compare strings, not return them"),
        ("CASE WHEN p THEN 'x' END", "an expression may compare strings, not return them"),
        ("side + 1", "COLUMN in «side» is a string, where a number is wanted"),
        ("a AND p", "COLUMN in «a» is a number, where a condition is wanted"),
        ("CASE WHEN a THEN 1 END", "COLUMN in «a» is a number, where a condition is wanted"),
        ("'x' IS NULL", "IS in «'x' IS NULL»: a string that is written here is never NULL"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    assert refusal(text) == message


def test_limits() -> None:
    assert refusal("a" * (MAX_EXPRESSION_CHARS + 1)) == "the expression has 4097 characters; at most 4096"
    deep = "the expression is nested too deeply: at most 100 operations within each other"
    assert refusal("(" * 2_000 + "a" + ")" * 2_000) == deep
    assert refusal(" + ".join("a" * 101)) == deep
    assert refusal(f"a IN ({', '.join(['1'] * MAX_PROGRAM_OPS)})").startswith("the expression needs 2051 operations")
    held = "a IS NULL OR p AND a <> a + a * CASE a WHEN a THEN "
    assert refusal(held * 12 + "1" + " ELSE 1 END" * 12).startswith(
        f"the expression holds more than {MAX_STACK} values"
    )


def test_what_is_long_but_flat_is_read() -> None:
    assert value(f"a IN ({', '.join(map(str, range(400)))})", a=399) == 1
    tiers = " ".join(f"WHEN a < {tier} THEN {tier}" for tier in range(150))
    assert value(f"CASE {tiers} ELSE -1 END", a=99.5) == 100
    assert value(" OR ".join(f"a = {number}" for number in range(90)), a=89) == 1


def test_columns_in_sql() -> None:
    expression = parse('"余额 ""now""" + a > "select" AND side = \'in\'', TYPES)
    assert to_duckdb(expression) == '((("余额 ""now""" + "a") > "select") AND ("side" = \'in\'))'
    assert "(t.a + " in to_duckdb(parse("a + b", TYPES), {"a": "t.a"})


@pytest.mark.parametrize("ieee", [True, False])
def test_division_in_sql_does_not_depend_on_settings(ieee: bool) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"SET ieee_floating_point_ops = {ieee}")
        sql = to_duckdb(parse("a / b IS NULL AND a % b IS NULL AND a / 2 = 0.5", TYPES))
        assert connection.execute(f"SELECT {sql} FROM (SELECT 1e0 AS a, 0e0 AS b)").fetchone() == (True,)


def test_what_overflows_is_infinite() -> None:
    assert value("1e308 * 10") == float("inf")
    assert value("a * 10 - a * 10", a=1e308) is None
    assert value("(a * 10) % 3", a=1e308) is None


def test_programs_are_linked_and_store() -> None:
    doubled = [*compile_ops(parse("a * 2", TYPES), {"a": 0}), (int(Op.STORE), 1.0)]
    tested = compile_ops(parse("b > 5", TYPES), {"b": 1})
    ops, args, bounds = link([[], doubled + tested, tested])
    assert (ops.dtype, args.dtype, bounds.dtype, len(ops)) == (np.int32, np.float64, np.int32, 10)
    registers, stack = np.array([3.0, 0.0]), np.empty(MAX_STACK)
    assert list(bounds) == [0, 0, 7, 10]
    assert evaluate(ops, args, 7, 10, registers, stack) == 0.0
    assert evaluate(ops, args, 0, 7, registers, stack) == 1.0
    assert list(registers) == [3.0, 6.0]


def test_every_operation_has_its_growth() -> None:
    assert set(GROWTH) == set(Op)
