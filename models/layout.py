"""The layout: what the catalogue compiles to. Which cell of a row is what, and the arrays of the engine's plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import catalogue_names
from models.catalogue import Catalogue, Journey, Rule
from models.cells import Cells, cells_of_layout
from models.compiler import Accumulator, Column, Predicates, accumulators, csr, ring_arrays
from models.events import EventLayout
from models.expressions import Type
from models.features import empty_tile, tile_cells
from models.plan import CHANGED, JOURNEY_CELLS, ROW_CELLS, Input, Plan
from models.policy_layout import PolicyLayout, RulePolicies
from models.zones import zone_offsets_ms

OTHER_TEXT = "(other)"  # stands for a string that the catalogue does not declare


@dataclass
class Entity:
    """A type of row: its name, the names it shows in a profile with their registers, and its cells."""

    number: int
    name: str
    features: list[str]
    tags: list[str]
    journeys: list[str]
    cells: int = ROW_CELLS

    @property
    def profile_names(self) -> list[str]:
        return [*self.features, *self.tags, *(f"{journey}_stage" for journey in self.journeys)]


@dataclass
class RuleLayout:
    """A rule, the names its predicate reads with their registers, and all that its candidates meet.

    acted_cell: remembers when it acted; goal_event: the number of an event type.
    """

    number: int
    rule: Rule
    entity: int
    entity_name: str
    journey: Journey | None
    reads: dict[str, tuple[int, Type]]
    acted_cell: int
    goal_event: int | None
    policies: RulePolicies


class Layout:
    """Everything about a catalogue that a shard needs. Raises ExpressionError or CatalogueErrors for a wrong one."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.event_layout = EventLayout.from_catalogue(catalogue)
        self.events = {name: number for number, name in enumerate(self.event_layout.event_types)}
        keyed = [name for name, _, _ in self.event_layout.keyed]
        self.entities = [self._entity(number, name) for number, name in enumerate([catalogue_names.CUSTOMER, *keyed])]
        self.entity_number = {entity.name: entity.number for entity in self.entities}
        self.journey_number = {journey.name: number for number, journey in enumerate(catalogue.journeys)}
        self.stage_base = np.cumsum([0, *(len(journey.stages) for journey in catalogue.journeys)])
        self._predicates = Predicates()
        self._arrays: dict[str, NDArray[Any]] = {}
        self._place_journeys()
        self._place_features()
        self.policies = PolicyLayout(catalogue, partial(self._reserve, 0))
        self.rules = [self._rule(number, rule) for number, rule in enumerate(catalogue.rules)]
        self._compile_journeys()
        self._compile_rules()
        self._compile_profiles()
        self._arrays |= self._predicates.arrays()
        zone_at, zone_offset = zone_offsets_ms(catalogue.time_zone)
        self.plan = Plan(**self._arrays, zone_at=zone_at, zone_offset=zone_offset)
        self.registers = self._predicates.registers
        self.rings = len(self.plan.ring_tiles)

    @classmethod
    def compile(cls, catalogue: Catalogue) -> Layout:
        return cls(catalogue)

    def _entity(self, number: int, name: str) -> Entity:
        return Entity(
            number,
            name,
            [feature.name for feature in self.catalogue.features if feature.entity == name],
            [
                tag.name
                for tag in self.catalogue.tags
                if catalogue_names.entity_of_tag(self.catalogue, tag.name) == name
            ],
            [journey.name for journey in self.catalogue.journeys if journey.entity == name],
        )

    def _reserve(self, entity: int, cells: int) -> int:
        first = self.entities[entity].cells
        self.entities[entity].cells += cells
        return first

    def _journey_entity(self, journey: Journey) -> int:
        return self.entity_number[journey.entity]

    # --- cells -----------------------------------------------------------------------------------------------------

    def _place_journeys(self) -> None:
        journeys = self.catalogue.journeys
        entities = [self._journey_entity(journey) for journey in journeys]
        self._arrays["journey_entity"] = np.array(entities, np.int32)
        cells = [self._reserve(entity, JOURNEY_CELLS) for entity in entities]
        self._arrays["journey_cell"] = np.array(cells, np.int32)
        self._arrays["journey_stage"] = self.stage_base[: len(journeys)].astype(np.int32)

    def _place_features(self) -> None:
        found, of_feature, tiles = accumulators(self.catalogue.features, self.entity_number, self.events)
        self.accumulators, wheres = found, [self._event_predicate(a.where, a.on) for a in found]
        for accumulator in found:
            accumulator.cell = self._reserve(accumulator.entity, accumulator.cells)
        values = [self._value(accumulator) for accumulator in found]
        columns = {
            "acc_aggregate": (np.int32, [int(a.aggregate) for a in found]),
            "acc_cell": (np.int32, [a.cell for a in found]),
            "acc_least_tiles": (np.int64, [min(a.windows, default=0) for a in found]),
            "acc_where": (np.int32, wheres),
            "acc_value": (np.int32, [expression for expression, _ in values]),
            "acc_column": (np.int32, [column for _, column in values]),
            "feature_acc": (np.int32, of_feature),
            "feature_tiles": (np.int64, tiles),
            "feature_entity": (np.int32, [self.entity_number[f.entity] for f in self.catalogue.features]),
        }
        self._arrays |= {name: np.array(values, dtype) for name, (dtype, values) in columns.items()}
        self._arrays |= ring_arrays(found)
        groups = [
            [number for number, a in enumerate(found) if a.entity == entity.number and event in a.on]
            for event in self.events
            for entity in self.entities
        ]
        self._arrays["event_acc_bounds"], self._arrays["event_acc"] = csr(groups)

    def _value(self, accumulator: Accumulator) -> tuple[int, int]:
        """(predicate, property column) of an accumulator's value; -1 where it is not the one."""
        if accumulator.value is None:
            return -1, -1
        column = self._property_number.get(accumulator.value.strip())
        if column is not None:
            return -1, column
        return self._event_predicate(accumulator.value, accumulator.on), -1

    # --- names -----------------------------------------------------------------------------------------------------

    @cached_property
    def _property_number(self) -> dict[str, int]:
        return {name: number for number, (name, *_) in enumerate(self.event_layout.properties)}

    def _columns(self, types: dict[str, Type], journey: str | None = None) -> dict[str, Column]:
        return {name: self._column(name, type_, journey) for name, type_ in types.items()}

    def _column(self, name: str, type_: Type, journey: str | None) -> Column:
        if name in self._tag_text:
            return Column(type_, expression=self._tag_text[name])
        return Column(type_, input=self._input(name, journey))

    def _input(self, name: str, journey: str | None) -> tuple[Input, int]:
        if name in self._feature_number:
            return Input.FEATURE, self._feature_number[name]
        if name in self._journey_columns:
            return self._journey_columns[name]
        if journey is not None and name in ("stage", "time_in_stage_ms"):
            return self._journey_columns[f"{journey}_{name}"]
        return Input.PROPERTY, self._property_number.get(name, -1)

    @cached_property
    def _tag_text(self) -> dict[str, str]:
        return {tag.name: tag.expression for tag in self.catalogue.tags}

    @cached_property
    def _feature_number(self) -> dict[str, int]:
        return {feature.name: number for number, feature in enumerate(self.catalogue.features)}

    @cached_property
    def _journey_columns(self) -> dict[str, tuple[Input, int]]:
        columns = {}
        for journey, number in self.journey_number.items():
            columns[f"{journey}_stage"] = (Input.STAGE, number)
            columns[f"{journey}_time_in_stage_ms"] = (Input.TIME_IN_STAGE, number)
        return columns

    def _event_predicate(self, text: str | None, on: Iterable[str]) -> int:
        if text is None:
            return -1
        types = catalogue_names.event_names(self.catalogue, tuple(on))
        return self._predicates.add(text, self._columns(types))[0]

    def _predicate(
        self, text: str | None, entity: str, journey: str | None, events: Iterable[str]
    ) -> tuple[int, dict[str, tuple[int, Type]]]:
        """A `when`: its number and the (register, type) of all that it reads."""
        if text is None:
            return -1, {}
        types = catalogue_names.predicate_names(self.catalogue, entity, journey, tuple(events))
        number, registers = self._predicates.add(text, self._columns(types, journey))
        return number, {name: (register, types[name]) for name, register in registers.items()}

    # --- journeys --------------------------------------------------------------------------------------------------

    def stage_number(self, dotted: str) -> int:
        """The global number of `journey.stage`."""
        journey, stage = dotted.split(".", 1)
        number = self.journey_number[journey]
        return int(self.stage_base[number]) + self.catalogue.journeys[number].stages.index(stage)

    def _compile_journeys(self) -> None:
        journeys = self.catalogue.journeys
        moves = [(journey, transition) for journey in journeys for transition in journey.transition]
        widest = max((len(journey.stages) for journey in journeys), default=1)
        self._arrays["move_from"] = np.zeros((len(moves), widest), np.bool_)
        for number, (journey, transition) in enumerate(moves):
            for stage in transition.from_:
                self._arrays["move_from"][number, journey.stages.index(stage)] = True
        to = [journey.stages.index(transition.to) for journey, transition in moves]
        whens = [
            self._predicate(transition.when, journey.entity, journey.name, transition.on)[0]
            for journey, transition in moves
        ]
        self._arrays["move_to"] = np.array(to, np.int32)
        self._arrays["move_when"] = np.array(whens, np.int32)
        groups = [
            [n for n, (owner, transition) in enumerate(moves) if owner is journey and event in transition.on]
            for event in self.events
            for journey in journeys
        ]
        self._arrays["event_move_bounds"], self._arrays["event_move"] = csr(groups)
        self._compile_timers()

    def _compile_timers(self) -> None:
        stages = int(self.stage_base[-1])
        restart = np.zeros((stages, len(self.events)), np.bool_)
        stage_to = np.full(stages, -1, np.int32)
        timers: list[list[tuple[int, int]]] = [[] for _ in range(stages)]  # (after_ms, rule), timeouts last
        for number, layout in enumerate(self.rules):
            listens = layout.rule.listens
            if listens.timeout is not None and listens.after_ms is not None:
                timers[self.stage_number(listens.timeout)].append((listens.after_ms, number))
        for journey in self.catalogue.journeys:
            for timeout in journey.timeout:
                stage = self.stage_number(f"{journey.name}.{timeout.in_}")
                stage_to[stage] = journey.stages.index(timeout.to)
                timers[stage].append((timeout.after_ms, -1))
                restart[stage, [self.events[event] for event in timeout.restarted_by]] = True
        ordered = [sorted(stage, key=lambda timer: timer[0]) for stage in timers]  # stable: rules before the timeout
        self._arrays["stage_restart"], self._arrays["stage_to"] = restart, stage_to
        self._arrays["timer_bounds"], self._arrays["timer_rule"] = csr(
            [[rule for _, rule in stage] for stage in ordered]
        )
        after = [after for stage in ordered for after, _ in stage]
        self._arrays["timer_after_ms"] = np.array(after, np.int64)

    # --- rules -----------------------------------------------------------------------------------------------------

    def _rule(self, number: int, rule: Rule) -> RuleLayout:
        catalogue = self.catalogue
        entity = self.entity_number[catalogue_names.entity_of_rule(catalogue, rule)]
        name = catalogue_names.journey_of_rule(catalogue, rule)
        return RuleLayout(
            number=number,
            rule=rule,
            entity=entity,
            entity_name=self.entities[entity].name,
            journey=catalogue.journeys[self.journey_number[name]] if name else None,
            reads={},
            acted_cell=self._reserve(entity, 1),
            goal_event=self.events[rule.goal.event] if rule.goal else None,
            policies=self.policies.of(rule),
        )

    def _compile_rules(self) -> None:
        whens = []
        for layout in self.rules:
            rule = layout.rule
            journey = layout.journey.name if layout.journey else None
            entity, events = self.entities[layout.entity].name, rule.listens.event or ()
            number, layout.reads = self._predicate(rule.when, entity, journey, events)
            whens.append(number)
        types = catalogue_names.gate_names(self.catalogue)
        gates = {gate.name: self._predicates.add(gate.when, self._columns(types))[0] for gate in self.catalogue.gates}
        factors = csr([self._factors(layout.rule) for layout in self.rules])
        self._arrays["rule_factor_bounds"], self._arrays["rule_factors"] = factors
        self._arrays["rule_when"] = np.array(whens, np.int32)
        self._arrays["rule_entity"] = np.array([layout.entity for layout in self.rules], np.int32)
        journeys = [self.journey_number[r.journey.name] if r.journey else -1 for r in self.rules]
        self._arrays["rule_journey"] = np.array(journeys, np.int32)
        self._arrays["rule_gate_bounds"], self._arrays["rule_gates"] = csr(
            [[gates[gate] for gate in layout.policies.gates] for layout in self.rules]
        )
        self._compile_listeners()

    def _factors(self, rule: Rule) -> list[int]:
        columns = self._columns(catalogue_names.score_names(self.catalogue, rule))
        return [self._predicates.add(text, columns)[0] for text in rule.factors.values()]

    def _compile_listeners(self) -> None:
        stages = int(self.stage_base[-1])
        entered: list[list[int]] = [[] for _ in range(stages)]
        timeout: list[list[int]] = [[] for _ in range(stages)]
        by_event: list[list[int]] = [[] for _ in self.events]
        for number, layout in enumerate(self.rules):
            listens = layout.rule.listens
            if listens.entered is not None:
                entered[self.stage_number(listens.entered)].append(number)
            elif listens.timeout is not None and listens.after_ms is None:
                timeout[self.stage_number(listens.timeout)].append(number)
            for event in listens.event or ():
                by_event[self.events[event]].append(number)
        for number, journey in enumerate(self.catalogue.journeys):
            for stage in range(self.stage_base[number], self.stage_base[number] + len(journey.stages)):
                to = self._arrays["stage_to"][stage]
                if to >= 0:
                    timeout[stage] = sorted(timeout[stage] + entered[self.stage_base[number] + to])
        self._arrays["entered_bounds"], self._arrays["entered_rules"] = csr(entered)
        self._arrays["timeout_bounds"], self._arrays["timeout_rules"] = csr(timeout)
        self._arrays["event_rule_bounds"], self._arrays["event_rules"] = csr(by_event)

    def _compile_profiles(self) -> None:
        numbers, shown = [], []
        for entity in self.entities:
            types = catalogue_names.predicate_names(self.catalogue, entity.name, None, ())
            number, registers = self._predicates.add_profile(entity.profile_names, self._columns(types))
            shown.append([registers[name] for name in entity.profile_names])
            numbers.append(number)
        self._arrays["profile_predicate"] = np.array(numbers, np.int32)
        self._arrays["profile_bounds"], self._arrays["profile_registers"] = csr(shown)

    @property
    def profile_values(self) -> int:
        """The most values that a profile has."""
        return max(len(entity.profile_names) for entity in self.entities)

    @property
    def amount_column(self) -> int | None:
        """The column of the property `amount`, which metrics add up."""
        return self._property_number.get("amount")

    @cached_property
    def profile_types(self) -> dict[str, Type]:
        """The type of each feature, tag and stage."""
        types: dict[str, Type] = {}
        for entity in self.entities:
            types |= catalogue_names.predicate_names(self.catalogue, entity.name, None, ())
        return types

    def declared_values(self, name: str | None) -> tuple[str, ...]:
        """The values that the numbers of a string property stand for; none of anything else."""
        number = self._property_number.get((name or "").strip())
        return () if number is None else self.event_layout.properties[number].values

    @cached_property
    def cell_map(self) -> Cells:
        """What each cell of a row means."""
        return cells_of_layout(self)

    # --- rows ------------------------------------------------------------------------------------------------------

    def cells(self, keyed: bool) -> int:
        """Cells of a row of the customers' or of the instances' matrix."""
        entities = self.entities[1:] if keyed else self.entities[:1]
        return max((entity.cells for entity in entities), default=ROW_CELLS)

    def template(self, entity: int) -> NDArray[np.float64]:
        """A row that has seen no event, as wide as its matrix."""
        row = np.full(self.cells(entity > 0), np.nan)
        row[CHANGED] = 0.0
        for accumulator in self.accumulators:
            if accumulator.entity == entity:
                first = accumulator.cell + (1 if accumulator.tiles else 0)
                last = first + tile_cells(accumulator.aggregate, accumulator.tiles)
                row[first:last] = empty_tile(int(accumulator.aggregate))
        return row
