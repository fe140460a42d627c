"""The catalogue: what it declares, as frozen structs, and `load`, which reads it from TOML or says all that is wrong.

Attributes are named as in TOML (docs/catalogue.md). Durations stay as written; properties give them in ms.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from models import catalogue_names
from models.catalogue_checks import check
from models.catalogue_decode import decode
from models.catalogue_errors import CatalogueError, CatalogueErrors, Place, Report, did_you_mean
from models.catalogue_names import (
    CUSTOMER,
    concerned_events,
    entities,
    entity_of_rule,
    entity_of_tag,
    event_names,
    feature_type,
    gate_names,
    journey_of_rule,
    key_of,
    names_of_rule,
    predicate_names,
    tag_order,
)
from models.expressions import Type
from models.policies import ContactLimit, Gate, Holdout, Kind, Policy, QuietHours
from models.windows import default_tile_ms, parse_duration_ms

__all__ = [
    "CUSTOMER",
    "Catalogue",
    "CatalogueError",
    "CatalogueErrors",
    "ContactLimit",
    "EventType",
    "Feature",
    "Gate",
    "Goal",
    "Holdout",
    "Journey",
    "JourneyTransition",
    "Listens",
    "QuietHours",
    "Rule",
    "Tag",
    "Timeout",
    "concerned_events",
    "entities",
    "entity_of_rule",
    "entity_of_tag",
    "event_names",
    "feature_type",
    "gate_names",
    "journey_of_rule",
    "key_of",
    "load",
    "names_of_rule",
    "predicate_names",
    "tag_order",
]

Factor = str | float  # an expression, or its value
FACTORS: Final = ("propensity", "context", "value", "lever")
Aggregate = Literal["count", "sum", "min", "max", "last", "first", "distinct"]


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """`properties`: "number", "boolean", "string", or the values that expressions may compare with."""

    name: str
    label: str = ""
    properties: dict[str, str | tuple[str, ...]] = {}


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    label: str = ""
    class_: str = msgspec.field(name="class", default="")
    subclass: str = ""
    entity: str = CUSTOMER
    on: tuple[str, ...]
    where: str | None = None
    aggregate: Aggregate
    value: str | None = None
    window: str | None = None
    tile: str | None = None

    @property
    def window_ms(self) -> int | None:
        """None for a feature over the lifetime."""
        return _ms(self.window)

    @property
    def tile_ms(self) -> int | None:
        """The default of the window where none is declared; None for a feature over the lifetime."""
        window_ms = self.window_ms
        return None if window_ms is None else _ms(self.tile) or default_tile_ms(window_ms)


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    label: str = ""
    class_: str = msgspec.field(name="class", default="")
    subclass: str = ""
    expression: str


class JourneyTransition(msgspec.Struct, frozen=True, kw_only=True):
    from_: tuple[str, ...] = msgspec.field(name="from")
    on: tuple[str, ...]
    when: str | None = None
    to: str


class Timeout(msgspec.Struct, frozen=True, kw_only=True):
    in_: str = msgspec.field(name="in")
    after: str
    to: str
    restarted_by: tuple[str, ...] = ()

    @property
    def after_ms(self) -> int:
        return parse_duration_ms(self.after)


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """`key` is the property that names the instance; None for journeys of the customer."""

    name: str
    label: str = ""
    entity: str = CUSTOMER
    key: str | None = None
    stages: tuple[str, ...]
    transition: tuple[JourneyTransition, ...] = ()
    timeout: tuple[Timeout, ...] = ()


class Listens(msgspec.Struct, frozen=True, kw_only=True):
    """One of `event`, `entered` and `timeout`; the latter two are "journey.stage". `after` goes with `timeout`."""

    event: tuple[str, ...] | None = None
    entered: str | None = None
    timeout: str | None = None
    after: str | None = None

    @property
    def after_ms(self) -> int | None:
        return _ms(self.after)


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    event: str
    within: str

    @property
    def within_ms(self) -> int:
        return parse_duration_ms(self.within)


class Rule(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """`entity` is as written, None for most; `entity_of_rule` tells which it is. `FACTORS` make the score."""

    name: str
    label: str = ""
    entity: str | None = None
    listens: Listens
    when: str | None = None
    action: str
    channel: str
    kind: Kind = "marketing"
    group: str | None = None
    cooldown: str | None = None
    expires: str = "72h"
    goal: Goal | None = None
    propensity: Factor | None = None
    context: Factor | None = None
    value: Factor | None = None
    lever: Factor | None = None

    @cached_property
    def version(self) -> str:
        """8 hex digits that change with the definition."""
        return _digest(self, 4)

    @property
    def factors(self) -> dict[str, str]:
        """The factors of the score that are declared, as expressions."""
        found = {name: getattr(self, name) for name in FACTORS}
        return {name: str(factor) for name, factor in found.items() if factor is not None}

    @cached_property
    def cooldown_ms(self) -> int | None:
        return _ms(self.cooldown)

    @cached_property
    def expires_ms(self) -> int:
        return parse_duration_ms(self.expires)


class Catalogue(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A checked catalogue; tuples are in file order, files in the order of their names."""

    name: str
    time_zone: str = "UTC"
    channels: tuple[str, ...] = ()
    events: tuple[EventType, ...] = ()
    features: tuple[Feature, ...] = ()
    tags: tuple[Tag, ...] = ()
    journeys: tuple[Journey, ...] = ()
    rules: tuple[Rule, ...] = ()
    gates: tuple[Gate, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    contact_limits: tuple[ContactLimit, ...] = ()
    holdouts: tuple[Holdout, ...] = ()

    @cached_property
    def version(self) -> str:
        """12 hex digits that change with any content."""
        return _digest(self, 6)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """All that may hold actions back, in the order in which it is asked, but for what Zhice asks itself."""
        return (*self.gates, *self.quiet_hours, *self.contact_limits, *self.holdouts)

    @cached_property
    def property_types(self) -> Mapping[str, Type]:
        return catalogue_names.property_types(self)

    @cached_property
    def feature_types(self) -> Mapping[str, Type]:
        return {feature.name: catalogue_names.feature_type(self, feature) for feature in self.features}

    @cached_property
    def tag_types(self) -> Mapping[str, Type]:
        return catalogue_names.tag_types(self)

    @cached_property
    def tag_entities(self) -> Mapping[str, str]:
        return catalogue_names.tag_entities(self)


ENTRIES: Final[Mapping[str, tuple[str, type[msgspec.Struct]]]] = {
    "event": ("events", EventType),
    "feature": ("features", Feature),
    "tag": ("tags", Tag),
    "journey": ("journeys", Journey),
    "rule": ("rules", Rule),
    "gate": ("gates", Gate),
    "quiet_hours": ("quiet_hours", QuietHours),
    "contact_limit": ("contact_limits", ContactLimit),
    "holdout": ("holdouts", Holdout),
}
PARTS: Final[Mapping[str, type[msgspec.Struct]]] = {"transition": JourneyTransition, "timeout": Timeout}


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The table [catalogue]."""

    name: str
    time_zone: str = "UTC"
    channels: tuple[str, ...] = ()


def load(text_by_file: Mapping[str, str]) -> Catalogue:
    """The catalogue that these TOML files, read in the order of their names, declare together.

    Raises CatalogueErrors with all that is wrong.
    """
    report = Report()
    tables_by_file = dict(_parsed(text_by_file, report))
    header = _header(tables_by_file, report)
    entries: dict[str, Any] = {
        attribute: tuple(_entries(tables_by_file, table, report)) for table, (attribute, _) in ENTRIES.items()
    }
    catalogue = Catalogue(**msgspec.structs.asdict(header), **entries)
    check(catalogue, report)
    if report.errors:
        raise CatalogueErrors(report.in_order(["catalogue", *ENTRIES]))
    return catalogue


def _parsed(text_by_file: Mapping[str, str], report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(text_by_file):
        try:
            tables = tomllib.loads(text_by_file[file])
        except tomllib.TOMLDecodeError as error:
            report.unread = True
            report.add_at(Place(file), "", f"is no TOML: {error}")
            continue
        for table in tables:
            if table not in ENTRIES and table != "catalogue":
                report.unread = True
                report.add_at(Place(file), "", f"unknown table '{table}'{did_you_mean(table, [*ENTRIES, 'catalogue'])}")
        yield file, tables


def _header(tables_by_file: Mapping[str, dict[str, Any]], report: Report) -> Header:
    """The one [catalogue]; a stand-in where there is none, so that the rest can be checked."""
    files = [file for file, tables in tables_by_file.items() if "catalogue" in tables]
    if not files:
        if not report.unread:
            report.add_at(Place(), "", "no file has a table [catalogue]; one must, with its name")
        return Header(name="")
    for file in files[1:]:
        report.add_at(Place(file, "catalogue"), "", f"stands in {files[0]} already; there must be only one")
    table = tables_by_file[files[0]]["catalogue"]
    place = Place(files[0], "catalogue", _entry_name(table, ""))
    header = decode(Header, table, _note(report, place))
    report.header = place if header else None
    return header or Header(name="")


def _entries(tables_by_file: Mapping[str, dict[str, Any]], table: str, report: Report) -> Iterator[msgspec.Struct]:
    """The well-formed entries of a table in all files; of others the names are kept, to report no error twice."""
    kind = ENTRIES[table][1]
    for file, tables in tables_by_file.items():
        raw_entries = tables.get(table, [])
        if not isinstance(raw_entries, list):
            report.unread = True
            report.add_at(Place(file, table), "", f"must be written [[{table}]], with two brackets")
            continue
        for number, raw in enumerate(raw_entries, 1):
            place = Place(file, table, _entry_name(raw, f"#{number}"))
            parts = _parts(raw, place, report) if kind is Journey else {}
            entry = decode(kind, raw, _note(report, place), parts)
            if entry is None:
                report.malformed(table, raw)
            else:
                report.places[id(entry)] = place
                yield entry


def _parts(raw: object, journey: Place, report: Report) -> dict[str, tuple[msgspec.Struct, ...]]:
    """Transitions and timeouts of a journey."""
    parts: dict[str, tuple[msgspec.Struct, ...]] = {}
    for table, kind in PARTS.items():
        raw_parts = raw.get(table, []) if isinstance(raw, dict) else []
        place = Place(journey.file, f"journey.{table}", journey.entry)
        if not isinstance(raw_parts, list):
            report.add_at(place, "", f"must be written [[journey.{table}]], with two brackets")
            raw_parts = []
        found = []
        for number, raw_part in enumerate(raw_parts, 1):
            part_place = place._replace(entry=f"{journey.entry} #{number}")
            part = decode(kind, raw_part, _note(report, part_place))
            if part is None:
                report.partial.add(journey.entry)
            else:
                report.places[id(part)] = part_place
                found.append(part)
        parts[table] = tuple(found)
    return parts


def _entry_name(raw: object, otherwise: str) -> str:
    name = raw.get("name") if isinstance(raw, dict) else None
    return name if isinstance(name, str) and name else otherwise


def _note(report: Report, place: Place) -> Callable[[str, str], None]:
    return lambda field, message: report.add_at(place, field, message)


def _ms(duration: str | None) -> int | None:
    return None if duration is None else parse_duration_ms(duration)


def _digest(content: msgspec.Struct, size: int) -> str:
    return blake2b(msgspec.json.encode(content), digest_size=size).hexdigest()
