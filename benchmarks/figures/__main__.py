"""`python -m benchmarks.figures`: the product's own figures, a section each; benchmarks/figures.md."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich_click as click

from benchmarks.figures import costs, lakes, latency, recoveries, views, workers
from benchmarks.figures.report import measured, refresh

REPORT = Path(__file__).parents[1] / "figures.md"


class Figure(NamedTuple):
    """`measure(size, folder)` gives the lines of a section."""

    title: str
    measure: Callable[[Any, Path], Iterable[str]]
    full: object
    small: object


FIGURES = {
    "latency": Figure("Latency, event to trigger", latency.measure, latency.Size(), latency.SMALL),
    "workers": Figure("Rate of workers", workers.measure, workers.Size(), workers.SMALL),
    "backtest": Figure("Rate of a backtest", lakes.backtest, lakes.Size(), lakes.SMALL),
    "costs": Figure("Cost of an event, memory a customer", costs.measure, costs.Size(), costs.SMALL),
    "recovery": Figure("Start and recovery", recoveries.measure, recoveries.Size(), recoveries.SMALL),
    "lake": Figure("The lake's writer", lakes.lake, lakes.Size(), lakes.SMALL),
    "views": Figure("Views over the lake", views.measure, views.Size(), views.SMALL),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, type=click.Choice(list(FIGURES)), help="A section; repeatable. Absent: all.")
@click.option("--small", is_flag=True, help="Tiny sizes, to see that all of it works: no figures to keep.")
@click.option("--out", default=str(REPORT), metavar="FILE", help="The report; its other sections stay.")
@click.option("--folder", default="", help="Where logs and lakes are kept for the next time.")
@click.option("--note", default="", help="A sentence for these sections, such as what else ran on the machine.")
def main(only: Sequence[str], small: bool, out: str, folder: str, note: str) -> None:
    """Measure the product's own figures.

    Example: python -m benchmarks.figures --only views --only latency
    """
    titles = [figure.title for figure in FIGURES.values()]
    with tempfile.TemporaryDirectory(prefix="zhice-figures-") as temporary:
        place = Path(folder or temporary)
        place.mkdir(parents=True, exist_ok=True)
        for name in only or FIGURES:
            title, measure, *sizes = FIGURES[name]
            click.echo(f"{time.strftime('%H:%M:%S')} {title}")
            command = f"python -m benchmarks.figures --only {name}{' --small' if small else ''}"
            lines = measured(lambda: measure(sizes[small], place), command, note)  # noqa: B023
            refresh(Path(out), titles, title, lines)
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
