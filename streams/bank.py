"""A bank's customers, its calendar, and the events that stories about them emit: everything as numpy columns.

Nothing here depends on the time or on the order of a dict or a set: one seed, one bank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from models.windows import DAY_MS, HOUR_MS

EVENTS_PER_CUSTOMER_DAY = 1 / 6  # what the bank makes when nobody says how many
MIN_EVENTS_PER_CUSTOMER = 4
NEVER_MS = 2**62

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Column = tuple[str, NDArray]  # how a value is written, and the values

HOURS = np.array([2, 1, 1, 1, 1, 2, 5, 12, 18, 22, 22, 20, 24, 18, 17, 17, 17, 18, 20, 26, 30, 28, 16, 6], float)
WEEKDAYS = np.array([10, 10, 10, 10, 11, 8, 7], float)  # Monday first


@dataclass(frozen=True)
class SimulationSettings:
    """`events`: records in all, or None for as many as the bank makes; the last three are shares of them."""

    seed: int = 1
    customers: int = 20_000
    days: int = 90
    events: int | None = 300_000
    start: str = "2026-01-01"  # a date in `time_zone`
    time_zone: str = "Asia/Shanghai"
    late: float = 0.01
    duplicates: float = 0.005
    broken: float = 0.002

    @property
    def records(self) -> int:
        return round(self.customers * self.days * EVENTS_PER_CUSTOMER_DAY) if self.events is None else self.events


@dataclass(frozen=True)
class Persona:
    """Amounts in yuan; `deposit` is a median, `holders` the share who hold wealth products."""

    share: float
    app: float
    salary: float
    deposit: float
    holders: float
    ages: tuple[int, int]
    job: str
    borrows: float


PERSONAS: Mapping[str, Persona] = {
    "student": Persona(0.14, 1.4, 0, 3_000, 0.05, (18, 25), "student", 0.4),
    "salaried": Persona(0.42, 1.0, 11_000, 30_000, 0.30, (22, 56), "employee", 1.5),
    "affluent": Persona(0.12, 1.1, 28_000, 250_000, 0.75, (30, 61), "manager", 0.6),
    "private": Persona(0.01, 0.7, 80_000, 4_000_000, 0.95, (35, 71), "business", 0.1),
    "merchant": Persona(0.11, 0.9, 0, 80_000, 0.30, (25, 61), "business", 2.5),
    "pensioner": Persona(0.20, 0.35, 4_500, 60_000, 0.35, (58, 86), "retired", 0.1),
}
SEXES, AREAS = ("female", "male"), ("tier1", "tier2", "tier3", "county")


# --- columns of properties


def money(cents: Ints) -> Column:
    return "%.2f", cents / 100


def whole(numbers: Ints) -> Column:
    return "%d", numbers


def ident(prefix: str, numbers: Ints) -> Column:
    return f'"{prefix}%09d"', numbers


def choice(codes: NDArray, values: Sequence[str]) -> Column:
    return '"%s"', np.array(values, object)[codes]


def flag(truths: NDArray[np.bool_]) -> Column:
    return "%s", np.array(["false", "true"], object)[truths.astype(np.int64)]


@dataclass(frozen=True)
class Block:
    """Events of one type. `session` is None for what happens outside the app; `channel` is one, or one an event."""

    event: str
    customer: Ints
    time: Ints
    session: Ints | None
    channel: str | NDArray[np.object_]
    properties: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.time)


@dataclass
class Sessions:
    """App sessions; grown by stories, then closed."""

    customer: Ints
    start: Ints
    length: Ints
    channel: NDArray[np.object_]


class People:
    """What customers are; arrays over customers. Money in cents."""

    def __init__(self, rng: np.random.Generator, count: int, joining: int, days: int) -> None:
        table = list(PERSONAS.values())
        self.count, self.days = count, days
        self.existing = count - joining
        kind = rng.choice(len(table), count, p=[persona.share for persona in table])
        self.persona = kind

        def of(name: str) -> Floats:
            return np.array([getattr(persona, name) for persona in table], float)[kind]

        low, high = (np.array([persona.ages[end] for persona in table])[kind] for end in (0, 1))
        self.age = rng.integers(low, high)
        self.sex = rng.integers(0, 2, count)
        self.area = rng.choice(4, count, p=[0.25, 0.35, 0.25, 0.15])
        self.household = rng.integers(1, 6, count)
        self.kyc = rng.choice([1, 2, 3], count, p=[0.05, 0.4, 0.55])
        self.salary = _cents(of("salary") * rng.lognormal(0, 0.35, count))
        deposit = of("deposit") * rng.lognormal(0, 0.9, count)
        holds = rng.random(count) < of("holders")
        self.deposit = _cents(deposit)
        self.wealth = _cents(np.where(holds, deposit * rng.lognormal(-0.2, 0.7, count), 0))
        self.scale = np.clip(deposit / 30_000, 0.1, 100) ** 0.6  # of what the customer spends and moves
        self.income = np.maximum(self.salary, _cents(2_000 * self.scale))
        stays_away = rng.random(count) < np.where(of("app") < 0.5, 0.6, 0.3)
        self.app = np.where(stays_away, 0, of("app") * rng.lognormal(0, 1.6, count))
        if not self.app[: self.existing].any():
            self.app[0] = 1.0  # somebody visits: what fills the count are visits
        self.spends = self.scale * rng.lognormal(0, 0.8, count)
        self.borrows = of("borrows") * (self.app > 0)
        self.leaves = np.where(rng.random(count) < 0.22, rng.integers(3, days + 3, count), days).clip(1, days)
        self.joins = np.zeros(count, np.int64)  # day
        self.ready = np.zeros(count, np.int64)  # ms from which an account exists
        self.spends[self.existing :] = 0
        self.borrows[self.existing :] = 0

    def master_data(self, customer: Ints) -> dict[str, Column]:
        jobs = [persona.job for persona in PERSONAS.values()]
        return {
            "customer_age": whole(self.age[customer]),
            "sex": choice(self.sex[customer], SEXES),
            "area": choice(self.area[customer], AREAS),
            "job": choice(self.persona[customer], jobs),
            "income": money(self.income[customer]),
            "household": whole(self.household[customer]),
            "kyc": whole(self.kyc[customer]),
        }


def _cents(yuan: Floats) -> Ints:
    return np.rint(yuan * 100).astype(np.int64)


@dataclass
class Bank:
    """The bank under simulation: stories draw from it, and emit blocks and moves of money into it."""

    settings: SimulationSettings
    events: int  # good events to make, without duplicates
    rng: np.random.Generator = field(init=False)
    blocks: list[Block] = field(default_factory=list)
    moves: list[tuple[Ints, Ints, Ints, Ints]] = field(default_factory=list)  # customer, time, deposit, wealth

    def __post_init__(self) -> None:
        settings = self.settings
        self.rng = np.random.Generator(np.random.PCG64(settings.seed))
        first = datetime.fromisoformat(settings.start).replace(tzinfo=ZoneInfo(settings.time_zone))
        self.first_day = first
        self.start_ms = int(first.timestamp()) * 1000
        self.end_ms = self.start_ms + settings.days * DAY_MS
        weights = WEEKDAYS[(first.weekday() + np.arange(settings.days)) % 7]
        self.day_weights = np.concatenate([[0], np.cumsum(weights)])
        self.hour_weights = np.concatenate([[0], np.cumsum(HOURS)])
        count = max(1, min(settings.customers, self.events // MIN_EVENTS_PER_CUSTOMER))
        joining = min(self.share(0.003), count // 4)
        self.people = People(self.rng, count, joining, settings.days)
        self.people.ready[:] = self.start_ms

    def share(self, share: float) -> int:
        """So many of the events, at random on either side so that small runs have rare ones, too."""
        return int(self.events * share + self.rng.random())

    # --- drawing

    def pick(self, count: int, weights: Floats) -> Ints:
        """Indices, each with a probability in proportion to its weight; none if all weights are 0."""
        total = np.cumsum(weights)
        if not len(total) or total[-1] <= 0:
            return np.zeros(0, np.int64)
        return np.searchsorted(total, self.rng.random(count) * total[-1], side="right").astype(np.int64)

    def times(self, first_day: NDArray, last_day: NDArray) -> Ints:
        """A time for each, by weekday and hour, in days [first, last)."""
        low, high = self.day_weights[first_day], self.day_weights[last_day]
        random = self.rng.random(len(low))
        day = np.searchsorted(self.day_weights, low + random * (high - low), side="right") - 1
        day = day.clip(first_day, np.maximum(last_day - 1, first_day))
        hour = np.searchsorted(self.hour_weights, self.rng.random(len(low)) * self.hour_weights[-1], side="right") - 1
        within = self.rng.integers(0, HOUR_MS, len(low))
        return self.start_ms + day * DAY_MS + hour * HOUR_MS + within

    def any_time(self, count: int) -> Ints:
        """Times over all the days."""
        return self.times(np.zeros(count, np.int64), np.full(count, self.settings.days))

    def cents(self, median: float | Floats, sigma: float, count: int) -> Ints:
        """Amounts in cents around a median in yuan; at least one yuan."""
        return np.maximum(_cents(median * self.rng.lognormal(0, sigma, count)), 100)

    def codes(self, count: int, weights: Sequence[float]) -> Ints:
        return self.pick(count, np.array(weights, float))

    def spread(self, count: int, least_ms: float, most_ms: float) -> Ints:
        """Delays between two bounds, each order of magnitude as likely as the next."""
        return np.exp(self.rng.uniform(np.log(least_ms), np.log(most_ms), count)).astype(np.int64)

    # --- emitting

    def emit(
        self,
        event: str,
        customer: Ints,
        time: Ints,
        properties: Mapping[str, Column],
        *,
        session: Ints | None = None,
        channel: str | NDArray[np.object_] = "core",
        deposit: Ints | None = None,
        wealth: Ints | None = None,
    ) -> None:
        """Add events, and what they move in cents; those outside the simulated days are left out.

        Times become even, so that a snapshot, at odd ones, is never at the time of a move.
        """
        inside = (time >= self.start_ms) & (time < self.end_ms)
        customer, time = customer[inside], time[inside] & ~1
        if not len(time):
            return
        columns = {name: (text, values[inside]) for name, (text, values) in properties.items()}
        if session is not None:
            session = session[inside]
        if not isinstance(channel, str):
            channel = channel[inside]
        self.blocks.append(Block(event, customer, time, session, channel, columns))
        if deposit is not None:
            moved = np.zeros(len(time), np.int64) if wealth is None else wealth[inside]
            self.moves.append((customer, time, deposit[inside], moved))
