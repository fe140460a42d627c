"""The checks of journeys, and of the rules that act on where customers stand in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models import catalogue_names as names
from models.catalogue_errors import Report
from models.catalogue_references import (
    check_duration,
    check_events,
    check_list,
    check_name,
    check_number,
    check_predicate,
    check_text,
)

if TYPE_CHECKING:
    from models.catalogue import Catalogue, Journey, JourneyTransition, Rule, Timeout

MAX_STAGES: Final = 64
MAX_TRANSITIONS: Final = 1024  # of a journey


# --- journeys --------------------------------------------------------------------------------------------------------


def check_journeys(catalogue: Catalogue, report: Report) -> None:
    """All but the predicates of transitions."""
    keys: dict[str, tuple[str, str]] = {}  # of entities, and the journey that said so first
    for journey in catalogue.journeys:
        _check_entity(catalogue, journey, report, keys)
        _check_stages(journey, report)
        for transition in journey.transition:
            _check_transition(catalogue, journey, transition, report)
        for number, timeout in enumerate(journey.timeout):
            _check_timeout(catalogue, journey, timeout, report)
            if timeout.in_ in (other.in_ for other in journey.timeout[:number]):
                report.add(timeout, "in", f"stage '{timeout.in_}' has a timeout already")
        if journey.name not in report.partial:
            for stage in _unreachable(journey):
                report.add(journey, "stages", f"'{stage}' cannot be reached from '{journey.stages[0]}'")


def _check_entity(catalogue: Catalogue, journey: Journey, report: Report, keys: dict[str, tuple[str, str]]) -> None:
    if journey.entity == names.CUSTOMER:
        if journey.key is not None:
            report.add(journey, "key", "journeys of customer have none")
        return
    check_name(report, journey, "entity", journey.entity)
    if journey.key is None:
        report.add(journey, "key", f"is missing; {journey.entity} needs the property that names it")
        return
    key, first = keys.setdefault(journey.entity, (journey.key, journey.name))
    if key != journey.key:
        report.add(journey, "key", f"is '{journey.key}' here, but '{key}' in journey '{first}' of {journey.entity}")
    if not report.is_known(journey, "key", "property", journey.key, catalogue.property_types):
        return
    for event in catalogue.events:
        kind = event.properties.get(journey.key, "string")
        if kind in ("number", "boolean"):
            report.add(journey, "key", f"'{key}' must be a string, but is a {kind} in event '{event.name}'")


def _check_stages(journey: Journey, report: Report) -> None:
    check_list(report, journey, "stages", journey.stages)
    for stage in journey.stages:
        check_text(report, journey, "stages", stage)
    if len(journey.stages) > MAX_STAGES:
        report.add(journey, "stages", f"{len(journey.stages)} stages, more than {MAX_STAGES}")
    if len(journey.transition) > MAX_TRANSITIONS:
        report.add(journey, "", f"{len(journey.transition)} transitions, more than {MAX_TRANSITIONS}")


def _check_transition(catalogue: Catalogue, journey: Journey, transition: JourneyTransition, report: Report) -> None:
    check_list(report, transition, "from", transition.from_)
    for stage in transition.from_:
        report.is_known(transition, "from", "stage", stage, journey.stages)
    report.is_known(transition, "to", "stage", transition.to, journey.stages)
    check_list(report, transition, "on", transition.on)
    check_events(catalogue, report, transition, "on", transition.on, journey.entity)


def _check_timeout(catalogue: Catalogue, journey: Journey, timeout: Timeout, report: Report) -> None:
    report.is_known(timeout, "in", "stage", timeout.in_, journey.stages)
    report.is_known(timeout, "to", "stage", timeout.to, journey.stages)
    check_duration(report, timeout, "after", timeout.after)
    if timeout.restarted_by:
        check_list(report, timeout, "restarted_by", timeout.restarted_by)
    check_events(catalogue, report, timeout, "restarted_by", timeout.restarted_by, journey.entity)


def _unreachable(journey: Journey) -> list[str]:
    """Stages that no way of transitions and timeouts leads to from the first."""
    reached, last = set(journey.stages[:1]), set[str]()
    while reached != last:
        last = set(reached)
        reached |= {one.to for one in journey.transition if not reached.isdisjoint(one.from_)}
        reached |= {one.to for one in journey.timeout if one.in_ in reached}
    return [stage for stage in dict.fromkeys(journey.stages) if stage not in reached]


def check_transition_predicates(catalogue: Catalogue, report: Report) -> None:
    declared = [event.name for event in catalogue.events]
    for journey in catalogue.journeys:
        for transition in journey.transition:
            events = transition.on if set(transition.on) <= set(declared) else declared
            readable = names.predicate_names(catalogue, journey.entity, journey.name, events)
            check_predicate(catalogue, report, transition, "when", transition.when, readable)


# --- rules -----------------------------------------------------------------------------------------------------------


def check_rules(catalogue: Catalogue, report: Report) -> None:
    for rule in catalogue.rules:
        if _check_listens(catalogue, rule, report):
            readable = names.names_of_rule(catalogue, rule)
            check_predicate(catalogue, report, rule, "when", rule.when, readable)
        check_text(report, rule, "action", rule.action)
        check_text(report, rule, "channel", rule.channel)
        check_duration(report, rule, "cooldown", rule.cooldown)
        check_duration(report, rule, "expires", rule.expires)
        if rule.group is not None:
            check_text(report, rule, "group", rule.group)
        for field, factor in rule.factors.items():
            check_number(catalogue, report, rule, field, factor, names.score_names(catalogue, rule))
        if rule.goal is not None:
            events = {event.name for event in catalogue.events}
            report.is_known(rule, "goal.event", "event", rule.goal.event, events)
            check_duration(report, rule, "goal.within", rule.goal.within)


def _check_listens(catalogue: Catalogue, rule: Rule, report: Report) -> bool:
    """Whether it is right enough to say what the rule may read."""
    listens = rule.listens
    ways = [way for way in ("event", "entered", "timeout") if getattr(listens, way) is not None]
    if len(ways) != 1:
        report.add(rule, "listens", f"needs exactly one of event, entered and timeout, but has {len(ways)}")
        return False
    if listens.after is not None and listens.timeout is None:
        report.add(rule, "listens.after", "goes with timeout only")
    if listens.event is not None:
        return _check_event_rule(catalogue, rule, listens.event, report)
    if rule.entity is not None:
        report.add(rule, "entity", "only rules that listen to events have one; here it is the journey's")
    return _check_stage_rule(catalogue, rule, ways[0], report)


def _check_event_rule(catalogue: Catalogue, rule: Rule, events: tuple[str, ...], report: Report) -> bool:
    entity = rule.entity or names.CUSTOMER
    is_entity = report.is_known(rule, "entity", "entity", entity, names.entities(catalogue))
    check_list(report, rule, "listens.event", events)
    return check_events(catalogue, report, rule, "listens.event", events, entity) and is_entity


def _check_stage_rule(catalogue: Catalogue, rule: Rule, way: str, report: Report) -> bool:
    field = f"listens.{way}"
    name, dot, stage = (rule.listens.entered or rule.listens.timeout or "").partition(".")
    if not dot:
        report.add(rule, field, f"'{name}' is no stage; write 'journey.stage'")
        return False
    journeys = {journey.name: journey for journey in catalogue.journeys}
    if not report.is_known(rule, field, "journey", name, journeys):
        return False
    if report.is_known(rule, field, "stage", stage, journeys[name].stages) and way == "timeout":
        _check_timer(journeys[name], stage, rule, report)
    return True


def _check_timer(journey: Journey, stage: str, rule: Rule, report: Report) -> None:
    """A timer without `after` needs the stage's timeout; one with it must be due before that, or with it."""
    timeout = next((timeout for timeout in journey.timeout if timeout.in_ == stage), None)
    if rule.listens.after is None:
        if timeout is None and journey.name not in report.partial:
            report.add(rule, "listens.timeout", f"stage '{stage}' has no timeout; add one, or an after here")
        return
    after_ms = check_duration(report, rule, "listens.after", rule.listens.after)
    if after_ms is None or timeout is None:
        return
    try:
        is_due = after_ms <= timeout.after_ms
    except ValueError:
        return  # the timeout's own duration is wrong, and reported there
    if not is_due:
        message = f"'{rule.listens.after}' is never due: the stage's timeout is after '{timeout.after}'"
        report.add(rule, "listens.after", message)
