"""What commands print: tables and JSON, plain when the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from shlex import quote
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import rich_click as click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.errors import UserError
from sinks.lake import connect, interruptible

if TYPE_CHECKING:  # a query needs no client of Kafka, and nothing of a catalogue
    from sinks.verify import VerifyReport
    from streams.topics import TopicReport

Answer = tuple[list[str], list[tuple[Any, ...]]]  # names of columns, rows
BAR_CELLS = 30
MISMATCHES_SHOWN = 50
INSTANTS = ("_at", "_until")  # ends of names of features that are times
MS_2000, MS_9999 = 946_684_800_000, 253_370_764_800_000
MAX_ROWS = 200  # of a query, in a terminal; JSON has all
GROUPED_FROM = 10_000  # a year is no amount
LEGIBLE_CELLS, BORDER_CELLS = 4, 3  # of a column: less is no text to read; what is between two
NO_SUCH_YEAR = "a time of the answer is not in the years 1 to 9999 of the lake's time zone: cast it, as in at::VARCHAR"
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class NoCustomerError(UserError):
    """The lake knows no such customer."""


class TimeError(UserError):
    """A time that Python cannot hold; the message says what to do."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The command line ends all commands in one way."""
        raise BrokenPipeError


def console() -> Console:
    """A console that takes text as it is, not as markup, and does not wrap what goes to a file or a pipe."""
    made = _Console(markup=False, emoji=False)
    if made.is_terminal:
        return made
    return _Console(width=160, no_color=True, highlight=False, markup=False, emoji=False)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """A function that gives the seconds since."""
    started = time.monotonic()
    yield lambda: time.monotonic() - started


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; nothing is drawn when that is no terminal."""
    shown = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def show_query(lake: str, query: str | None, as_json: bool) -> None:
    """Print the answer of a query, or the tables and views. Raises NoLakeError, TimeError, duckdb.Error."""
    with connect(lake) as connection:
        if query is None:
            query = "SELECT view_name AS name FROM duckdb_views() WHERE NOT internal ORDER BY name"
        if not connection.extract_statements(query):
            raise click.UsageError("QUERY holds no statement; leave it out to list the tables and views")
        names, rows = fetched(connection, query)
    if as_json:
        click.echo(to_json(by_name(names, rows)))
        return
    print_rows(names, rows[:MAX_ROWS], grouped=False)
    if len(rows) > MAX_ROWS:
        click.echo(f"… {len(rows) - MAX_ROWS:,} rows more; --json prints all")


def fetched(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object] = ()) -> Answer:
    """The names of the columns, and the rows. Raises TimeError."""

    def ask() -> Answer:
        answer = connection.execute(query, values)
        try:
            return [column[0] for column in answer.description or ()], answer.fetchall()
        except OverflowError:
            raise TimeError(NO_SUCH_YEAR) from None

    return interruptible(connection, ask)


def by_name(names: list[str], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Each row as values by column, as JSON has them."""
    keys = distinct(names)
    return [dict(zip(keys, row, strict=True)) for row in rows]


def distinct(names: list[str]) -> list[str]:
    """Names of columns, those that come again numbered as DuckDB does in a table.

    >>> distinct(["a", "a", "a_1", "a"])
    ['a', 'a_1', 'a_1_1', 'a_2']
    """
    found: list[str] = []
    for name in names:
        candidates = (name, *(f"{name}_{number}" for number in range(1, len(names))))
        found.append(next(one for one in candidates if one not in found))
    return found


def print_rows(names: list[str], rows: list[Any], title: str | None = None, *, grouped: bool = True) -> None:
    """Rows as a table; the digits of numbers in groups, or as a query has them.

    Where its columns would be too narrow to read, each row is a table of names and values.
    """
    out, heads = console(), [as_text(name) for name in names]
    texts = [[as_text(value, grouped=grouped) for value in row] for row in rows]
    if sum(min(cell_len(head), LEGIBLE_CELLS) + BORDER_CELLS for head in heads) > out.width:
        return _print_apart(out, heads, texts, title)
    table = Table(title=title, title_justify="left")
    for number, head in enumerate(heads):
        numeric = any(_is_numeric(row[number]) for row in rows)
        table.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for values in texts:
        table.add_row(*values)
    out.print(table)


def _print_apart(out: Console, heads: list[str], texts: list[list[str]], title: str | None) -> None:
    named = f"{title}: " if title else ""
    for number, values in enumerate(texts, 1):
        table = Table(title=f"{named}row {number:,}", title_justify="left", show_header=False)
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        for pair in zip(heads, values, strict=True):
            table.add_row(*pair)
        out.print(table)
    if not texts:
        out.print(f"{named}no rows")


