"""benchmarks/results.svg: a bar for each contender, from the first log of the results."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from statistics import median

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.report import OURS, Results

WIDTH, LEFT, RIGHT = 860, 250, 130  # px; right of a bar stands its figure
ROW, BAR, TOP = 30, 18, 52
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 16px }
.small { font-size: 12px; fill: #57606a } .peer { fill: #8c959f } .own { fill: #1f6feb } .ceiling { fill: #d0d7de }
.spread { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 }
  .peer { fill: #656c76 } .own { fill: #4493f8 } .ceiling { fill: #3d444d }
  .spread { stroke: #e6edf3 }
}
"""


def draw(results: Results, path: Path) -> None:
    """Write the chart, fastest first. Rates in events/s; the line is from the slowest to the fastest run."""
    path.write_text("\n".join(_lines(results)) + "\n", encoding="utf-8")


def _lines(results: Results) -> Iterator[str]:
    log = results.logs[0]
    shown = [(one, rates) for one in CONTENDERS if (rates := results.rates(log, one.name))]
    shown.sort(key=lambda pair: -median(pair[1]))
    scale = (WIDTH - LEFT - RIGHT) / max(max(rates) for _, rates in shown)
    height = TOP + ROW * len(shown) + 14
    title = f"Events a second to the last trigger, state durable; {log.events:,} events, {log.customers:,} customers"
    size = f'viewBox="0 0 {WIDTH} {height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">'
    yield f"<style>{STYLE}</style>"
    yield f'<text class="title" x="12" y="26">{escape(title)}</text>'
    for row, (contender, rates) in enumerate(shown):
        yield from _bar(contender, rates, TOP + row * ROW, scale)
    yield "</svg>"


def _bar(contender: Contender, rates: list[float], y: int, scale: float) -> Iterator[str]:
    middle, low, high = (LEFT + rate * scale for rate in (median(rates), min(rates), max(rates)))
    kind = "own" if contender.name == OURS else "peer" if contender.publishes else "ceiling"
    yield f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(contender.label)}</text>'
    yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(1.0, middle - LEFT):.1f}" height="{BAR}" rx="2"/>'
    if high - low >= 1:
        yield f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + BAR / 2}" y2="{y + BAR / 2}"/>'
    yield f'<text class="small" x="{max(middle, high) + 8:.1f}" y="{y + 14}">{median(rates):,.0f}</text>'
