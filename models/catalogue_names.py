"""Names and their types: what an expression of the catalogue may read, decided in one place.

All functions take a checked catalogue, or the part of one that was found right so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Final

from models.expressions import BOOLEAN, NUMBER, Type, names_in, parse, string_of

if TYPE_CHECKING:
    from models.catalogue import Catalogue, Feature, Journey, Rule, Tag

CUSTOMER: Final = "customer"
ENVELOPE: Final = ("channel", "event_time", "event_hour", "event_weekday")
PLAIN: Final = {"number": NUMBER, "boolean": BOOLEAN}
LAKE_COLUMNS: Final = ("as_of", "customer_id", "day", "entity", "entity_id", "offset", "partition")
RESERVED: Final = frozenset({*ENVELOPE, *LAKE_COLUMNS, "event", "stage", "time_in_stage_ms"})


def property_types(catalogue: Catalogue) -> dict[str, Type]:
    """The type of every property; a string's values are the union over the events that declare it."""
    types: dict[str, Type] = {}
    for event in catalogue.events:
        for name, kind in event.properties.items():
            if isinstance(kind, str) and kind in PLAIN:
                types[name] = PLAIN[kind]
            else:
                known = types[name].values if name in types else ()
                values = kind if isinstance(kind, tuple) else ()
                types[name] = string_of(tuple(dict.fromkeys((*known, *values))))
    return types


def event_names(catalogue: Catalogue, event_types: Iterable[str]) -> dict[str, Type]:
    """The envelope columns, and the properties that at least one of these event types declares."""
    names = {
        "channel": string_of(catalogue.channels),
        "event_time": NUMBER,
        "event_hour": NUMBER,
        "event_weekday": NUMBER,
    }
    wanted = frozenset(event_types)
    for event in catalogue.events:
        if event.name in wanted:
            names |= {name: catalogue.property_types[name] for name in event.properties}
    return names


def feature_type(catalogue: Catalogue, feature: Feature) -> Type:
    """NUMBER, but first and last have the type of their value; a string stands in the matrix as its number."""
    if feature.aggregate in ("first", "last") and feature.value is not None:
        return parse(feature.value, event_names(catalogue, feature.on)).type
    return NUMBER


def tag_sources(catalogue: Catalogue) -> dict[str, Type]:
    """What a tag may read beside other tags: features of all entities, and customer journeys' stages."""
    return {**catalogue.feature_types, **stage_names(catalogue, [CUSTOMER])}


def tag_types(catalogue: Catalogue) -> dict[str, Type]:
    sources = tag_sources(catalogue)
    types: dict[str, Type] = {}
    for tag in tag_order(catalogue):
        types[tag.name] = parse(tag.expression, {**sources, **types}).type
    return types


def tag_order(catalogue: Catalogue) -> list[Tag]:
    """Tags such that each comes after those it reads; graphlib.CycleError if that cannot be."""
    tags = {tag.name: tag for tag in catalogue.tags}
    reads = {tag.name: [name for name in sorted(names_in(tag.expression)) if name in tags] for tag in catalogue.tags}
    return [tags[name] for name in TopologicalSorter(reads).static_order()]


def keyed_entities_read(tag: Tag, features: Mapping[str, str], tags: Mapping[str, str]) -> list[str]:
    """The keyed entities whose features a tag reads, given the entities of features and of other tags."""
    owners = {**features, **tags}
    return sorted({owners[name] for name in names_in(tag.expression) if name in owners} - {CUSTOMER})


def feature_entities(catalogue: Catalogue) -> dict[str, str]:
    return {feature.name: feature.entity for feature in catalogue.features}


def tag_entities(catalogue: Catalogue) -> dict[str, str]:
    """The entity of every tag, by name."""
    features = feature_entities(catalogue)
    entities: dict[str, str] = {}
    for tag in tag_order(catalogue):
        entities[tag.name] = next(iter(keyed_entities_read(tag, features, entities)), CUSTOMER)
    return entities


def entity_of_tag(catalogue: Catalogue, tag: str) -> str:
    """The keyed entity whose features the tag of this name reads, through other tags, too; else customer."""
    return catalogue.tag_entities[tag]