def _is_numeric(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and value.endswith("%"))


def as_text(value: Any, *, grouped: bool = True) -> str:
    """A value for people. What would steer a terminal is spelled out.

    >>> as_text(12345.0), as_text(2024), as_text(0.5), as_text(None), as_text(True), as_text("\\x1b[1m")
    ('12,345', '2024', '0.5', '–', 'yes', '\\\\x1b[1m')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value).translate(CONTROLS)
    comma = "," if grouped and abs(value) >= GROUPED_FROM else ""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:{comma}.2f}" if abs(value) >= 1 else f"{value:.4g}"
    return f"{value:{comma}.0f}" if isinstance(value, float) else f"{value:{comma}d}"


def to_json(value: Any) -> str:
    """JSON text of what DuckDB returns; times as ISO 8601, bytes as base64."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def bar(share: float) -> str:
    """A share of 1 as a bar.

    >>> bar(0.5)
    '███████████████'
    """
    eighths = round(share * BAR_CELLS * 8)
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]


def show_topics(reports: Sequence[TopicReport], as_json: bool) -> None:
    """Print which topics were made, and which were there."""
    if as_json:
        click.echo(to_json(reports))
        return
    for one in reports:
        click.echo(f"{'made' if one.made else 'present':8} {one.name}  {one.partitions} partitions")


def show_verification(report: VerifyReport, as_json: bool) -> None:
    """Print what verify found."""
    if as_json:
        click.echo(to_json(report))
        return
    for one in report.mismatches[:MISMATCHES_SHOWN]:
        entity = one.customer_id if one.entity_id is None else f"{one.customer_id}/{one.entity_id}"
        click.echo(f"{one.entity} {as_text(entity)}: {one.feature} is {one.lake}, events give {one.recomputed}")
    if len(report.mismatches) > MISMATCHES_SHOWN:
        click.echo(f"… and {len(report.mismatches) - MISMATCHES_SHOWN:,} more; --json prints all")
    click.echo(
        f"{len(report.mismatches):,} mismatches in {report.compared:,} values: "
        f"{report.features} features of {report.customers:,} customers ({report.entities:,} entities)"
    )
    if report.mismatches:
        click.echo(
            "The lake is right nevertheless where a changed catalogue began a feature anew, or where --new-lake began "
            "after the state: see docs/operations.md"
        )


def show_profile(lake: str, customer: str, as_json: bool) -> None:
    """Print the latest snapshots of a customer and of their instances. Raises NoCustomerError."""
    with connect(lake) as connection:
        profiles = profiles_of(connection, customer)
    if not profiles:
        raise NoCustomerError(
            f"the lake knows no customer {as_text(customer)}; "
            f"zhice sql --lake {quote(lake)} 'SELECT customer_id FROM customers' lists them"
        )
    if as_json:
        click.echo(to_json(profiles))
        return
    for profile in profiles:
        print_profile(profile)


def profiles_of(connection: duckdb.DuckDBPyConnection, customer: str) -> list[dict[str, Any]]:
    """Rows of latest_features of a customer, the customer's own first."""
    query = "SELECT * FROM latest_features WHERE customer_id = ? ORDER BY entity_id NULLS FIRST"
    return by_name(*fetched(connection, query, [customer]))


def print_profile(profile: dict[str, Any]) -> None:
    """What is known of one entity, in two columns of names and values."""
    head, zone = ("as_of", "entity", "customer_id", "entity_id", "partition", "offset"), profile["as_of"].tzinfo
    values = {name: value for name, value in profile.items() if name not in head and value is not None}
    known = [
        (name, as_text(_instant(value, zone) if name.endswith(INSTANTS) else value)) for name, value in values.items()
    ]
    title = as_text(f"{profile['entity']} {profile['entity_id'] or profile['customer_id']} as of {profile['as_of']}")
    half = (len(known) + 1) // 2
    table = Table(title=title, title_justify="left", show_header=False)
    for left, right in zip(known[:half], [*known[half:], ("", "")][:half], strict=True):
        table.add_row(*left, *right)
    console().print(table)


def _instant(value: Any, zone: tzinfo | None) -> Any:
    """A number of ms since 2000 or later as the time that it is."""
    is_one = isinstance(value, int | float) and MS_2000 <= value < MS_9999
    return datetime.fromtimestamp(value // 1000, zone) if is_one else value
