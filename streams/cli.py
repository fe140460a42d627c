"""The command line. Commands parse options, call one function of a module, and print; errors are one line that says
what to do, with exit code 1 (2 for wrong usage, 130 for Ctrl-C, 143 for SIGTERM, 141 in a shell where nobody reads
on)."""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

import rich_click as click
from click.shell_completion import get_completion_class

from models.errors import UserError
from streams import settings as worker_settings
from streams.options import refuse, setting_options
from streams.start import INTERRUPTED, STOPPED

CATALOGUE = setting_options("catalogue")
KEEP_HOURS = 168  # as Delta has it
LAKE = setting_options("lake")
OF_A_PATH = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)  # one that was given
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a disk or a device that takes no more
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Zhice(click.RichGroup):
    """Turns errors that a user can mend into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            _end_unread()
        except KeyboardInterrupt:
            click.echo(STOPPED, err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            ctx.exit(tell(error))


def tell(error: Exception) -> int:
    """Say what is wrong in one line; returns the exit code. Raises the error where no user can mend it."""
    if not _is_for_users(error):
        raise error
    click.echo(f"zhice: {_in_words(error)}", err=True)
    return getattr(error, "exit_code", 1)


def _is_for_users(error: Exception) -> bool:
    """Whether who typed the command can mend it; other errors are worth their traceback."""
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return True
    duckdb = sys.modules.get("duckdb")  # what was not imported has raised nothing, and would take 0.1 s
    return isinstance(error, (UserError, *OF_A_PATH)) or bool(duckdb and isinstance(error, duckdb.Error))


def _in_words(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if error.filename is None:
        return f"cannot write: {error.strerror}" if error.errno in UNWRITABLE else str(error)
    return f"{error.filename}: {error.strerror}"


def _end_unread() -> None:
    """Who read the output has gone, as `| head` does: end by the signal that other commands end by, without a word."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, for the sake of sockets
    signal.raise_signal(signal.SIGPIPE)


@click.group(cls=Zhice, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("zhice"), prog_name="zhice")
def main() -> None:
    """Zhice (智策): a bank's real-time digital-operations engine.

    Start with: zhice demo
    """


@main.command()
@click.option("--events", default=300_000, show_default=True, help="How many events to simulate.")
@click.option("--customers", default=20_000, show_default=True)
@click.option("--days", default=90, show_default=True)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--dir", "folder", default=".zhice/demo", show_default=True, help="Emptied, then filled with the lake.")
def demo(events: int, customers: int, days: int, seed: int, folder: str) -> None:
    """Simulate a bank, run it through broker, worker and lake, and show what came out.

    Example: zhice demo --events 50000 --customers 3000
    """
    from streams.demo import run_demo

    run_demo(events, customers, days, seed, Path(folder))


@main.command()
@click.option("--port", default=9092, show_default=True, type=click.IntRange(0, 65_535), help="0: a free one.")
@click.option("--apache", is_flag=True, help="Apache Kafka instead of the embedded broker; needs Java 17 and Maven.")
def broker(port: int, apache: bool) -> None:
    """Run a broker on 127.0.0.1 until Ctrl-C. Its records are gone when it stops.

    Example: zhice broker --port 9092
    """
    from streams.broker import EmbeddedBroker
    from streams.kafka_broker import ApacheKafka

    stops = {signal.SIGINT, signal.SIGTERM}
    with (ApacheKafka if apache else EmbeddedBroker)(port) as running:
        click.echo(f"{running.name} listens at {running.address}; Ctrl-C stops it")
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        signal.sigwait(stops)
    click.echo("stopped")


@main.command()
@setting_options(*worker_settings.OF_TOPICS)
@JSON
def topics(as_json: bool, **options: Any) -> None:
    """Make the topics that are missing, with the right partitions, retention and compaction.

    Example: zhice topics --broker 127.0.0.1:9092 --partitions 8
    """
    from streams.show import show_topics
    from streams.topics import ensure_topics

    show_topics(ensure_topics(worker_settings.load(options)), as_json)


def _stop_early(*_: object) -> None:
    """SIGTERM before there is a worker that could take a checkpoint.

    There is nothing to tidy, and an exception would be lost in what is just imported, if that takes any for its own.
    """
    os.write(sys.stdout.fileno(), b"stopped before it began\n")
    os._exit(0)


