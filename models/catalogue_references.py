"""Checks that all tables of the catalogue share: names, lists of events, durations and expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from graphlib import CycleError
from typing import TYPE_CHECKING, Final

from models.catalogue_errors import Report, did_you_mean
from models.catalogue_names import RESERVED, entity_of_tag, key_of
from models.expressions import NUMBER, Expression, ExpressionError, Kind, Type, names_in, parse
from models.windows import parse_duration_ms

if TYPE_CHECKING:
    from models.catalogue import Catalogue

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
NAME_RULE: Final = "a name is a small letter, then up to 62 of a-z, 0-9 and _"
MAX_TEXT: Final = 255
PLACES_OF_NAMES: Final = "CASE WHEN 1 BETWEEN {0} AND {0} THEN {0} + 1 ELSE ABS({0}) * ({0}) END"
NAMES_KEPT: Final = 1024  # a property has the same name in many events
KIND_WORDS: Final = {
    Kind.NUMBER: "a number",
    Kind.BOOLEAN: "a boolean",
    Kind.STRING: "a string",
    Kind.NULL: "always NULL",
}


RESERVED_WHERE: Final[Mapping[str, str]] = {
    "stage": "of a journey, and none is in question",
    "time_in_stage_ms": "of a journey, and none is in question",
    "event": "a word kept for later",
}


def check_name(report: Report, entry: object, field: str, name: str) -> bool:
    if not NAME.fullmatch(name):
        report.add(entry, field, f"'{name}' is no name; {NAME_RULE}")
        return False
    return True


def check_column(report: Report, entry: object, field: str, name: str) -> bool:
    """A name that expressions are to read."""
    if not check_name(report, entry, field, name):
        return False
    if name in RESERVED:
        report.add(entry, field, f"'{name}' is reserved")
        return False
    if not _is_readable(name):
        report.add(entry, field, f"'{name}' is a word of SQL, so that no expression can read it")
        return False
    return True


@lru_cache(NAMES_KEPT)
def _is_readable(name: str) -> bool:
    """Whether it is a column in all of those places: INTERVAL + 1 is none, though INTERVAL alone is."""
    try:
        return set(parse(PLACES_OF_NAMES.format(name), {name: NUMBER}).names) == {name}
    except ExpressionError:
        return False


def check_text(report: Report, entry: object, field: str, text: str) -> bool:
    """Any text that names something: event types, stages, values, channels, actions."""
    if 0 < len(text) <= MAX_TEXT:
        return True
    report.add(entry, field, f"'{text[:20]}…' is longer than {MAX_TEXT} characters" if text else "must not be empty")
    return False


def check_list(report: Report, entry: object, field: str, items: Sequence[str]) -> bool:
    """A list that must name something, and nothing twice."""
    if not items:
        report.add(entry, field, "must not be empty")
    for item in _repeated(items):
        report.add(entry, field, f"'{item}' stands there twice")
    return bool(items)


def _repeated(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(item for number, item in enumerate(items) if item in items[:number]))


def check_events(
    catalogue: Catalogue, report: Report, entry: object, field: str, events: Sequence[str], entity: str
) -> bool:
    """Event types that exist and, for a keyed entity, carry its key. False if expressions on them cannot be typed."""
    declared = {event.name: event for event in reversed(catalogue.events)}  # the first of a name counts
    key = key_of(catalogue, entity)
    known = [report.is_known(entry, field, "event", event, declared) for event in events]
    for event in events:
        if key is None or event not in declared or report.excuses("property", key):
            continue
        if key not in declared[event].properties:
            report.add(entry, field, f"event '{event}' does not carry '{key}', the key of {entity}")
    return all(known)


def check_duration(report: Report, entry: object, field: str, text: str | None) -> int | None:
    """Milliseconds; None if it is absent or wrong."""
    if text is None:
        return None
    try:
        return parse_duration_ms(text)
    except ValueError as error:
        report.add(entry, field, str(error))
        return None


def check_predicate(
    catalogue: Catalogue, report: Report, entry: object, field: str, text: str | None, names: Mapping[str, Type]
) -> None:
    if text is not None:
        expression = check_expression(catalogue, report, entry, field, text, names)
        _check_kind(report, entry, field, expression, Kind.BOOLEAN, "true or false")


def check_number(
    catalogue: Catalogue, report: Report, entry: object, field: str, text: str, names: Mapping[str, Type]
) -> None:
    expression = check_expression(catalogue, report, entry, field, text, names)
    _check_kind(report, entry, field, expression, Kind.NUMBER, "a number")


def _check_kind(
    report: Report, entry: object, field: str, expression: Expression | None, kind: Kind, words: str
) -> None:
    if expression is not None and expression.type.kind is not kind:
        report.add(entry, field, f"must be {words}, but is {describe(expression.type)}")


def check_expression(
    catalogue: Catalogue, report: Report, entry: object, field: str, text: str, names: Mapping[str, Type]
) -> Expression | None:
    """The expression; None if it is wrong, or reads what is wrong itself."""
    try:
        unknown = sorted(set(names_in(text)) - set(names))
        if not unknown:
            return parse(text, names)
    except ExpressionError as error:
        report.add(entry, field, str(error))
        return None
    for name in unknown:
        if not report.excuses("name", name):
            report.add(entry, field, _why_unknown(catalogue, name, names))
    return None


def describe(kind: Type) -> str:
    return KIND_WORDS[kind.kind]


def _why_unknown(catalogue: Catalogue, name: str, names: Mapping[str, Type]) -> str:
    where = "; ".join(_declarations(catalogue, name))
    if where:
        return f"'{name}' cannot be read here: it is {where}"
    return f"unknown name '{name}'{did_you_mean(name, names)}"


def _declarations(catalogue: Catalogue, name: str) -> Iterator[str]:
    carriers = [f"'{event.name}'" for event in catalogue.events if name in event.properties]
    if carriers:
        yield f"a property of {', '.join(carriers)}"
    yield from (f"a feature of {feature.entity}" for feature in catalogue.features if feature.name == name)
    yield from (_tag_of(catalogue, name) for tag in catalogue.tags if tag.name == name)
    for journey in catalogue.journeys:
        if name in (f"{journey.name}_stage", f"{journey.name}_time_in_stage_ms"):
            yield f"of the journey '{journey.name}' of {journey.entity}"
    if name in RESERVED:
        yield RESERVED_WHERE.get(name, "a column of events")


def _tag_of(catalogue: Catalogue, name: str) -> str:
    try:
        return f"a tag of {entity_of_tag(catalogue, name)}"
    except (CycleError, ExpressionError):  # tags are not checked yet
        return "a tag"
