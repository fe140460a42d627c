"""What may hold an action back, as catalogues declare it: gates, quiet hours, contact limits and holdouts.

docs/semantics.md says in what order they are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from models.windows import MINUTE_MS, parse_duration_ms

if TYPE_CHECKING:
    from models.catalogue import Rule

Kind = Literal["marketing", "service"]
Per = Literal["customer", "channel", "group", "rule"]
MARKETING: Final[tuple[Kind, ...]] = ("marketing",)
EXPIRED, GOAL, ARBITRATION, COOLDOWN = "expired", "goal", "arbitration", "cooldown"
BUILT_IN_GATES: Final = (EXPIRED, GOAL, ARBITRATION, COOLDOWN)  # that no catalogue declares
HOLDOUT_BYTES: Final = 8  # of the hash that says who is held out


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """`kinds`, `channels`, `groups`, `rules`: of the rules that it is for; None for all."""

    name: str
    label: str = ""
    kinds: tuple[Kind, ...] | None = None
    channels: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    rules: tuple[str, ...] | None = None

    def is_for(self, rule: Rule) -> bool:
        asked = (
            (self.kinds, rule.kind),
            (self.channels, rule.channel),
            (self.groups, rule.group),
            (self.rules, rule.name),
        )
        return all(wanted is None or has in wanted for wanted, has in asked)

    @property
    def means(self) -> str:
        """What it asks, for people."""
        raise NotImplementedError


class Gate(Policy, frozen=True, kw_only=True):
    when: str

    @property
    def means(self) -> str:
        return self.when


class QuietHours(Policy, frozen=True, kw_only=True):
    """`from` and `until`: HH:MM in the catalogue's time zone; `from` later than `until` spans midnight."""

    kinds: tuple[Kind, ...] | None = MARKETING
    from_: str = msgspec.field(name="from")
    until: str

    @property
    def means(self) -> str:
        return f"waits from {self.from_} until {self.until}"

    @property
    def from_ms(self) -> int:
        return time_of_day_ms(self.from_)

    @property
    def until_ms(self) -> int:
        return time_of_day_ms(self.until)

    def holds_at(self, time_of_day: int) -> bool:
        """Whether this time of day, ms, is quiet."""
        first, end = self.from_ms, self.until_ms
        return first <= time_of_day < end if first < end else time_of_day >= first or time_of_day < end


class ContactLimit(Policy, frozen=True, kw_only=True):
    """At most `most` contacts with a customer `within` a time; `per` channel, group or rule, each on its own."""

    kinds: tuple[Kind, ...] | None = MARKETING
    per: Per = "customer"
    most: int
    within: str

    @property
    def means(self) -> str:
        return f"at most {self.most} in {self.within} per {self.per}"

    @property
    def within_ms(self) -> int:
        return parse_duration_ms(self.within)

    def scopes(self, rules: tuple[Rule, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(what is counted on its own, names of its rules): the customer, or each channel, group or rule."""
        by_key: dict[str, list[str]] = {}
        for rule in rules:
            key = {"customer": "", "channel": rule.channel, "group": rule.group, "rule": rule.name}[self.per]
            if self.is_for(rule) and key is not None:
                by_key.setdefault(key, []).append(rule.name)
        yield from ((key, tuple(names)) for key, names in by_key.items())


class Holdout(Policy, frozen=True, kw_only=True):
    """A share of the customers, 0 to 1, who are decided about but not acted on."""

    kinds: tuple[Kind, ...] | None = MARKETING
    share: float

    @property
    def means(self) -> str:
        return f"{self.share:.1%} of the customers are held out"

    def has(self, customer_id: str) -> bool:
        """Whether a customer is held out: the same for ever, as long as the name and the share stay."""
        digest = blake2b(f"{self.name}:{customer_id}".encode(), digest_size=HOLDOUT_BYTES).digest()
        return int.from_bytes(digest) < self.share * 2.0 ** (8 * HOLDOUT_BYTES)


def time_of_day_ms(text: str) -> int:
    """Milliseconds since midnight. Raises ValueError.

    >>> time_of_day_ms("21:30")
    77400000
    """
    hour, colon, minute = text.partition(":")
    digits = len(hour) == len(minute) == 2 and (hour + minute).isascii() and (hour + minute).isdigit()
    if not (colon and digits and int(hour) < 24 and int(minute) < 60):
        raise ValueError(f"'{text}' is no time of day; write HH:MM, from 00:00 to 23:59")
    return (int(hour) * 60 + int(minute)) * MINUTE_MS
