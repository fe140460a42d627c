"""`python -m benchmarks`: every contender over the same logs, checked, then timed; benchmarks/results.md and .svg."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rich_click as click

from benchmarks.chart import draw
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.environments import BuildError
from benchmarks.kafka import delete_topics_but, make_topic, topics
from benchmarks.log import Log, events_of, produce
from benchmarks.reference import Trigger, triggers_of
from benchmarks.report import Results, write
from benchmarks.running import Run, RunError, run
from streams.kafka_broker import ApacheKafka

HERE = Path(__file__).parent
CHECK_EVENTS = 20_000  # of the log over which everybody must be right before anything is timed
BROKER_HEAP_MB = 1024
NAME = "bench"  # first part of every topic's name


@dataclass
class Bench:
    """A broker with the logs that were produced so far."""

    broker: str
    _answers: dict[str, dict[str, Trigger]] = field(default_factory=dict)

    def run(self, contender: Contender, log: Log, number: int) -> Run:
        """Once. Raises RunError and BuildError."""
        prefix = self._prefix(log)
        kept = topics(self.broker)
        try:
            return run(contender, contender.command(), self.broker, prefix, self._answers[prefix], log.events, number)
        finally:
            delete_topics_but(self.broker, kept)

    def _prefix(self, log: Log) -> str:
        """The prefix of the log's topics; produced when it is first asked for."""
        prefix = f"{NAME}-{log.name}-{log.events}"
        if prefix not in self._answers:
            say(f"producing {log.events:,} events, {log.name}")
            make_topic(self.broker, f"{prefix}.events")
            produce(self.broker, f"{prefix}.events", log)
            self._answers[prefix] = triggers_of(events_of(log))
        return prefix


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--events", default=1_000_000, show_default=True, help="Events of a log.")
@click.option("--customers", default=100_000, show_default=True, help="Customers of a log.")
@click.option("--runs", default=5, show_default=True, help="Timed runs of each contender over each log.")
@click.option("--seed", default=1, show_default=True, help="Of the logs.")
@click.option(
    "--only", multiple=True, type=click.Choice([one.name for one in CONTENDERS]), help="A contender; repeatable."
)
@click.option("--log", "names", multiple=True, type=click.Choice(["uniform", "skewed"]), help="A log; absent: both.")
@click.option("--out", default=str(HERE), metavar="DIR", help="Folder of results.md and results.svg.")
@click.option("--note", default="", help="A sentence for the report, such as what else ran on the machine.")
def main(
    events: int, customers: int, runs: int, seed: int, only: Sequence[str], names: Sequence[str], out: str, note: str
) -> None:
    """Compare Zhice with its peers on one job (benchmarks/job.md).

    Example: python -m benchmarks --events 50000 --customers 5000 --runs 1 --only zhice --only quix
    """
    logs = [Log(events, customers, name == "skewed", seed) for name in names or ("uniform", "skewed")]
    results = Results(logs, note)
    Path(out).mkdir(parents=True, exist_ok=True)
    with ApacheKafka(heap_mb=BROKER_HEAP_MB) as broker:
        bench = Bench(broker.address)
        chosen = [one for one in CONTENDERS if not only or one.name in only]
        small = logs[0].shorter(CHECK_EVENTS)
        right = [one for one in chosen if _is_right(bench, one, small, results)]
        if not right:
            raise click.ClickException("no contender gave the right answer: nothing to compare")
        for log in logs:
            for number in range(1, runs + 1):
                for contender in right:
                    _time(bench, contender, log, number, results)
                write(results, Path(out) / "results.md")
                draw(results, Path(out) / "results.svg")
    click.echo(f"written: {Path(out) / 'results.md'}")
    if results.failures:
        raise SystemExit(1)


def _is_right(bench: Bench, contender: Contender, log: Log, results: Results) -> bool:
    """Whether it gives the reference's answer over a small log; if not, the report says so and it is not timed."""
    say(f"{contender.label}: checking its answer")
    try:
        bench.run(contender, log, 0)
    except (BuildError, RunError) as error:
        results.failures[contender.name] = str(error)
        say(f"{contender.label}: {error}")
        return False
    return True


def _time(bench: Bench, contender: Contender, log: Log, number: int, results: Results) -> None:
    own = log.shorter(contender.events or log.events)
    try:
        done = bench.run(contender, own, number)
    except RunError as error:
        results.failures[contender.name] = f"{log.name}, run {number}: {error}"
        say(f"{contender.label}: {error}")
        return
    results.runs.setdefault((log.name, contender.name), []).append(done)
    say(f"{contender.label}, {log.name}, run {number}: {done.rate:,.0f} events/s")


def say(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}")


if __name__ == "__main__":
    main()
