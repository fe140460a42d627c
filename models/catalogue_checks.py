"""The checks of a catalogue. Each takes what was found right before it, and leaves out what it found wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from models import catalogue_names as names
from models.catalogue_errors import Report
from models.catalogue_journey_checks import (
    check_journeys,
    check_rules,
    check_transition_predicates,
)
from models.catalogue_policy_checks import check_policies
from models.catalogue_references import (
    check_column,
    check_duration,
    check_events,
    check_expression,
    check_list,
    check_name,
    check_predicate,
    check_text,
    describe,
)
from models.expressions import Expression, ExpressionError, Kind, Type, names_in
from models.windows import check_tile, check_window, default_tile_ms

if TYPE_CHECKING:
    from models.catalogue import Catalogue, EventType, Feature, Tag

LIMITS: Final[Mapping[str, tuple[str, int]]] = {
    "events": ("[[event]]", 1024),
    "features": ("[[feature]]", 4096),
    "tags": ("[[tag]]", 4096),
    "journeys": ("[[journey]]", 64),
    "rules": ("[[rule]]", 1024),
    "gates": ("[[gate]]", 64),
    "quiet_hours": ("[[quiet_hours]]", 16),
    "contact_limits": ("[[contact_limit]]", 64),
    "holdouts": ("[[holdout]]", 16),
}
MAX_PROPERTIES: Final = 1024  # of all events together
MAX_VALUES: Final = 1024  # of a string property
MAX_DISTINCT: Final = 48  # values that `distinct` can count
MACHINE_ZONES: Final = ("localtime", "posixrules")  # beside the zones, where a machine keeps its files of them
MACHINE_FOLDERS: Final = ("posix/", "right/")


def check(catalogue: Catalogue, report: Report) -> None:
    """Add to the report all that is wrong with a catalogue whose entries are well-formed."""
    _check_header(catalogue, report)
    _check_names(catalogue, report)
    with_events = _check_events(catalogue, report)
    check_journeys(with_events, report)
    with_features = _check_features(with_events, report)
    right = _check_tags(with_features, report)
    check_transition_predicates(right, report)
    check_rules(right, report)
    check_policies(right, report)


def _check_header(catalogue: Catalogue, report: Report) -> None:
    if report.header is None:
        return
    report.places[id(catalogue)] = report.header
    check_name(report, catalogue, "name", catalogue.name)
    if not _is_zone(catalogue.time_zone):
        report.add(catalogue, "time_zone", f"unknown time zone '{catalogue.time_zone}'")
    if catalogue.channels:
        check_list(report, catalogue, "channels", catalogue.channels)
    for channel in catalogue.channels:
        check_text(report, catalogue, "channels", channel)
    if not catalogue.events and not report.unread and not report.errors:
        report.add(catalogue, "", "declares no [[event]]")
    for attribute, (table, limit) in LIMITS.items():
        if (count := len(getattr(catalogue, attribute))) > limit:
            report.add(catalogue, "", f"{count} {table}, more than {limit}")
    if (count := len({name for event in catalogue.events for name in event.properties})) > MAX_PROPERTIES:
        report.add(catalogue, "", f"{count} properties, more than {MAX_PROPERTIES}")


def _is_zone(name: str) -> bool:
    """Whether a name means the same time zone on every machine, and to DuckDB as well."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder, a path, an unknown name
        return False
    return name not in MACHINE_ZONES and not name.startswith(MACHINE_FOLDERS)


# --- names -----------------------------------------------------------------------------------------------------------


def _check_names(catalogue: Catalogue, report: Report) -> None:
    """Names are well-formed, unique in their table, and all that expressions read are distinct."""
    owners: dict[str, str] = {}
    for event in catalogue.events:
        check_text(report, event, "name", event.name)
        for name in event.properties:
            if check_column(report, event, f"properties.{name}", name):
                owners.setdefault(name, f"a property of '{event.name}'")
    named: list[tuple[Any, str]] = [(feature, "a feature") for feature in catalogue.features]
    named += [(tag, "a tag") for tag in catalogue.tags]
    for entry, what in named:
        if check_column(report, entry, "name", entry.name):
            _claim(report, entry, entry.name, what, owners)
    for journey in catalogue.journeys:
        if check_name(report, journey, "name", journey.name):
            for column in (f"{journey.name}_stage", f"{journey.name}_time_in_stage_ms"):
                _claim(report, journey, column, f"a column of the journey '{journey.name}'", owners)
    for rule in catalogue.rules:
        check_name(report, rule, "name", rule.name)
    for attribute in LIMITS:
        _check_unique(getattr(catalogue, attribute), report)


