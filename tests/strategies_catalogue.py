"""Random catalogues, valid by construction: each entry comes from its own seed and what stands before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from tests import strategies_policies as policies
from tests.strategies_expressions import BOOLEAN, NUMBER, STRING, Kind, number, predicate

CHANNELS = ("app", "web")
ENVELOPE: Mapping[str, Kind] = {
    "channel": CHANNELS,
    "event_time": NUMBER,
    "event_hour": NUMBER,
    "event_weekday": NUMBER,
}
PROPERTIES: Mapping[str, Kind] = {
    "amount": NUMBER,
    "price": NUMBER,
    "vip": BOOLEAN,
    "side": ("in", "out"),
    "page": ("a", "b", "c", "d e"),
    "order_id": STRING,
    "loan_id": STRING,
}
EVENTS = ("pay", "view", "Order placed", "close", "登录", "logout")
KEYS = {"order": "order_id", "loan": "loan_id"}
WINDOWS = (
    *(("5m", None), ("1h", None), ("1h", "20m"), ("6h", None), ("24h", None), ("24h", "2h"), ("2d", "12h")),
    *(("1d", "1d"), ("3d", None), ("7d", None), ("30d", None), ("60d", "30d"), ("90d", None), ("360d", None)),
    *(("365d", "5d"), ("365d", "365d"), ("365d", "73d")),
)
DURATIONS = ("90s", "5m", "30m", "1h", "24h", "3d", "10d", "30d")  # from short to long
STAGES = ("new", "active", "in progress", "v1.0", "结束", "it's")
LONG = ("10d", "30d")  # of timeouts that lead back, so that a jump of months passes few of them
TABLES = ("event", "feature", "tag", "journey", "rule", "gate", "quiet_hours", "contact_limit", "holdout")

Table = dict[str, Any]
Scope = dict[str, Kind]


class Builder:
    """The tables of a catalogue, in the making."""

    def __init__(self, time_zone: str, start: int) -> None:
        self.start = start  # of the log, as a minute of the local day
        self.head: Table = {"name": "random", "time_zone": time_zone, "channels": list(CHANNELS)}
        self.tables: dict[str, list[Table]] = {name: [] for name in TABLES}
        self.feature_kinds: Scope = {}
        self.tag_kinds: dict[str, tuple[str, str]] = {}  # (entity, kind)
        self.listened: list[tuple[str, Table, Scope]] = []  # of each rule: entity, what it listens to, what it may read

    def add(self, table: str, random: Random) -> None:
        """Add an entry, unless the catalogue so far has nothing to make one of."""
        entry = getattr(self, f"_{table}")(random, len(self.tables[table]))
        if entry is not None:
            self.tables[table].append(entry)

    def _event(self, random: Random, number_of: int) -> Table:
        names = [name for name in PROPERTIES if random.random() < 0.6] or ["amount"]
        kinds: dict[str, Any] = {}
        for name in names:
            kind = PROPERTIES[name]
            kinds[name] = kind if isinstance(kind, str) else random.sample(kind, random.randint(1, len(kind)))
        return {"name": EVENTS[number_of], "properties": kinds}

    def _journey(self, random: Random, number_of: int) -> Table | None:
        entity = "customer" if number_of == 0 else random.choice(("customer", *KEYS, *KEYS))
        if not (events := self._events_of(entity)):
            return None
        stages = random.sample(STAGES, random.randint(2, 4))
        journey: Table = {"name": f"j{number_of}", "entity": entity, "stages": stages}
        if entity != "customer":
            journey["key"] = KEYS[entity]
        journey["transition"], journey["timeout"] = [], []
        for place, stage in enumerate(stages[1:], 1):
            self._lead_to(random, journey, random.choice(stages[:place]), stage, events)
        for _ in range(random.randint(0, 3)):
            self._lead_to(random, journey, random.choice(stages), random.choice(stages), events)
        random.shuffle(journey["transition"])
        return journey

    def _lead_to(self, random: Random, journey: Table, stage: str, to: str, events: Sequence[str]) -> None:
        """A way from a stage to another, by a timeout where there is none yet, or by a transition."""
        free = stage not in [timeout["in"] for timeout in journey["timeout"]]
        if free and random.random() < 0.4:
            forward = journey["stages"].index(stage) < journey["stages"].index(to)
            after = random.choice(DURATIONS if forward else LONG)
            restarted_by = [event for event in events if random.random() < 0.3]
            journey["timeout"].append({"in": stage, "after": after, "to": to, "restarted_by": restarted_by})
            return
        also = [other for other in journey["stages"] if other == stage or random.random() < 0.2]
        on = _some(random, events)
        transition: Table = {"from": also, "on": on, "to": to}
        if random.random() < 0.5:
            transition["when"] = predicate(random, self._journey_scope(journey, on))
        journey["transition"].append(transition)

    def _feature(self, random: Random, number_of: int) -> Table | None:
        entity = random.choice(("customer", "customer", *self._keyed()))
        on = _some(random, self._events_of(entity))
        scope = {**ENVELOPE, **self._properties(on)}
        aggregate = random.choice(("count", "sum", "sum", "min", "max", "first", "last", "distinct"))
        feature: Table = {"name": f"f{number_of}", "entity": entity, "on": on, "aggregate": aggregate}
        if aggregate in ("first", "last") and random.random() < 0.4:
            feature["value"] = random.choice([name for name, kind in scope.items() if kind != STRING])
        elif aggregate == "distinct":
            feature["value"] = random.choice(_strings_of(scope))
        elif aggregate != "count" or random.random() < 0.3:
            numbers = {name: kind for name, kind in scope.items() if name not in ENVELOPE}
            feature["value"] = number(random, numbers or scope)
        if random.random() < 0.4:
            feature["where"] = predicate(random, scope)
        as_it_is = aggregate in ("first", "last")
        self.feature_kinds[feature["name"]] = scope.get(feature.get("value", ""), NUMBER) if as_it_is else NUMBER
        if random.random() < 0.75:
            window, tile = random.choice(WINDOWS)
            feature |= {"window": window} | ({"tile": tile} if tile else {})
        return feature

    def _tag(self, random: Random, number_of: int) -> Table | None:
        entity = random.choice(("customer", *self._keyed()))
        scope = self._entity_scope(entity, times=False, own_stages=False)
        kind = random.choice((NUMBER, BOOLEAN))
        expression = number(random, scope, 2) if kind == NUMBER else predicate(random, scope)
        read = set(_words(expression))
        owned = [f["entity"] for f in self.tables["feature"] if f["name"] in read]
        owned += [owner for name, (owner, _) in self.tag_kinds.items() if name in read]
        owner = entity if entity in owned else "customer"
        self.tag_kinds[f"t{number_of}"] = (owner, kind)
        return {"name": f"t{number_of}", "expression": expression}

    def _rule(self, random: Random, number_of: int) -> Table | None:
        rule: Table = {
            "name": f"r{number_of}",
            "action": f"action{number_of}",
            "channel": random.choice(("push", "push", "sms")),
            "kind": random.choice(("marketing", "marketing", "service")),
            "expires": random.choice(("72h", "30d", "30d", "30d", "1h", "90s")),
        }
        if random.random() < 0.5:
            rule["cooldown"] = random.choice(DURATIONS)
        if random.random() < 0.6:
            rule["group"] = random.choice(("loans", "cards"))
        if random.random() < 0.8:
            event = random.choice(self.tables["event"])["name"]
            rule["goal"] = {"event": event, "within": random.choice(DURATIONS)}
        entity, rule["listens"], scope = self._listens(random)
        if entity != "customer" and "event" in rule["listens"]:
            rule["entity"] = entity
        self.listened.append((entity, rule["listens"], scope))
        if random.random() < 0.5:
            rule["when"] = predicate(random, scope)
        return rule | policies.factors(random, self._entity_scope(entity, times=False))

    def _listens(self, random: Random) -> tuple[str, Table, Scope]:
        """A rule's entity, what it listens to, often what another does, too, and what its predicate may read."""
        if self.listened and random.random() < 0.3:
            return random.choice(self.listened)
        journey = random.choice(self.tables["journey"])
        stage = random.choice(journey["stages"])
        form = random.randrange(6)
        if form < 2:
            entity = random.choice(("customer", *self._keyed()))
            on = _some(random, self._events_of(entity))
            scope = self._entity_scope(entity) | ENVELOPE | self._properties(on)
            if entity != "customer":
                first = next(j for j in self.tables["journey"] if j["entity"] == entity)
                scope |= {"stage": tuple(first["stages"]), "time_in_stage_ms": NUMBER}
            return entity, {"event": on}, scope
        entity, scope = journey["entity"], self._journey_scope(journey, ())
        if form < 4:
            return entity, {"entered": f"{journey['name']}.{stage}"}, scope
        if form == 4 and journey["timeout"]:
            return entity, {"timeout": f"{journey['name']}.{random.choice(journey['timeout'])['in']}"}, scope
        latest = [timeout["after"] for timeout in journey["timeout"] if timeout["in"] == stage]
        in_time = DURATIONS[: DURATIONS.index(latest[0]) + 1] if latest else DURATIONS
        return entity, {"timeout": f"{journey['name']}.{stage}", "after": random.choice(in_time)}, scope

    def _gate(self, random: Random, number_of: int) -> Table:
        when = predicate(random, self._entity_scope("customer", times=False))
        if random.random() < 0.3:
            when = f"({when}) OR TRUE"
        return {"name": f"g{number_of}", "when": when, **policies.scope_of(random, self.tables["rule"], kinds=0.4)}

    def _quiet_hours(self, random: Random, number_of: int) -> Table:
        return {"name": f"q{number_of}", **policies.quiet_hours(random, self.tables["rule"], self.start)}

    def _contact_limit(self, random: Random, number_of: int) -> Table:
        return {"name": f"l{number_of}", **policies.contact_limit(random, self.tables["rule"], DURATIONS)}

    def _holdout(self, random: Random, number_of: int) -> Table:
        return {"name": f"h{number_of}", **policies.holdout(random, self.tables["rule"])}

    # What may be read

    def _keyed(self) -> list[str]:
        return sorted({journey["entity"] for journey in self.tables["journey"]} - {"customer"})

    def _events_of(self, entity: str) -> list[str]:
        """Event types that carry the entity's key; all for the customer."""
        key = KEYS.get(entity)
        return [event["name"] for event in self.tables["event"] if key is None or key in event["properties"]]

    def _properties(self, on: Sequence[str]) -> Scope:
        declared = [event["properties"] for event in self.tables["event"] if event["name"] in on]
        names = {name for properties in declared for name in properties}
        return {name: self._kind_of(name) for name in PROPERTIES if name in names}

    def _kind_of(self, name: str) -> Kind:
        """The type of a property: for a string the values that any event declares."""
        kinds = [event["properties"][name] for event in self.tables["event"] if name in event["properties"]]
        return kinds[0] if isinstance(kinds[0], str) else tuple(dict.fromkeys(v for kind in kinds for v in kind))

    def _entity_scope(self, entity: str, times: bool = True, own_stages: bool = True) -> Scope:
        """Features, tags and journeys of the customer and of the entity."""
        owners = ("customer", entity)
        features = [feature for feature in self.tables["feature"] if feature["entity"] in owners]
        scope: Scope = {feature["name"]: self.feature_kinds[feature["name"]] for feature in features}
        scope |= {name: kind for name, (owner, kind) in self.tag_kinds.items() if owner in owners}
        for journey in self.tables["journey"]:
            if journey["entity"] == "customer" or (own_stages and journey["entity"] == entity):
                scope[f"{journey['name']}_stage"] = tuple(journey["stages"])
                if times:
                    scope[f"{journey['name']}_time_in_stage_ms"] = NUMBER
        return scope

    def _journey_scope(self, journey: Table, on: Sequence[str]) -> Scope:
        own: Scope = {"stage": tuple(journey["stages"]), "time_in_stage_ms": NUMBER}
        return self._entity_scope(journey["entity"]) | ENVELOPE | self._properties(on) | own

    # TOML

    def toml(self) -> str:
        """The catalogue as it is read by `load`."""
        lines = ["[catalogue]", *_fields(self.head)]
        for name, entries in self.tables.items():
            for entry in entries:
                lines += [f"[[{name}]]", *_fields(entry)]
                for part in ("transition", "timeout"):
                    for one in entry.get(part, ()):
                        lines += [f"[[{name}.{part}]]", *_fields(one)]
        return "\n".join(lines) + "\n"


def _some(random: Random, names: Sequence[str]) -> list[str]:
    return random.sample(names, random.randint(1, len(names)))


def _strings_of(scope: Scope) -> list[str]:
    return [name for name, kind in scope.items() if not isinstance(kind, str)]


def _words(expression: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()


def _fields(entry: Table) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in entry.items() if name not in ("transition", "timeout")]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
