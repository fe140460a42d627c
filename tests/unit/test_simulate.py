"""The simulated bank: same seed, same bytes; balances add up; every story is told; files give back what was written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from models.catalogue import Catalogue, load
from models.decoding import Decoder
from models.layout import Layout
from models.published import Decision, Transition
from models.records import Record, Records
from models.shard import Shard
from models.windows import DAY_MS
from streams.record_files import read_records
from streams.simulate import SimulationError, SimulationSettings, plan, records, write_file
from tests.small_logs import decided

ROOT = Path(__file__).parents[2]
BANK = SimulationSettings(seed=7, customers=8_000, days=90, events=120_000)
SMALL = SimulationSettings(seed=3, customers=500, days=30, events=5_000)
CLEAN = replace(SMALL, late=0, duplicates=0, broken=0)
IN = ("inflow", "payroll_credit", "wealth_redeem", "loan_draw")
OUT = ("outflow", "bill_pay", "wealth_order_success", "repay_success")

SimRecord = tuple[int, bytes, bytes]


def flat(settings: SimulationSettings) -> list[SimRecord]:
    return [one for times, keys, values in records(settings) for one in zip(times.tolist(), keys, values, strict=True)]


def sim_records(batch: Records) -> list[SimRecord]:
    rows = map(batch.record, range(batch.count))
    return [(timestamp, key or b"", value or b"") for _, timestamp, key, value, _ in rows]


def digest(settings: SimulationSettings) -> str:
    return hashlib.sha256(repr(flat(settings)).encode()).hexdigest()


def good(simulated: Iterable[SimRecord]) -> dict[str, dict[str, Any]]:
    """The valid events, once each, by id."""
    found = {}
    for _, key, value in simulated:
        try:
            event = json.loads(value)
            if key.decode() == event["customer_id"] and event["event_id"] != "" and "received_at" in event:
                found[event["event_id"]] = event
        except (ValueError, KeyError, TypeError):
            continue
    return {name: event for name, event in found.items() if not name.startswith(("broken", "x"))}


@pytest.fixture(scope="module")
def bank() -> list[SimRecord]:
    return flat(BANK)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load({path.name: path.read_text() for path in (ROOT / "models" / "retail_bank").glob("*.toml")})


# --- the same seed, the same bytes


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert digest(SMALL) == digest(SMALL)
    assert digest(SMALL) != digest(replace(SMALL, seed=4))


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_with_other_hashes_gives_the_same_bytes(hash_seed: str) -> None:
    code = "from tests.unit.test_simulate import digest, SMALL; print(digest(SMALL))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest(SMALL)


# --- how many, in which order


@pytest.mark.parametrize("events", [0, 1, 7, 100, 5_000, 60_001])
def test_it_makes_exactly_as_many_records_as_asked_in_time_order(events: int) -> None:
    timestamps = [timestamp for timestamp, _, _ in flat(replace(SMALL, events=events))]
    assert len(timestamps) == events
    assert timestamps == sorted(timestamps)


def test_without_a_number_the_bank_makes_what_it_makes() -> None:
    assert len(flat(replace(SMALL, events=None))) == 500 * 30 // 6


def test_few_events_for_many_customers_are_no_trouble() -> None:
    assert len(flat(replace(SMALL, customers=1_000_000, events=1_000))) == 1_000


def test_records_lie_within_the_days() -> None:
    times = [timestamp for timestamp, _, _ in flat(SMALL)]
    start = plan(SMALL).bank.start_ms
    assert start == 1767196800000  # 2026-01-01 in Shanghai
    assert start <= min(times) and max(times) <= start + 30 * DAY_MS


@pytest.mark.parametrize(
    "wrong", [{"customers": 0}, {"days": 0}, {"late": -0.1}, {"late": 1.1}, {"broken": 0.6, "duplicates": 0.4}]
)
def test_settings_that_no_bank_can_have_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SimulationError, match=r"simulation|shares"):
        plan(replace(SMALL, **wrong))


# --- late, duplicated, broken


def test_shares_are_as_asked(bank: list[SimRecord]) -> None:
    values = Counter(value for _, _, value in bank if value)
    assert sum(count - 1 for value, count in values.items() if b"received_at" in value) >= 600  # duplicates, 0.5 %
    events = good(bank)
    assert len(bank) - len(events) == 600 + 240
    late = sum(event["received_at"] - event["event_time"] > 60_000 for event in events.values())
    assert late == pytest.approx(1_200, rel=0.15)


def test_shares_can_be_switched_off() -> None:
    simulated = flat(CLEAN)
    events = good(simulated)
    assert len(events) == len(simulated)
    for (timestamp, _, _), event in zip(simulated, events.values(), strict=True):
        assert timestamp == event["received_at"]
        assert 0 <= timestamp - event["event_time"] < 5_000


def test_every_broken_record_is_a_bad_row_and_nothing_else_is(catalogue: Catalogue) -> None:
    simulated = flat(replace(SMALL, broken=0.1))
    decoder = Decoder(Layout.compile(catalogue).event_layout)
    batch = [Record(offset, *record) for offset, record in enumerate(simulated)]
    columns = decoder.columns("zhice.events", 0, Records.of(batch))
    assert len(columns.bad_rows) == 500
    assert len({bad.reason for bad in columns.bad_rows}) >= 9


# --- a bank


def test_balances_add_up(bank: list[SimRecord]) -> None:
    """Each snapshot is the one before it, plus what came, minus what went; to the cent, and never below zero."""
    by_customer = defaultdict(list)
    for event in good(bank).values():
        by_customer[event["customer_id"]].append(event)
    compared = 0
    for events in by_customer.values():
        events.sort(key=lambda event: event["event_time"])
        balance = held = None
        for event in events:
            into_deposit, into_wealth = moved_cents(event)
            if event["event"] == "balance_snapshot":
                seen = [cents(event["properties"][name]) for name in ("balance", "wealth", "assets")]
                assert min(seen) >= 0 and seen[0] + seen[1] == seen[2]
                if balance is not None:
                    assert [balance, held] == seen[:2], event
                    compared += 1
                balance, held = seen[:2]
            elif balance is not None and held is not None:
                balance, held = balance + into_deposit, held + into_wealth
    assert compared > 4_000


def moved_cents(event: dict[str, Any]) -> tuple[int, int]:
    """What an event adds to the deposit, and to the wealth products."""
    name, properties = event["event"], event["properties"]
    amount, principal = cents(properties.get("amount", 0)), cents(properties.get("principal", 0))
    if name == "wealth_order_success":
        return -amount, amount
    if name == "wealth_redeem" or (name == "product_mature" and properties["days_left"] == 0):
        return amount, -principal
    if name in IN or (name == "transfer_success" and properties["direction"] == "in"):
        return amount, 0
    if name in OUT or name == "transfer_success" or (name == "card_spend" and properties["card_type"] == "debit"):
        return -amount, 0
    return 0, 0


def cents(yuan: float) -> int:
    return round(yuan * 100)


def test_every_event_type_occurs_and_only_declared_properties_do(bank: list[SimRecord], catalogue: Catalogue) -> None:
    declared = {event.name: event.properties for event in catalogue.events}
    seen = defaultdict(set)
    for event in good(bank).values():
        seen[event["event"]] |= event["properties"].keys()
        for name, value in event["properties"].items():
            kind = declared[event["event"]][name]
            assert isinstance(kind, str) or value in kind, (event["event"], name, value)
    assert seen.keys() == declared.keys()
    for event, properties in seen.items():
        assert properties == declared[event].keys(), event


def test_sessions_hold_together(bank: list[SimRecord]) -> None:
    sessions = defaultdict(list)
    for event in good(bank).values():
        if "session_id" in event:
            sessions[event["session_id"]].append(event)
    whole = 0
    for events in sessions.values():
        assert len({(event["customer_id"], event["device_id"]) for event in events}) == 1
        at = {event["event"]: event["event_time"] for event in events}
        if "app_start" in at and "app_end" in at:
            assert at["app_start"] < at["app_end"]
            whole += 1
    assert whole > 0.95 * len(sessions)


def test_people_come_by_day_more_than_by_night(bank: list[SimRecord]) -> None:
    hours = Counter(
        (event["event_time"] // 3_600_000 + 8) % 24 for event in good(bank).values() if event["event"] == "app_start"
    )
    assert sum(hours[hour] for hour in range(8, 23)) > 10 * sum(hours[hour] for hour in range(1, 6))


# --- through the engine


@pytest.fixture(scope="module")
def outcome(bank: list[SimRecord], catalogue: Catalogue) -> tuple[list[Transition], list[Decision]]:
    layout = Layout.compile(catalogue)
    decoder, shard = Decoder(layout.event_layout), Shard(layout, "zhice.events", 0)
    transitions: list[Transition] = []
    decisions: list[Decision] = []
    for first in range(0, len(bank), 10_000):
        batch = [Record(first + n, *record) for n, record in enumerate(bank[first : first + 10_000])]
        out = shard.process(decoder.columns("zhice.events", 0, Records.of(batch)))
        transitions += out.transitions.structs(catalogue, out.columns)
        decisions += decided(out, catalogue)
    return transitions, decisions


def test_every_stage_is_reached(outcome: tuple[list[Transition], list[Decision]], catalogue: Catalogue) -> None:
    reached = {(transition.journey, transition.to_stage) for transition in outcome[0]}
    assert reached == {(journey.name, stage) for journey in catalogue.journeys for stage in journey.stages}


def test_the_loan_funnel_narrows(outcome: tuple[list[Transition], list[Decision]]) -> None:
    reached = Counter(transition.to_stage for transition in outcome[0] if transition.journey == "eloan")
    steps = ("aware", "interest", "apply", "verify", "submit", "approved", "signed", "drawn", "repaying", "settled")
    counts = [reached[step] for step in steps]
    assert all(later < earlier for earlier, later in pairwise(counts))


def test_every_rule_acts_and_every_gate_holds_something_back(
    outcome: tuple[list[Transition], list[Decision]], catalogue: Catalogue
) -> None:
    acted = Counter(decision.rule for decision in outcome[1] if decision.acted)
    assert [rule.name for rule in catalogue.rules if not acted[rule.name]] == []
    held_back = {decision.gate for decision in outcome[1] if not decision.acted}
    assert held_back >= {"consent", "do_not_disturb", "recovery", "cooldown"}


# --- files


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_file_gives_back_every_byte(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bank{suffix}"
    settings = replace(SMALL, events=60_000, broken=0.05)
    steps: list[int] = []
    stats = write_file(settings, path, steps.append)
    assert [one for batch in read_records(path) for one in sim_records(batch)] == flat(settings)
    assert (stats.records, stats.broken, stats.duplicates, stats.events) == (60_000, 3_000, 300, 56_700)
    assert stats.bytes == path.stat().st_size
    assert sum(steps) == 60_000
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="ends in"):
        write_file(SMALL, tmp_path / "bank.csv")
