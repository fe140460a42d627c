"""What holds actions back, as candidates meet it: for each rule the policies that are for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from models.catalogue import Catalogue, Rule
from models.contacts import Contacts, Limit, Ring
from models.policies import Holdout
from models.quiet import Quiet


@dataclass
class RulePolicies:
    """Of one rule, each in the order of the catalogue. rings: where its contacts are noted."""

    gates: list[str]
    quiet: list[Quiet]
    limits: list[Limit]
    rings: list[Ring]
    holdouts: list[Holdout]


class PolicyLayout:
    """Of a catalogue. `reserve` gives cells of the customer's row."""

    def __init__(self, catalogue: Catalogue, reserve: Callable[[int], int]) -> None:
        self.catalogue = catalogue
        self.quiet = [Quiet(hours, catalogue.time_zone) for hours in catalogue.quiet_hours]
        self.contacts = Contacts(catalogue, reserve)

    def of(self, rule: Rule) -> RulePolicies:
        catalogue = self.catalogue
        return RulePolicies(
            gates=[gate.name for gate in catalogue.gates if gate.is_for(rule)],
            quiet=[q for q, hours in zip(self.quiet, catalogue.quiet_hours, strict=True) if hours.is_for(rule)],
            limits=self.contacts.limits_of(rule.name),
            rings=self.contacts.rings_of(rule.name),
            holdouts=[holdout for holdout in catalogue.holdouts if holdout.is_for(rule)],
        )
