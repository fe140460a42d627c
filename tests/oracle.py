"""The oracle: docs/semantics.md in plain Python, one record at a time, slow and obvious.

Every event that a feature took is kept, and every feature is computed anew whenever it is read. With the
engine it shares the structs of the catalogue and of what comes out, no more. What the contract leaves open is
marked "Choice".
"""

from __future__ import annotations

import hashlib
from typing import Any

from models.catalogue import Catalogue, Feature, Journey, Rule
from models.published import Evidence, Transition
from tests.oracle_decisions import Candidate, Decisions
from tests.oracle_events import Event, decode, is_tick, time_of, to_float
from tests.oracle_expressions import Value, evaluate, holds, names_read
from tests.oracle_metrics import Metrics
from tests.oracle_state import CUSTOMER, Cause, Row, Standing, Taken, Timer
from tests.oracle_windows import MINUTE_MS, aggregate, duration_ms, next_hour, tiles_in_window


class Oracle:
    """The state of one partition and all that came out of it."""

    def __init__(self, catalogue: Catalogue, topic: str, partition: int) -> None:
        self.catalogue, self.topic, self.partition = catalogue, topic, partition
        self.clock: int | None = None
        self.offset = -1
        self.seq = 0
        self.customers: dict[str, Row] = {}
        self.instances: dict[tuple[str, str, str], Row] = {}
        self.timers: list[Timer] = []
        self.boundary: int | None = None  # the next hour at which the clock has something to record
        self.transitions: list[Transition] = []
        self._decisions = Decisions(catalogue)
        self.decisions = self._decisions.made
        self.snapshots: list[tuple[Any, ...]] = []
        self._metrics = Metrics(catalogue.channels)
        self.metrics = self._metrics.written
        self.status: dict[int, str] = {}
        self.late: dict[int, bool] = {}

    def apply(self, record: Any) -> None:
        """Take one record: first the clock and what is due, then the event."""
        self.offset, self.seq = record.offset, 0
        self._advance(time_of(record))
        self.late[record.offset] = False
        event = None if is_tick(record) else decode(record, self.catalogue)
        if event is None:
            self.status[record.offset] = "not_an_event"
        elif event.type not in [declared.name for declared in self.catalogue.events]:
            self.status[record.offset] = "unknown"
        else:
            self.status[record.offset] = self._take(event)
        assert self.clock is not None
        self._decisions.decide(self.clock, self.offset)

    def finish(self) -> None:
        """The last snapshot and metrics. Choice: their offset is the next one."""
        if self.clock is not None:
            self.offset += 1
            self._snapshot(self.clock)
            self._metrics.write(self.offset)

    def features(self, customer_id: str) -> dict[str, float | None]:
        """All features of a customer, as of now."""
        return self._features_of(self.customers[customer_id])

    # The clock and what is due

    def _advance(self, timestamp: int) -> None:
        before = self.clock
        self.clock = timestamp if before is None else max(before, timestamp)
        if self.boundary is None:
            self.boundary = next_hour(self.clock, self.catalogue.time_zone)
        if before is not None and before // MINUTE_MS != self.clock // MINUTE_MS:
            self._metrics.write(self.offset)
        for candidate in self._decisions.release(self.clock):
            self._weigh(candidate)
        while True:
            due = sorted((t for t in self.timers if t.deadline <= self.clock), key=Timer.turn)
            self._pass_boundaries(due[0].deadline if due else self.clock)
            if not due:
                return
            self._fire(due[0])

    def _pass_boundaries(self, up_to: int) -> None:
        """Record what changed as of the next boundary; the others up to `up_to` have nothing to record."""
        assert self.boundary is not None
        if self.boundary <= up_to:
            self._snapshot(self.boundary)
            self.boundary = next_hour(up_to, self.catalogue.time_zone)

    def _fire(self, timer: Timer) -> None:
        self.timers.remove(timer)
        cause = Cause(timer.deadline, timer=timer)
        if timer.rule is not None:
            self._consider(self.catalogue.rules[timer.rule], timer.row, cause)
            return
        journey = self.catalogue.journeys[timer.journey]
        [timeout] = [t for t in journey.timeout if t.in_ == timer.stage]
        self._enter(timer.row, journey, timeout.to, cause, timers_from=timer.deadline)
        for rule in self.catalogue.rules:
            left = rule.listens.timeout == f"{journey.name}.{timer.stage}" and rule.listens.after is None
            if left or rule.listens.entered == f"{journey.name}.{timeout.to}":
                self._consider(rule, timer.row, cause)

    # An event of a declared type

    def _take(self, event: Event) -> str:
        rows = self._rows(event)
        customer = rows[CUSTOMER]
        if event.id in customer.event_ids:
            return "duplicate"
        customer.event_ids.append(event.id)
        self._decisions.reach_goals(event.type, rows)
        for row in rows.values():
            row.latest = event.time if row.latest is None else max(row.latest, event.time)
            row.changed = True
        for feature in self.catalogue.features:
            if feature.entity in rows and self._feature_takes(feature, rows[feature.entity], event):
                self.late[self.offset] = True
        entered = []
        for journey in self.catalogue.journeys:
            if journey.entity in rows:
                entered += self._journey_takes(journey, rows[journey.entity], event)
        for rule in self.catalogue.rules:
            entity = self._entity_of(rule)
            listens = event.type in (rule.listens.event or ()) or rule.listens.entered in entered
            if listens and entity in rows:
                self._consider(rule, rows[entity], Cause(event.time, event))
        assert self.clock is not None
        self._metrics.count(event, self.clock)
        return "applied"

    def _rows(self, event: Event) -> dict[str, Row]:
        """The rows that the event is about, by entity; made where they are named for the first time."""
        number = len(self.customers)
        made = Row(CUSTOMER, event.customer_id, None, number)
        rows = {CUSTOMER: self.customers.setdefault(event.customer_id, made)}
        for journey in self.catalogue.journeys:
            key = event.properties.get(journey.key) if journey.key else None
            if key is not None and journey.entity not in rows and self._concerns(event.type, journey.entity):
                made = Row(journey.entity, event.customer_id, key, len(self.instances))
                name = (journey.entity, event.customer_id, key)
                rows[journey.entity] = self.instances.setdefault(name, made)
        return rows

    def _concerns(self, event_type: str, entity: str) -> bool:
        listened: list[str] = []
        for journey in self._journeys_of(entity):
            listened += [name for transition in journey.transition for name in transition.on]
            listened += [name for timeout in journey.timeout for name in timeout.restarted_by]
        listened += [name for f in self.catalogue.features if f.entity == entity for name in f.on]
        listened += [name for r in self.catalogue.rules if r.entity == entity for name in r.listens.event or ()]
        return event_type in listened

    def _feature_takes(self, feature: Feature, row: Row, event: Event) -> bool:
        """Take the event if the feature wants it; whether it came too late."""

        def lookup(name: str) -> Value:
            return event.value_of(name)

        if event.type not in feature.on or not holds(feature.where, lookup):
            return False
        value = 1.0 if feature.value is None else evaluate(feature.value, lookup)
        if value is None:
            return False
        tiles = tiles_in_window(feature, self.catalogue.time_zone, row.latest, [Taken(event.time, value)])
        if not tiles:
            return True
        row.taken.setdefault(feature.name, []).append(Taken(event.time, value))
        return False

    def _journey_takes(self, journey: Journey, row: Row, event: Event) -> list[str]:
        """Move the row by the event; the stages entered, as `journey.stage`."""
        cause, entered = Cause(event.time, event), []
        assert self.clock is not None
        if journey.name not in row.standing:  # Choice: journeys later in the catalogue do not stand anywhere yet
            self._enter(row, journey, journey.stages[0], cause, timers_from=self.clock)
            entered.append(f"{journey.name}.{journey.stages[0]}")
        stage = row.standing[journey.name].stage
        for transition in journey.transition:
            concerned = stage in transition.from_ and event.type in transition.on
            if concerned and holds(transition.when, lambda name: self._value(name, row, journey, cause)):
                self._enter(row, journey, transition.to, cause, timers_from=self.clock)
                return [*entered, f"{journey.name}.{transition.to}"]
        for timeout in journey.timeout:
            if timeout.in_ == stage and event.type in timeout.restarted_by:
                self._arm(row, journey, stage, self.clock)
        return entered

    # Stages and their timers

    def _enter(self, row: Row, journey: Journey, stage: str, cause: Cause, timers_from: int) -> None:
        old = row.standing.get(journey.name)
        row.standing[journey.name] = Standing(stage, cause.now)
        row.changed = True
        assert self.clock is not None
        transition = Transition(
            customer_id=row.customer_id,
            entity=row.entity,
            entity_id=row.entity_id,
            journey=journey.name,
            from_stage=old.stage if old else None,
            to_stage=stage,
            entered_at=cause.now,
            time_in_stage_ms=max(0, cause.now - old.entered_at) if old else None,
            cause="event" if cause.event else "timeout",
            event_id=cause.event.id if cause.event else None,
            clock=self.clock,
            partition=self.partition,
            offset=self.offset,
            seq=self._next_seq(),
        )
        self.transitions.append(transition)
        self._arm(row, journey, stage, timers_from)

    def _arm(self, row: Row, journey: Journey, stage: str, start: int) -> None:
        """Cancel what is left of the journey's timers, and start those of the stage."""
        number = self.catalogue.journeys.index(journey)
        self.timers = [t for t in self.timers if not (t.row is row and t.journey == number)]
        for timeout in journey.timeout:
            if timeout.in_ == stage:
                self.timers.append(Timer(start + duration_ms(timeout.after), row, number, stage, None))
        for index, rule in enumerate(self.catalogue.rules):
            if rule.listens.timeout == f"{journey.name}.{stage}" and rule.listens.after is not None:
                self.timers.append(Timer(start + duration_ms(rule.listens.after), row, number, stage, index))

    # What predicates read

    def _value(self, name: str, row: Row, journey: Journey | None, cause: Cause) -> Value:
        """The value of a name for a predicate of `row`; `journey` is the journey in question."""
        if name in ("stage", "time_in_stage_ms"):
            assert journey is not None
            return self._journey_column(row, journey, name, cause)
        for other in self.catalogue.journeys:
            if name in (f"{other.name}_stage", f"{other.name}_time_in_stage_ms"):
                owner = self.customers[row.customer_id] if other.entity == CUSTOMER else row
                return self._journey_column(owner, other, name.removeprefix(f"{other.name}_"), cause)
        for feature in self.catalogue.features:
            if feature.name == name:
                owner = self.customers[row.customer_id] if feature.entity == CUSTOMER else row
                return self._feature(feature, owner)
        for tag in self.catalogue.tags:
            if tag.name == name:
                return evaluate(tag.expression, lambda read: self._value(read, row, None, cause))
        return cause.event.value_of(name) if cause.event else None

    def _journey_column(self, row: Row, journey: Journey, column: str, cause: Cause) -> Value:
        standing = row.standing.get(journey.name)
        if standing is None:
            return None
        return standing.stage if column == "stage" else float(max(0, cause.now - standing.entered_at))

    def _feature(self, feature: Feature, row: Row) -> Value:
        taken = row.taken.get(feature.name, [])
        tiles = tiles_in_window(feature, self.catalogue.time_zone, row.latest, taken)
        declared = self._declared_values(feature.value) if feature.aggregate == "distinct" else []
        return aggregate(feature.aggregate, tiles, declared)

    def _features_of(self, row: Row) -> dict[str, float | None]:
        features = [feature for feature in self.catalogue.features if feature.entity == row.entity]
        return {f.name: to_float(self._feature(f, row), self._declared_values(f.value)) for f in features}

    def _declared_values(self, name: str | None) -> list[str]:
        """Of a string property or `channel`, in order."""
        if name == "channel":
            return list(self.catalogue.channels)
        kinds = [event.properties.get(name or "") for event in self.catalogue.events]
        lists = [kind for kind in kinds if kind is not None and not isinstance(kind, str)]
        return list(dict.fromkeys(value for values in lists for value in values))

    def _journeys_of(self, entity: str) -> list[Journey]:
        return [journey for journey in self.catalogue.journeys if journey.entity == entity]

    # Rules and candidates

    def _listened_journey(self, rule: Rule) -> Journey | None:
        """The journey whose `stage` the rule reads."""
        listened = rule.listens.entered or rule.listens.timeout
        if listened is not None:
            [journey] = [j for j in self.catalogue.journeys if j.name == listened.partition(".")[0]]
            return journey
        return None if rule.entity in (None, CUSTOMER) else self._journeys_of(rule.entity)[0]

    def _entity_of(self, rule: Rule) -> str:
        journey = self._listened_journey(rule)
        return journey.entity if journey else CUSTOMER

    def _consider(self, rule: Rule, row: Row, cause: Cause) -> None:
        journey = self._listened_journey(rule)

        def lookup(name: str) -> Value:
            return self._value(name, row, journey, cause)

        if not holds(rule.when, lookup):
            return
        stage = self._journey_column(row, journey, "stage", cause) if journey else None
        evidence = Evidence(
            event_id=cause.event.id if cause.event else None,
            event=cause.event.type if cause.event else None,
            deadline=cause.timer.deadline if cause.timer else None,
            stage=stage,
            values={name: self._shown(name, lookup(name)) for name in self._read(rule.when or "TRUE")},
            predicate=rule.when or "TRUE",  # Choice
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
        )
        candidate = Candidate(self._decision_id(rule, row, cause), rule, row, cause, evidence, self._next_seq())
        self._weigh(candidate)
        self._decisions.candidates.append(candidate)

    def _weigh(self, candidate: Candidate) -> None:
        """What the rows say of a candidate that comes up or is released: its `[[gate]]`s and its score."""
        rule, row, customer = candidate.rule, candidate.row, self.customers[candidate.row.customer_id]
        for gate in self.catalogue.gates:  # Choice: a gate's answer is of when the candidate comes up, as is its score
            passed = holds(gate.when, lambda name: self._value(name, customer, None, candidate.cause))
            candidate.gates[gate.name] = passed
        candidate.score = 1.0
        for factor in (rule.propensity, rule.context, rule.value, rule.lever):
            if factor is not None:
                value = evaluate(str(factor), lambda name: self._value(name, row, None, candidate.cause))
                candidate.score *= 0.0 if value is None or value != value else float(value)

    def _read(self, predicate: str) -> set[str]:
        """The names that a predicate reads. Choice: those that its tags read, too."""
        read = set(names_read(predicate))
        for tag in self.catalogue.tags:
            if tag.name in read:
                read |= self._read(tag.expression)
        return read

    def _shown(self, name: str, value: Value) -> Value:
        """A value as evidence; a string that is not declared is "(other)"."""
        [read] = [f.value for f in self.catalogue.features if f.name == name] or [name]
        strings = isinstance(value, str) and not name.endswith("stage")
        return "(other)" if strings and value not in self._declared_values(read) else value

    def _decision_id(self, rule: Rule, row: Row, cause: Cause) -> str:
        """Distinct for distinct causes; the bytes hashed are not the engine's."""
        source: tuple[object, ...] = (self.offset,)
        if cause.timer:
            journey = self.catalogue.journeys[cause.timer.journey].name
            source = (f"{journey}.{cause.timer.stage}", cause.timer.deadline)
        parts = (rule.name, row.entity, row.customer_id, row.entity_id, self.topic, self.partition, *source)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def _next_seq(self) -> int:
        """Choice: transitions and decisions of a record are counted together."""
        self.seq += 1
        return self.seq - 1

    # Snapshots

    def _snapshot(self, as_of: int) -> None:
        """Record what changed: customers, then instances, by row number."""
        for row in [*self.customers.values(), *self.instances.values()]:
            if row.changed:
                row.changed = False
                tags = {tag: self._tag(tag, row) for tag in self._tags_of(row.entity)}
                stages = {j.name: row.standing.get(j.name) for j in self._journeys_of(row.entity)}
                names = {name: standing and standing.stage for name, standing in stages.items()}
                entry = (row.entity, row.customer_id, row.entity_id, self._features_of(row), tags, names)
                self.snapshots.append((as_of, self.offset, *entry))

    def _tag(self, name: str, row: Row) -> float | None:
        return to_float(self._value(name, row, None, Cause(0)))

    def _tags_of(self, entity: str) -> list[str]:
        return [tag.name for tag in self.catalogue.tags if self._owner_of_tag(tag.name) == entity]

    def _owner_of_tag(self, name: str) -> str:
        [tag] = [tag for tag in self.catalogue.tags if tag.name == name]
        read = names_read(tag.expression)
        owners = [feature.entity for feature in self.catalogue.features if feature.name in read]
        owners += [self._owner_of_tag(other.name) for other in self.catalogue.tags if other.name in read]
        return next((owner for owner in owners if owner != CUSTOMER), CUSTOMER)
