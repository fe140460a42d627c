"""From text to sqlglot's tree: limits, and whatever sqlglot would read more generously than the language is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token, TokenType

from models.expression_types import ExpressionError

MAX_EXPRESSION_CHARS: Final = 4096  # for which the compiled parser takes at most 3 MB of a stack, which has 8
MAX_EXPRESSION_DEPTH: Final = 100
_TREES_KEPT: Final = 1024  # a catalogue's checks ask for a text again and again
_SHOWN_CHARS: Final = 80
_SELECT: Final = "SELECT "

_SYMBOLS: Final = frozenset({"+", "-", "*", "/", "%", "=", "<>", "!=", "<", "<=", ">", ">=", "(", ")", ","})
_FUNCTIONS: Final = frozenset({"ABS", "COALESCE", "LEAST", "GREATEST"})
_BEFORE_PARENTHESIS: Final = _FUNCTIONS | {"AND", "OR", "NOT", "IN", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE"}
_COMPARING: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between, exp.Is)
_ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg)
_OPERANDS: Final = ("this", "expression", "low", "high")


@lru_cache(_TREES_KEPT)
def tree_of(text: str) -> exp.Expression:
    """sqlglot's tree of a text that is one expression, which nobody may change. Raises ExpressionError."""
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {MAX_EXPRESSION_CHARS}")
    try:
        statement = _statement(text)
    except RecursionError:
        raise ExpressionError(_too_deep()) from None
    tree = _only_expression(statement)
    _check_depth(tree)
    _check_parentheses(tree)
    return tree


@lru_cache(_TREES_KEPT)
def names_in(text: str) -> tuple[str, ...]:
    """The columns that an expression reads, in order of first use. Raises ExpressionError for what is no expression.

    >>> names_in("a + b > 2 * a")
    ('a', 'b')
    """
    return tuple(dict.fromkeys(node.name for node in tree_of(text).dfs() if isinstance(node, exp.Column)))


def outside(tree: exp.Expression) -> ExpressionError:
    """The error for something that SQL has and the language has not."""
    return ExpressionError(f"outside the language: {shown(tree)}")


def shown(tree: exp.Expression) -> str:
    """A part of an expression as messages show it: EQ in «a = 1»."""
    return f"{type(tree).__name__.upper()} in {_marked(tree.sql(dialect='duckdb', comments=False))}"


def _marked(text: str) -> str:
    return f"«{text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + '…'}»"


def _too_deep() -> str:
    return f"the expression is nested too deeply: at most {MAX_EXPRESSION_DEPTH} operations within each other"


def _statement(text: str) -> object:
    try:
        _check_tokens(text, sqlglot.tokenize(text, dialect="duckdb"))
        statements = sqlglot.parse(f"{_SELECT}{text}\n", dialect="duckdb")
    except (ExpressionError, RecursionError):
        raise
    except ParseError as error:
        raise ExpressionError(f"not a SQL expression: {_place(error)}") from None
    except Exception as error:  # sqlglot raises whatever its own code runs into
        raise ExpressionError(f"not a SQL expression: {error}") from None
    return statements[0] if len(statements) == 1 else None


def _place(error: ParseError) -> str:
    """The first complaint of the parser; the column counts from 1 in the text as written."""
    first = error.errors[0] if error.errors else {}
    description = str(first.get("description") or "it cannot be read").rstrip(".")
    if "<class" in description:
        description = "something is missing"
    column = int(first.get("col") or 0) - (len(_SELECT) if first.get("line") == 1 else 0)
    near = str(first.get("highlight") or "")
    end = max(column, 1)
    return f"{description}, near {_marked(near)} at column {max(end - len(near) + 1, 1)}"


def _only_expression(statement: object) -> exp.Expression:
    if not isinstance(statement, exp.Select) or len(statement.expressions) != 1:
        raise ExpressionError("not one SQL expression")
    if any(value for name, value in statement.args.items() if name != "expressions"):
        raise ExpressionError("not a SQL expression: only an expression may stand here, no clauses")
    tree: exp.Expression = statement.expressions[0]
    return tree


def _check_tokens(text: str, tokens: list[Token]) -> None:
    """sqlglot reads IFNULL(a, 1), a // b, @a and much more as what the language has, or nearly has."""
    if not tokens:
        raise ExpressionError("the expression is empty")
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.token_type in (TokenType.STRING, TokenType.NUMBER, TokenType.IDENTIFIER):
            continue
        word = token.text.isidentifier() and token.token_type is not TokenType.ALL  # SELECT ALL a is SELECT a
        if not word and token.text not in _SYMBOLS:
            raise ExpressionError(f"outside the language: {_marked(text[token.start : token.end + 1])}")
        called = following is not None and following.token_type is TokenType.L_PAREN
        if called and word and token.text.upper() not in _BEFORE_PARENTHESIS:
            call = _call(text, token, tokens)
            raise ExpressionError(f"outside the language: {token.text.upper()} in {_marked(call)}")


def _call(text: str, function: Token, tokens: list[Token]) -> str:
    """The text of a call, to the parenthesis that closes it."""
    open_ones = 0
    for token in tokens:
        if token.start > function.start:
            open_ones += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
            if open_ones == 0:
                return text[function.start : token.end + 1]
    return text[function.start :]


def _check_depth(tree: exp.Expression) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MAX_EXPRESSION_DEPTH:
            raise ExpressionError(_too_deep())
        level = [child for node in level for child in node.iter_expressions()]


def _check_parentheses(tree: exp.Expression) -> None:
    """a < b < c is an error in DuckDB, and a = b IN (c) is read in one way here and in another there."""
    for node in tree.walk():
        for operand in _operands(node):
            if isinstance(operand, (*_COMPARING, exp.Not)):
                raise ExpressionError(f"put {shown(operand)} into parentheses")


def _operands(node: object) -> Iterator[object]:
    if isinstance(node, _COMPARING + _ARITHMETIC):
        yield from (node.args.get(name) for name in _OPERANDS)
