"""Strategies of hypothesis: a random catalogue with a random log of it.

Hypothesis draws one string of bytes: a seed, then a byte for each entry and record, which is made from the seed and
that byte; below KEPT it is left out. So an example is cheap to make, no two are alike, and it shrinks by leaving out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from models.catalogue import Catalogue, load
from tests.strategies_catalogue import Builder
from tests.strategies_log import Log, Record

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Shanghai", "Australia/Lord_Howe")
STARTS = {  # and where clocks change soon after it
    1_704_067_200_000: None,  # 2024-01-01 00:00 UTC
    1_710_033_000_000: "America/New_York",  # 2024-03-10 01:10 UTC, hours before the clocks go forward
    1_711_840_000_000: "Europe/Berlin",  # 2024-03-30 23:06 UTC, hours before the clocks go forward
    1_729_980_000_123: "Europe/Berlin",  # 2024-10-26 22:00 UTC, hours before the clocks go back
    1_730_602_800_000: "America/New_York",  # 2024-11-03 03:00 UTC, hours before the clocks go back
    1_775_307_600_000: "Australia/Lord_Howe",  # 2026-04-04 13:00 UTC, two hours before they go back by half of one
}
ENTRIES = (  # at most
    *(("event", 5), ("journey", 5), ("feature", 12), ("tag", 4), ("rule", 12)),
    *(("gate", 2), ("quiet_hours", 3), ("contact_limit", 3), ("holdout", 2)),
)
RECORDS = 200
CUTS = 6
ACTIONS = ("none", "checkpoint", "restart", "crash")
SEED_BYTES = 4
SIZE = SEED_BYTES + sum(most for _, most in ENTRIES) + RECORDS + CUTS
KEPT = 112


@dataclass(frozen=True)
class Case:
    """A catalogue, a log, and the batches it is cut into, each with the one of ACTIONS that comes before it."""

    toml: str
    catalogue: Catalogue
    log: list[Record]
    batches: list[tuple[str, list[Record]]]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis shows an example that fails."""
        cuts = [(action, len(records)) for action, records in self.batches]
        log = "\n".join(map(repr, self.log))
        printer.text(f"catalogue:\n{self.toml}\nlog:\n{log}\nbatches (what comes before, records): {cuts}")


class Bytes:
    """The string that hypothesis drew, read from the left."""

    def __init__(self, drawn: bytes) -> None:
        self.seed, self.rest = drawn[:SEED_BYTES].hex(), iter(drawn[SEED_BYTES:])

    def random(self, what: str) -> Random:
        """Of the seed alone."""
        return Random(f"{self.seed} {what}")

    def kept(self, what: str, most: int) -> Iterator[Random]:
        """A random for each of at most so many entries that is not left out."""
        for number in range(most):
            byte = next(self.rest)
            if byte >= KEPT:
                yield Random(f"{self.seed} {what} {number} {byte}")


@st.composite
def cases(draw: DrawFn, one_at_a_time: bool = False) -> Case:
    """A catalogue, a log of it, and random cuts of the log, some of them with checkpoints and restarts."""
    return case_of(draw(st.binary(min_size=SIZE, max_size=SIZE)), one_at_a_time)


def case_of(text: bytes, one_at_a_time: bool = False) -> Case:
    """The case that SIZE bytes stand for."""
    drawn = Bytes(text)
    random = drawn.random("log")
    start = random.choice([*STARTS])
    builder = _builder(drawn, start)
    log = Log(builder, start, customers=random.randint(1, 4))
    most = random.choice((15, 60, 120, RECORDS))
    for number, one in enumerate(drawn.kept("record", RECORDS)):
        if number < most:
            log.add(one)
    actions = {one.randint(0, len(log.records)): one.choice(ACTIONS) for one in drawn.kept("cut", CUTS)}
    cuts = range(1, len(log.records)) if one_at_a_time else actions
    toml = builder.toml()
    return Case(toml, load({"catalogue.toml": toml}), log.records, list(_batches(log.records, cuts, actions)))


def _builder(drawn: Bytes, start: int) -> Builder:
    """A random catalogue, not yet loaded; it has at least one event type and one journey."""
    random = drawn.random("zone")
    zone = (random.random() < 0.5 and STARTS[start]) or random.choice(ZONES)
    local = datetime.fromtimestamp(start // 1000, ZoneInfo(zone))
    builder = Builder(zone, local.hour * 60 + local.minute)
    for table, most in ENTRIES:
        if table in ("event", "journey"):
            builder.add(table, drawn.random(table))
        for random in drawn.kept(table, most):
            builder.add(table, random)
    return builder


def _batches(log: list[Record], cuts: Iterable[int], actions: Mapping[int, str]) -> Iterator[tuple[str, list[Record]]]:
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(log)), len(log)]
    for start, end in pairwise(edges):
        if start < end:
            yield actions.get(start, "none"), log[start:end]