def stage_names(catalogue: Catalogue, entities: Iterable[str]) -> dict[str, Type]:
    """`<journey>_stage` of the journeys of these entities."""
    wanted = frozenset(entities)
    return {f"{j.name}_stage": string_of(j.stages) for j in catalogue.journeys if j.entity in wanted}


def state_names(catalogue: Catalogue, entities: Iterable[str]) -> dict[str, Type]:
    """Features, tags and stages of these entities."""
    wanted = frozenset(entities)
    features = {f.name: catalogue.feature_types[f.name] for f in catalogue.features if f.entity in wanted}
    tags = {name: kind for name, kind in catalogue.tag_types.items() if catalogue.tag_entities[name] in wanted}
    return {**features, **tags, **stage_names(catalogue, wanted)}


def predicate_names(
    catalogue: Catalogue, entity: str, journey: str | None, event_types: Iterable[str]
) -> dict[str, Type]:
    """What a `when` may read: of a rule or transition of `entity`, on these events, in `journey` if in one."""
    entities = (CUSTOMER, entity)
    names = {**event_names(catalogue, event_types), **state_names(catalogue, entities)}
    for one in catalogue.journeys:
        if one.entity in entities:
            names[f"{one.name}_time_in_stage_ms"] = NUMBER
        if one.name == journey:
            names |= {"stage": string_of(one.stages), "time_in_stage_ms": NUMBER}
    return names


def gate_names(catalogue: Catalogue) -> dict[str, Type]:
    """What a gate may read: the customer's features, tags and stages."""
    return state_names(catalogue, [CUSTOMER])


def score_names(catalogue: Catalogue, rule: Rule) -> dict[str, Type]:
    """What the factors of a rule's score may read: features, tags and stages of the customer and of its own entity."""
    return state_names(catalogue, [CUSTOMER, entity_of_rule(catalogue, rule)])


def names_of_rule(catalogue: Catalogue, rule: Rule) -> dict[str, Type]:
    """What the `when` of this rule may read."""
    entity, journey = entity_of_rule(catalogue, rule), journey_of_rule(catalogue, rule)
    return predicate_names(catalogue, entity, journey, rule.listens.event or ())


def journey_of_rule(catalogue: Catalogue, rule: Rule) -> str | None:
    """The journey whose `stage` the rule reads; None for event rules of the customer."""
    listened = rule.listens.entered or rule.listens.timeout
    if listened is not None:
        return listened.partition(".")[0]
    if rule.entity in (None, CUSTOMER):
        return None
    return next(journey.name for journey in catalogue.journeys if journey.entity == rule.entity)


def entity_of_rule(catalogue: Catalogue, rule: Rule) -> str:
    name = journey_of_rule(catalogue, rule)
    return next((journey.entity for journey in catalogue.journeys if journey.name == name), CUSTOMER)


def entities(catalogue: Catalogue) -> tuple[str, ...]:
    """The customer, then keyed entities in the order in which journeys name them first."""
    return tuple(dict.fromkeys((CUSTOMER, *(journey.entity for journey in catalogue.journeys))))


def key_of(catalogue: Catalogue, entity: str) -> str | None:
    """The property that names an instance of the entity; None for the customer."""
    return next((journey.key for journey in catalogue.journeys if journey.entity == entity), None)


def concerned_events(catalogue: Catalogue, entity: str) -> frozenset[str]:
    """The event types that find or make a row of this entity: all for the customer."""
    if entity == CUSTOMER:
        return frozenset(event.name for event in catalogue.events)
    named = [feature.on for feature in catalogue.features if feature.entity == entity]
    named += [events for journey in catalogue.journeys if journey.entity == entity for events in _moved_by(journey)]
    named += [rule.listens.event or () for rule in catalogue.rules if rule.entity == entity]
    key = key_of(catalogue, entity)
    carriers = {event.name for event in catalogue.events if key in event.properties}
    return frozenset(event for events in named for event in events if event in carriers)


def _moved_by(journey: Journey) -> list[tuple[str, ...]]:
    return [*(one.on for one in journey.transition), *(one.restarted_by for one in journey.timeout)]
