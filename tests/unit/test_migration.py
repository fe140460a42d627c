"""State of one catalogue under another: what did not change goes on as before, and what is new is empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from models.catalogue import Catalogue, load
from models.decoding import Decoder
from models.layout import Layout
from models.outputs import BatchOutput
from models.records import Records
from models.shard import Shard
from tests.small_logs import DAY, HOUR, MINUTE, SMALL, START, TOPIC, LogRecord, decided, random_records, records

TEXT = SMALL.read_text(encoding="utf-8")
MORE_FEATURES = """
[[feature]]
name = "transfer_out_30d"
on = ["transfer"]
where = "direction = 'out'"
aggregate = "sum"
value = "amount"
window = "30d"
tile = "1d"

[[feature]]
name = "transfers"
on = ["transfer"]
aggregate = "count"
"""
LOGIN_COUNT = TEXT[
    TEXT.index('[[feature]]\nname = "login_count_1d"') : TEXT.index('[[feature]]\nname = "transfer_out_7d"')
]


def catalogue(text: str) -> Catalogue:
    return load({"changed.toml": text})


class Worker:
    """A shard and its decoder, which can be restarted under another catalogue."""

    def __init__(self, found: Catalogue) -> None:
        self.layout = Layout.compile(found)
        self.shard = Shard(self.layout, TOPIC, 0)
        self.outputs: list[BatchOutput] = []
        self.state: dict[bytes, bytes] = {}

    def feed(self, log: Sequence[LogRecord]) -> Worker:
        columns = Decoder(self.layout.event_layout).columns(TOPIC, 0, Records.of(log))
        self.outputs.append(self.shard.process(columns))
        return self

    def restart(self, found: Catalogue | None = None) -> Worker:
        for key, value in self.shard.dump():
            self.state.pop(key, None)
            self.state[key] = value
        self.layout = Layout.compile(found or self.layout.catalogue)
        self.shard = Shard.restore(self.layout, TOPIC, 0, list(self.state.items()))
        return self

    def profiles(self) -> dict[str, Any]:
        customers = range(12)
        return {f"c{number}": self.shard.profile(f"c{number}") for number in customers}

    def transitions(self) -> list[dict[str, Any]]:
        found = (output.transitions.structs(self.layout.catalogue, output.columns) for output in self.outputs)
        return [msgspec.to_builtins(one) for batch in found for one in batch]


def shown(profiles: dict[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """Profiles without some features, and without the order of what is left."""
    return {
        customer: profile
        and {
            "features": {name: value for name, value in profile["features"].items() if name not in without},
            "tags": profile["tags"],
            "stages": profile["stages"],
            "entities": sorted(profile["entities"], key=lambda entity: str(entity["entity_id"])),
        }
        for customer, profile in profiles.items()
    }


def test_features_that_did_not_change_go_on() -> None:
    """Others come before, between and after them; one is dropped; event types and channels have other numbers."""
    log = random_records(5, 600)
    changed = catalogue(
        TEXT.replace(LOGIN_COUNT, "").replace('["app", "branch"]', '["web", "branch", "app"]')
        + MORE_FEATURES
        + '[[event]]\nname = "another"\n'
    )
    plain, moved = Worker(catalogue(TEXT)), Worker(catalogue(TEXT))
    plain.feed(log[:400]).restart().feed(log[400:])
    moved.feed(log[:400]).restart(changed).feed(log[400:])
    dropped, added = ["login_count_1d"], ["transfer_out_30d", "transfers"]
    assert shown(plain.profiles(), dropped) == shown(moved.profiles(), added)
    assert plain.transitions() == moved.transitions()


def test_what_is_new_starts_empty() -> None:
    log = random_records(6, 500)
    moved = Worker(catalogue(TEXT)).feed(log[:300]).restart(catalogue(TEXT + MORE_FEATURES)).feed(log[300:])
    fresh = Worker(catalogue(TEXT + MORE_FEATURES)).feed(log[300:])
    ours, theirs = moved.profiles(), fresh.profiles()
    counts = {customer: profile["features"]["transfers"] for customer, profile in theirs.items() if profile}
    assert max(counts.values()) > 0
    assert {customer: ours[customer]["features"]["transfers"] for customer in counts} == counts


def test_a_longer_window_starts_with_what_is_known_and_leaves_the_shorter_one_alone() -> None:
    events = [
        {"event": "transfer", "at": START + day * DAY, "properties": {"amount": 1.0, "direction": "out"}}
        for day in range(10)
    ]
    moved = Worker(catalogue(TEXT)).feed(records(events)).restart(catalogue(TEXT + MORE_FEATURES))
    features = moved.shard.profile("c1")["features"]
    assert (features["transfer_out_7d"], features["transfer_out_30d"]) == (7.0, 7.0)
    assert (
        "customer: feature transfer_out_30d starts with the 7 of its 30 tiles that are known" in moved.shard.migration
    )
    assert "customer: feature transfer_out_7d is kept" in moved.shard.migration
    assert "customer: feature transfers starts empty" in moved.shard.migration


@pytest.mark.parametrize(("before", "after"), [("5h", "8h"), ("8h", "5h"), ("3h", "7h")])
def test_counts_are_kept_in_a_ring_of_another_length(before: str, after: str) -> None:
    """Two tiles share a cell, and of an odd number one has its own."""

    def of(window: str) -> Catalogue:
        return catalogue(
            TEXT
            + f'[[feature]]\nname = "seen"\non = ["login"]\naggregate = "count"\nwindow = "{window}"\ntile = "1h"\n'
        )

    log = records([{"event": "login", "at": START + hour * HOUR} for hour in range(11) for _ in range(hour + 1)])
    moved, known = Worker(of(before)).feed(log).restart(of(after)), min(int(before[0]), int(after[0]))
    assert moved.shard.profile("c1")["features"]["seen"] == sum(range(12 - known, 12))


def test_back_again_nothing_is_lost_but_what_was_dropped() -> None:
    log = random_records(7, 500)
    there = Worker(catalogue(TEXT)).feed(log)
    before = shown(there.profiles())
    there.restart(catalogue(TEXT + MORE_FEATURES)).restart(catalogue(TEXT))
    assert shown(there.profiles()) == before


def test_stages_are_kept_by_their_names() -> None:
    """A stage before the others gives all of them another number."""
    renamed = TEXT.replace(
        'stages = ["apply", "verify", "submit", "abandoned"]', 'stages = ["submit", "apply", "verify", "abandoned"]'
    ).replace('from = ["abandoned"]\non = ["loan_apply"]', 'from = ["abandoned", "submit"]\non = ["loan_apply"]')
    application = {"properties": {"application_id": "a1"}}
    step = {"properties": {"application_id": "a1", "step": "verify"}}
    moved = Worker(catalogue(TEXT))
    moved.feed(
        records([{"event": "loan_apply", "at": START, **application}, {"event": "loan_step", "at": START, **step}])
    )
    moved.restart(catalogue(renamed))
    (entity,) = moved.shard.profile("c1")["entities"]
    assert entity["stages"]["loan"] == "verify"
    assert "loan_application: journey loan is kept by the names of its stages" in moved.shard.migration


def test_timers_run_on_and_what_is_past_does_not_fire_again() -> None:
    """30 minutes in `apply` become 20; the nudge after 10 minutes was given already."""
    shorter = TEXT.replace('in = "apply"\nafter = "30m"', 'in = "apply"\nafter = "20m"')
    application = {"event": "loan_apply", "at": START, "properties": {"application_id": "a1", "requested": 20_000}}
    log = records([application, {"event": "login", "at": START + 12 * MINUTE}, {"event": "login", "at": START + HOUR}])
    moved = Worker(catalogue(TEXT)).feed(log[:2]).restart(catalogue(shorter)).feed(log[2:])
    entered = [(one["to_stage"], one["entered_at"]) for one in moved.transitions() if one["journey"] == "loan"]
    assert entered == [("apply", START), ("abandoned", START + 20 * MINUTE)]
    rules = [decision.rule for output in moved.outputs for decision in decided(output, moved.layout.catalogue)]
    assert rules.count("loan_nudge") == 1


def test_rows_of_an_entity_that_is_gone_are_dropped_and_it_can_come_back() -> None:
    first = TEXT.index('[[feature]]\nname = "requested_amount"')
    without = TEXT[:first] + TEXT[TEXT.index("[[tag]]") :]
    journey = without.index('[[journey]]\nname = "loan"')
    without = without[:journey] + without[without.index("[[rule]]") :]
    for name in ("loan_abandoned", "loan_nudge"):
        start = without.index(f'[[rule]]\nname = "{name}"')
        end = without.find("[[rule]]", start + 1)
        without = without[:start] + without[end if end > 0 else without.index("[[gate]]") :]
    without = without.replace('channels = ["push", "in_app"]', 'channels = ["in_app"]')
    log = random_records(8, 400)
    plain = Worker(catalogue(TEXT)).feed(log)
    moved = Worker(catalogue(TEXT)).feed(log).restart(catalogue(without))
    assert moved.shard.rows.instances.count == 0 < plain.shard.rows.instances.count
    ours, theirs = shown(moved.profiles()), shown(plain.profiles())
    assert {c: p and p["features"] for c, p in ours.items()} == {c: p and p["features"] for c, p in theirs.items()}
    back = moved.restart().restart(catalogue(TEXT))
    assert back.shard.rows.instances.count == 0


@pytest.mark.parametrize("cut", [0, 63, 64, 65, 300])
def test_a_restart_under_the_same_catalogue_migrates_nothing(cut: int) -> None:
    log = random_records(9, 320)
    plain, again = Worker(catalogue(TEXT)).feed(log), Worker(catalogue(TEXT)).feed(log[:cut]).restart().feed(log[cut:])
    assert again.shard.migration == []
    assert shown(plain.profiles()) == shown(again.profiles())