@main.command()
@setting_options(*worker_settings.Settings.__struct_fields__)
def worker(**options: Any) -> None:
    """Work through the events until SIGTERM or Ctrl-C; then take a checkpoint and leave.

    Example: zhice worker --broker 127.0.0.1:9092 --lake .zhice/lake
    """
    signal.signal(signal.SIGTERM, _stop_early)
    from streams.serve import serve

    serve(worker_settings.load(options))


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--events", default=1_000_000, show_default=True)
@click.option("--customers", default=100_000, show_default=True)
@click.option("--days", default=30, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--late", default=0.01, show_default=True, help="Share of events that come late.")
@click.option("--duplicates", default=0.005, show_default=True, help="Share of events that come twice.")
@click.option("--broken", default=0.002, show_default=True, help="Share of records that are no valid event.")
@click.option(
    "--answers", is_flag=True,
    help="Add what customers answer to the triggers that it brings, with the default catalogue, topic and partitions.",
)  # fmt: skip
def simulate(file: Path, answers: bool, **options: Any) -> None:
    """Write a bank in motion to FILE (.jsonl or .parquet).

    Example: zhice simulate bank.jsonl --events 100000 --seed 7
    """
    from streams.show import stopwatch
    from streams.simulate import SimulationSettings, write_file

    simulation = SimulationSettings(**options)
    with stopwatch() as seconds:
        if answers:
            from streams.answers import write_answered  # late: it imports what a backtest needs

            events = options["events"] + write_answered(simulation, file, worker_settings.Settings())
        else:
            events = write_file(simulation, file).records
    click.echo(f"{events:,} events in {file} after {seconds():.1f} s. Next: zhice backtest {quote(str(file))}")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--sql", default=None, help="Maps any file that DuckDB reads: SELECT … FROM source ORDER BY event_time.")
@click.option("--embedded/--no-embedded", default=True, show_default=True, help="Start a broker for this replay.")
@click.option(
    "--work/--no-work", default=True, show_default=True,
    help="Also run a worker to the end of the replay; with --no-embedded it may be left to others.",
)  # fmt: skip
@setting_options(*worker_settings.OF_REPLAY)
def replay(file: Path, sql: str | None, embedded: bool, work: bool, **options: Any) -> None:
    """Send the events of FILE through a broker with their own times, and work through them.

    Without the embedded broker the events topic must be empty; --prefix names new topics.

    Columns that are named as in the envelope fill it; every other column becomes a property.

    Example: zhice replay log.csv --catalogue my.toml --sql "SELECT id AS customer_id, activity AS event, ts AS
    event_time FROM source ORDER BY event_time"
    """
    if embedded:
        refuse(worker_settings.NOT_EMBEDDED, "this replay starts a broker of its own; --no-embedded takes yours")
    if not work:
        refuse(worker_settings.OF_WORK, "--no-work only sends")
    from streams.replay_runs import run_replay

    run_replay(file, sql, worker_settings.load(options), embedded=embedded, work=work)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--sql", default=None, help="Maps any file that DuckDB reads: SELECT … FROM source ORDER BY event_time.")
@click.option(
    "--partitions", default=4, show_default=True, type=click.IntRange(1, worker_settings.MAX_PARTITIONS),
    help="As many as the topic that it stands for has.",
)  # fmt: skip
@click.option("--topic", default="zhice.events", show_default=True, help="The topic that it stands for.")
@click.option("--threads", default=0, type=click.IntRange(min=0), help="Threads that fold; 0: one a core.")
@CATALOGUE
@LAKE
def backtest(file: Path, sql: str | None, partitions: int, topic: str, threads: int, catalogue: str, lake: str) -> None:
    """The events of FILE through the same engine, without a broker, into the same lake.

    Example: zhice backtest bank.jsonl --lake .zhice/backtest
    """
    from streams.backtest import Backtest
    from streams.backtest_runs import run_backtest

    run_backtest(Backtest(str(file), catalogue, lake, topic, partitions), sql, threads)


@main.command()
@click.argument("query", required=False)
@LAKE
@JSON
def sql(query: str | None, lake: str, as_json: bool) -> None:
    """Ask the lake with DuckDB; without QUERY, list its tables and views.

    Example: zhice sql "FROM mau"
    """
    from streams.show import show_query

    show_query(lake, query, as_json)


@main.command()
@LAKE
@click.option(
    "--keep-hours", default=KEEP_HOURS, show_default=True, type=click.IntRange(min=1),
    help="Remove files that have not counted for so long; who reads a table must be done with them by then.",
)  # fmt: skip
def compact(lake: str, keep_hours: int) -> None:
    """Merge the small files of the lake's days; workers may go on meanwhile.

    Example: zhice compact --lake .zhice/lake
    """
    from sinks.compaction import compact as compact_lake

    for table, before, after, removed in compact_lake(lake, keep_hours=keep_hours):
        click.echo(f"{table:<12} {before:>6,} files, now {after:,}; {removed:,} removed that no longer counted")


@main.command()
@CATALOGUE
@LAKE
@JSON
def verify(catalogue: str, lake: str, as_json: bool) -> None:
    """Recompute every feature from the lake's events and compare; exit code 1 where one differs, or there is none.

    Example: zhice verify --lake .zhice/demo/lake
    """
    from sinks.verify import verify as verify_lake
    from streams.catalogues import read_catalogue
    from streams.show import show_verification

    report = verify_lake(lake, read_catalogue(catalogue))
    show_verification(report, as_json)
    sys.exit(1 if report.mismatches else 0)


@main.command()
@LAKE
@JSON
def report(lake: str, as_json: bool) -> None:
    """Reach, outcomes, effect against the holdout, hand-offs, retention and churn.

    Example: zhice report --lake .zhice/demo/lake
    """
    from streams.report import show_report

    show_report(lake, as_json)


@main.group("catalogue")
def catalogue_group() -> None:
    """Check a catalogue, or show what is in it."""


@catalogue_group.command("check")
@click.argument("path", required=False, default="")
def catalogue_check(path: str) -> None:
    """Check the catalogue in a folder or file; every error is shown, exit code 1.

    Example: zhice catalogue check my_catalogue/
    """
    from models.catalogue import CatalogueErrors
    from streams.catalogues import read_catalogue

    try:
        found = read_catalogue(path)
    except CatalogueErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(1)
    click.echo(
        f"{found.name} {found.version} is right: {len(found.events)} event types, {len(found.features)} features, "
        f"{len(found.tags)} tags, {len(found.journeys)} journeys, {len(found.rules)} rules, "
        f"{len(found.policies)} policies"
    )


@catalogue_group.command("show")
@click.argument("path", required=False, default="")
@JSON
def catalogue_show(path: str, as_json: bool) -> None:
    """Show the entries of a catalogue, and the cells of a row.

    Example: zhice catalogue show --json
    """
    from streams.catalogues import read_catalogue
    from streams.show_catalogue import show_catalogue

    show_catalogue(read_catalogue(path), as_json)


@main.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the schemas to this folder.")
@CATALOGUE
def schema(out: Path | None, catalogue: str) -> None:
    """JSON Schemas of events and of what comes out.

    Example: zhice schema --out docs/schemas
    """
    from streams.catalogues import read_catalogue
    from streams.show_catalogue import show_schemas

    show_schemas(read_catalogue(catalogue), out)


@main.command()
@click.argument("customer")
@LAKE
@JSON
def profile(customer: str, lake: str, as_json: bool) -> None:
    """Features, tags and stages of one customer, as of the latest snapshot in the lake.

    Example: zhice profile c000001 --lake .zhice/demo/lake
    """
    from streams.show import show_profile

    show_profile(lake, customer, as_json)


@main.command("compile")
def compile_command() -> None:
    """Compile the engine; `make` does it at set-up, an image when it is built.

    Example: zhice compile
    """
    from streams.compiling import compile_kernels
    from streams.show import stopwatch

    with stopwatch() as seconds:
        compile_kernels()
    click.echo(f"the engine is compiled ({seconds():.1f} s)")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    Example: eval "$(zhice completion bash)"
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "zhice", "_ZHICE_COMPLETE").source())