def _claim(report: Report, entry: Any, column: str, what: str, owners: dict[str, str]) -> None:
    owner = owners.setdefault(column, what)
    if owner != what:
        report.add(entry, "name", f"'{column}' is {owner} already")


def _check_unique(entries: Iterable[Any], report: Report) -> None:
    first: dict[str, Any] = {}
    for entry in entries:
        if first.setdefault(entry.name, entry) is not entry:
            file = report.places[id(first[entry.name])].file
            report.add(entry, "name", f"'{entry.name}' is declared already, in {file}")


# --- events ----------------------------------------------------------------------------------------------------------


def _check_events(catalogue: Catalogue, report: Report) -> Catalogue:
    kinds: dict[str, tuple[str, str]] = {}  # the kind that a property has, and the event that said so first
    return replace(catalogue, events=tuple(_right_event(event, report, kinds) for event in catalogue.events))


def _right_event(event: EventType, report: Report, kinds: dict[str, tuple[str, str]]) -> EventType:
    """The event without its wrong properties."""
    right = {name: kind for name, kind in event.properties.items() if _is_property(event, name, kind, report, kinds)}
    if len(right) == len(event.properties):
        return event
    wrong = event.properties.keys() - right.keys()
    report.excuse("name", *wrong)
    report.excuse("property", *wrong)
    return replace(event, properties=right)


def _is_property(
    event: EventType, name: str, kind: str | tuple[str, ...], report: Report, kinds: dict[str, tuple[str, str]]
) -> bool:
    field, found = f"properties.{name}", len(report.errors)
    if isinstance(kind, str):
        if kind not in ("number", "boolean", "string"):
            report.add(event, field, f"'{kind}' is none of number, boolean, string and a list of values")
            return False
    else:
        check_list(report, event, field, kind)
        if len(kind) > MAX_VALUES:
            report.add(event, field, f"{len(kind)} values, more than {MAX_VALUES}")
        if any(len(value) > 255 for value in kind):
            report.add(event, field, "a value is longer than 255 characters")
    plain = kind if isinstance(kind, str) else "string"
    before, where = kinds.setdefault(name, (plain, event.name))
    if plain != before:
        report.add(event, field, f"is a {plain} here, but a {before} in event '{where}'")
    return len(report.errors) == found


# --- features --------------------------------------------------------------------------------------------------------


def _check_features(catalogue: Catalogue, report: Report) -> Catalogue:
    right = tuple(feature for feature in catalogue.features if _is_feature(catalogue, feature, report))
    report.excuse("name", *({feature.name for feature in catalogue.features} - {feature.name for feature in right}))
    return replace(catalogue, features=right)


def _is_feature(catalogue: Catalogue, feature: Feature, report: Report) -> bool:
    """Whether it is right, and reads nothing that is wrong."""
    found = len(report.errors)
    report.is_known(feature, "entity", "entity", feature.entity, names.entities(catalogue))
    check_list(report, feature, "on", feature.on)
    typed = check_events(catalogue, report, feature, "on", feature.on, feature.entity)
    columns = names.event_names(catalogue, feature.on if typed else [event.name for event in catalogue.events])
    check_predicate(catalogue, report, feature, "where", feature.where, columns)
    has_value = _check_value(catalogue, feature, report, columns)
    _check_window(feature, report)
    return typed and has_value and len(report.errors) == found


