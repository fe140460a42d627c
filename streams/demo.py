"""`zhice demo`: a simulated bank through broker, worker and lake, and a summary of what came out."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from shlex import quote

import duckdb
import rich_click as click
from rich.table import Table

from models.errors import UserError
from sinks.lake import connect
from streams.answers import append_answers
from streams.replay_runs import embedded_broker, replay_records
from streams.settings import Settings
from streams.show import as_text, bar, console, fetched, print_profile, print_rows, profiles_of, stopwatch
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics

CHECKPOINT_S = 20.0
MARKER = ".zhice-demo"  # a folder that holds it was made by a demo and may be emptied
JOURNEYS = ("app", "eloan")
RULES_SHOWN = 12
OUTCOMES = ("delivered", "exposed", "clicked", "converted", "dismissed", "opted_out")
OUTCOMES_SHOWN = 5


class DemoError(UserError):
    """The demo cannot use its folder; the message says what to do."""


def run_demo(events: int, customers: int, days: int, seed: int, folder: Path) -> None:
    """Simulate, run, and show. Raises DemoError."""
    _empty(folder)
    records, lake = folder / "events.jsonl", folder / "lake"
    simulation = SimulationSettings(seed=seed, customers=customers, days=days, events=events)
    settings = Settings(lake=str(lake), checkpoint_s=CHECKPOINT_S)
    with stopwatch() as seconds:
        write_file(simulation, records)
    click.echo(
        f"simulated {events:,} events of {customers:,} customers over {days} days in {seconds():.1f} s: {records}"
    )
    with stopwatch() as seconds:
        answers = append_answers(records, simulation, settings)
    click.echo(f"asked a backtest which triggers they will bring, and added {answers:,} answers in {seconds():.1f} s")
    click.echo("running all of it through broker, worker and lake …")
    with embedded_broker(settings) as replaying:
        ensure_topics(replaying, keep_forever=True)
        counts, took = replay_records(records, replaying)
    rate = f"{counts.records / took:,.0f} records/s, start and end included"
    click.echo(f"{counts.records:,} records in {took:.1f} s: {rate}")
    with connect(lake) as connection:
        summarise(connection)
    _next_commands(lake)


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise DemoError(f"{folder} holds files that no demo made; name another folder with --dir")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def summarise(connection: duckdb.DuckDBPyConnection) -> None:
    """What a person likes to read first."""
    _customer(connection)
    for journey in JOURNEYS:
        _funnel(connection, journey)
    _table(connection, "MAU by month", "SELECT strftime(month, '%Y-%m') AS month, mau FROM mau")
    _table(
        connection,
        "AUM by month and tier",
        "SELECT strftime(month, '%Y-%m') AS month, aum_tier::INT AS tier, customers::BIGINT AS customers, "
        "daily_average_aum::BIGINT AS daily_average_aum FROM aum_by_month",
    )
    _table(
        connection,
        f"Triggers by rule (first {RULES_SHOWN})",
        "SELECT rule, channel, candidates, triggers, customers, stopped, stopped_by "
        f"FROM triggers_by_rule ORDER BY triggers DESC LIMIT {RULES_SHOWN}",
    )
    _trigger(connection)
    shares = ", ".join(f"printf('%.0f%%', 100 * {name}) AS {name}" for name in OUTCOMES)
    _table(
        connection,
        f"What triggers met with (first {OUTCOMES_SHOWN} rules)",
        f"SELECT rule, channel, triggers, {shares} FROM outcomes_by_rule LIMIT {OUTCOMES_SHOWN}",
    )
    _table(connection, "Bad rows by reason", "SELECT reason, field, records FROM bad_rows_by_reason")


def _table(connection: duckdb.DuckDBPyConnection, title: str, query: str) -> None:
    print_rows(*fetched(connection, query), title=title)


def _customer(connection: duckdb.DuckDBPyConnection) -> None:
    """The features of the customer with the most triggers."""
    _, rows = fetched(
        connection,
        "SELECT customer_id FROM triggers GROUP BY customer_id ORDER BY count(*) DESC, customer_id LIMIT 1",
    )
    for profile in profiles_of(connection, rows[0][0])[:1] if rows else []:
        print_profile(profile)


def _funnel(connection: duckdb.DuckDBPyConnection, journey: str) -> None:
    rows = connection.execute(
        "SELECT stage, entities, share FROM funnel WHERE journey = ? ORDER BY number", [journey]
    ).fetchall()
    table = Table(title=f"Journey {journey}: entities that ever entered each stage", title_justify="left")
    table.add_column("stage")
    table.add_column("entities", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for stage, entities, share in rows:
        table.add_row(stage, as_text(entities), f"{share:.1%}", bar(share))
    console().print(table)


def _trigger(connection: duckdb.DuckDBPyConnection) -> None:
    """One trigger, whole."""
    names, rows = fetched(
        connection,
        'SELECT * EXCLUDE (day, topic, partition, "offset", event_id, event, stage, predicate) FROM triggers '
        "WHERE kind = 'marketing' ORDER BY len(evidence) DESC, id LIMIT 1",
    )
    for row in rows:
        shown = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        shown["evidence"] = json.loads(shown["evidence"])
        click.echo("One trigger, whole:")
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2, default=str))


def _next_commands(lake: Path) -> None:
    quoted = quote(str(lake))
    zhice = "zhice" if shutil.which("zhice") else quote(sys.argv[0])  # `make demo` calls it by its path
    click.echo("Try next:")
    click.echo(f'  {zhice} sql --lake {quoted} "FROM stage_transitions LIMIT 10"')
    click.echo(f"  {zhice} verify --lake {quoted}")
    click.echo(f"  {zhice} report --lake {quoted}")
