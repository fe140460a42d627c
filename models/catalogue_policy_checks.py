"""The checks of what holds actions back: gates, quiet hours, contact limits and holdouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models import catalogue_names as names
from models.catalogue_errors import Report
from models.catalogue_references import check_duration, check_list, check_name, check_predicate
from models.policies import BUILT_IN_GATES, time_of_day_ms

if TYPE_CHECKING:
    from models.catalogue import Catalogue
    from models.policies import ContactLimit, Holdout, Policy, QuietHours

MAX_CONTACTS: Final = 64  # that a limit may allow: each is a cell of every customer's row


def check_policies(catalogue: Catalogue, report: Report) -> None:
    """All policies; a decision names the one that stopped it, so that no two have one name."""
    first: dict[str, Policy] = {}
    for entry in catalogue.policies:
        _check_policy(catalogue, entry, report)
        other = first.setdefault(entry.name, entry)
        if type(other) is not type(entry):
            table = report.places[id(other)].table
            report.add(entry, "name", f"'{entry.name}' is the name of a {table} already")
    for gate in catalogue.gates:
        check_predicate(catalogue, report, gate, "when", gate.when, names.gate_names(catalogue))
    for quiet in catalogue.quiet_hours:
        _check_quiet_hours(quiet, report)
    for limit in catalogue.contact_limits:
        _check_limit(limit, report)
    for holdout in catalogue.holdouts:
        _check_holdout(holdout, report)


def _check_policy(catalogue: Catalogue, policy: Policy, report: Report) -> None:
    check_name(report, policy, "name", policy.name)
    if policy.name in BUILT_IN_GATES:
        report.add(policy, "name", f"'{policy.name}' is the name of a gate that Zhice has itself")
    rules = catalogue.rules
    known = {
        "kinds": (policy.kinds, None),
        "channels": (policy.channels, {rule.channel for rule in rules}),
        "groups": (policy.groups, {rule.group for rule in rules if rule.group is not None}),
        "rules": (policy.rules, {rule.name for rule in rules}),
    }
    for field, (wanted, declared) in known.items():
        if wanted is None:
            continue
        check_list(report, policy, field, wanted)
        for name in wanted if declared is not None else ():
            report.is_known(policy, field, field.removesuffix("s"), name, declared or ())


def _check_quiet_hours(quiet: QuietHours, report: Report) -> None:
    for field, text in (("from", quiet.from_), ("until", quiet.until)):
        try:
            time_of_day_ms(text)
        except ValueError as error:
            report.add(quiet, field, str(error))
    if quiet.from_ == quiet.until:
        report.add(quiet, "until", "is the same as from; quiet hours need a beginning and an end")


def _check_limit(limit: ContactLimit, report: Report) -> None:
    if not 1 <= limit.most <= MAX_CONTACTS:
        report.add(limit, "most", f"{limit.most} is not in 1 to {MAX_CONTACTS}")
    check_duration(report, limit, "within", limit.within)


def _check_holdout(holdout: Holdout, report: Report) -> None:
    if not 0 <= holdout.share < 1:
        report.add(holdout, "share", f"{holdout.share} is not in 0 to below 1; 0.1 holds out a tenth of the customers")