def _check_value(catalogue: Catalogue, feature: Feature, report: Report, columns: Mapping[str, Type]) -> bool:
    if feature.value is None:
        if feature.aggregate != "count":
            report.add(feature, "value", f"is missing; {feature.aggregate} needs one")
        return True
    value = check_expression(catalogue, report, feature, "value", feature.value, columns)
    if value is not None and (wrong := _misfit(feature.aggregate, value, feature.value.strip() in columns)):
        report.add(feature, "value", wrong)
    return value is not None


def _misfit(aggregate: str, value: Expression, bare: bool) -> str:
    """Why an aggregate cannot be over this value; "" if it can."""
    kind, values = value.type.kind, value.type.values
    found = f"this is {describe(value.type)}"
    if kind is Kind.NULL:
        return f"{aggregate} needs a value, but {found}"
    if aggregate in ("sum", "min", "max") and kind is not Kind.NUMBER:
        return f"{aggregate} needs a number, but {found}"
    if aggregate == "distinct" and kind is not Kind.STRING:
        return f"distinct needs a string property with declared values, but {found}"
    if aggregate == "distinct" and len(values) > MAX_DISTINCT:
        return f"distinct counts at most {MAX_DISTINCT} values, but this has {len(values)}"
    if aggregate in ("distinct", "first", "last") and kind is Kind.STRING and not (bare and values):
        return f"{aggregate} of a string needs a property with declared values, and nothing around it"
    return ""


def _check_window(feature: Feature, report: Report) -> None:
    if feature.window is None:
        if feature.tile is not None:
            report.add(feature, "tile", "needs a window")
        return
    window_ms = check_duration(report, feature, "window", feature.window)
    tile_ms = check_duration(report, feature, "tile", feature.tile)
    if window_ms is None or (feature.tile is not None and tile_ms is None):
        return
    try:
        check_window(window_ms)
        check_tile(window_ms, tile_ms or default_tile_ms(window_ms))
    except ValueError as error:
        report.add(feature, "window", str(error))


# --- tags ------------------------------------------------------------------------------------------------------------


def _check_tags(catalogue: Catalogue, report: Report) -> Catalogue:
    parsed = replace(catalogue, tags=tuple(tag for tag in catalogue.tags if _is_readable(tag, report)))
    acyclic = _without_cycles(parsed, report)
    known, features = names.tag_sources(acyclic), names.feature_entities(acyclic)
    entities: dict[str, str] = {}
    for tag in names.tag_order(acyclic):
        keyed = names.keyed_entities_read(tag, features, entities)
        if len(keyed) > 1:
            report.add(tag, "expression", f"mixes features of {' and '.join(keyed)}; a tag belongs to one")
        expression = check_expression(catalogue, report, tag, "expression", tag.expression, known)
        if expression is not None and expression.type.kind not in (Kind.NUMBER, Kind.BOOLEAN):
            report.add(tag, "expression", f"must be a number or a boolean, but is {describe(expression.type)}")
        elif expression is not None and len(keyed) < 2:
            known[tag.name] = expression.type
            entities[tag.name] = next(iter(keyed), names.CUSTOMER)
            continue
        report.excuse("name", tag.name)
    return replace(acyclic, tags=tuple(tag for tag in acyclic.tags if tag.name in entities))


def _is_readable(tag: Tag, report: Report) -> bool:
    try:
        names_in(tag.expression)
    except ExpressionError as error:
        report.add(tag, "expression", str(error))
        report.excuse("name", tag.name)
        return False
    return True


def _without_cycles(catalogue: Catalogue, report: Report) -> Catalogue:
    """The catalogue without the tags that read themselves; each cycle is reported at the first of its tags."""
    while True:
        try:
            names.tag_order(catalogue)
            return catalogue
        except CycleError as error:
            cycle = error.args[1][::-1]  # graphlib names what is read before its reader
            first = next(tag for tag in catalogue.tags if tag.name in cycle)
            at = cycle.index(first.name)
            path = [*cycle[at:-1], *cycle[:at], first.name]
            report.add(first, "expression", f"reads itself: {' → '.join(path)}")
            report.excuse("name", *cycle)
            catalogue = replace(catalogue, tags=tuple(tag for tag in catalogue.tags if tag.name not in cycle))
