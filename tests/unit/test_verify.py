"""Verify: nothing to report on what the engine made, and what it reports when a value is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.catalogue import load
from models.outputs import BatchOutput, Snapshot
from models.plan import SnapshotColumn
from sinks.about import NoLakeError
from sinks.lake import connect
from sinks.verify import Mismatch, verify
from sinks.writer import Lake, LakeError
from tests.small_logs import DAY, SMALL, START, outputs, random_records, records, small_catalogue


def _lake(path: Path, made: list[BatchOutput]) -> None:
    lake = Lake(path, small_catalogue())
    for output in made:
        lake.add(output)
    lake.commit()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_log_has_no_mismatch(tmp_path: Path, seed: int) -> None:
    _lake(tmp_path, outputs(small_catalogue(), random_records(seed, 3000)))
    report = verify(tmp_path, small_catalogue())
    assert report.mismatches == []
    assert (report.customers, report.features) == (12, 9)
    assert report.entities > report.customers
    assert report.compared == 12 * 7 + (report.entities - 12) * 2
    with connect(tmp_path) as connection:  # the log has what verify must get right
        kinds = connection.execute("SELECT status, late, count(*) FROM events GROUP BY ALL").fetchall()
    counts = {kind[:2]: kind[2] for kind in kinds}
    assert all(counts[kind] > 30 for kind in [("applied", False), ("applied", True), ("duplicate", False)])


def test_a_log_that_goes_on_is_compared_up_to_the_last_snapshot(tmp_path: Path) -> None:
    made = outputs(small_catalogue(), random_records(3, 1000))
    _lake(tmp_path, made[:-1])
    report = verify(tmp_path, small_catalogue())
    assert report.mismatches == []
    assert report.customers == 12


def test_a_changed_number_is_reported(tmp_path: Path) -> None:
    events = [{"event": "transfer", "at": START, "properties": {"amount": 30.5, "direction": "out"}}]
    made = outputs(small_catalogue(), records(events))
    values = made[-1].snapshots[0].rows[0, SnapshotColumn.VALUES :]
    assert values[1:3].tolist() == [30.5, 30.5]  # transfer_out_7d, transfer_least_1h
    values[1] += 1e-6
    values[2] = float("nan")
    _lake(tmp_path, made)
    assert verify(tmp_path, small_catalogue()).mismatches == [
        Mismatch("customer", "c1", None, "transfer_out_7d", 30.500001, 30.5),
        Mismatch("customer", "c1", None, "transfer_least_1h", None, 30.5),
    ]


def test_an_entity_without_a_snapshot_is_reported(tmp_path: Path) -> None:
    events = [{"event": "loan_apply", "at": START, "properties": {"application_id": "a1", "requested": 5}}]
    made = outputs(small_catalogue(), records(events))
    (taken,) = made[-1].snapshots  # of the customer, then of the application
    texts = [one.take(slice(1)) for one in (taken.customers, taken.entity_ids)]
    made[-1].snapshots = [Snapshot(taken.entities[:1], taken.as_of[:1], taken.offset[:1], *texts, taken.rows[:1])]
    _lake(tmp_path, made)
    assert verify(tmp_path, small_catalogue()).mismatches == [
        Mismatch("loan_application", "c1", "a1", "requested_amount", None, 5.0),
        Mismatch("loan_application", "c1", "a1", "steps_24h", None, 1.0),
    ]


def test_strings_and_ties_are_recomputed(tmp_path: Path) -> None:
    transfers = [("in", START), ("sideways", START), ("in", START - DAY)]
    events = [
        {"event": "transfer", "at": START, "event_time": time, "properties": {"amount": amount, "direction": direction}}
        for amount, (direction, time) in enumerate(transfers)
    ]
    _lake(tmp_path, outputs(small_catalogue(), records(events)))
    assert verify(tmp_path, small_catalogue()).mismatches == []
    with connect(tmp_path) as connection:
        row = connection.execute("SELECT last_direction, first_amount, directions_30d FROM customers").fetchall()
    assert row == [("(other)", 2.0, 1.0)]


def test_of_a_key_that_comes_twice_the_last_counts(tmp_path: Path) -> None:
    """As in the engine, whatever is first, NULL or not."""
    events = [{"event": "transfer", "at": START + at, "properties": {"amount": 1, "more": at}} for at in range(3)]
    log = records(events)
    twice = (b'"amount": 5, "direction": "in", "direction": "out"', b'"amount": null', b'"amount": 2.5')
    log = [
        one._replace(value=(one.value or b"").replace(b'"more": %d' % at, text))
        for at, (one, text) in enumerate(zip(log, twice, strict=True))
    ]
    _lake(tmp_path, outputs(small_catalogue(), log))
    assert verify(tmp_path, small_catalogue()).mismatches == []
    with connect(tmp_path) as connection:
        assert connection.execute("SELECT transfer_out_7d FROM customers").fetchall() == [(5.0,)]


def test_another_catalogue_is_said(tmp_path: Path) -> None:
    _lake(tmp_path, outputs(small_catalogue(), records([{"event": "login", "at": START}])))
    text = SMALL.read_text(encoding="utf-8")
    other = load({"small.toml": text.replace('name = "small"', 'name = "other"', 1)})
    with pytest.raises(LakeError, match="is of catalogue small, not other; name its own by --catalogue"):
        verify(tmp_path, other)
    elsewhere = load({"small.toml": text.replace("Asia/Shanghai", "Europe/Berlin")})
    with pytest.raises(LakeError, match="is of time_zone Asia/Shanghai, not Europe/Berlin; name its own"):
        verify(tmp_path, elsewhere)
    renamed = load({"small.toml": text.replace("transfer_out_7d", "transfers_out")})
    with pytest.raises(LakeError, match=f"no DOUBLE transfers_out as version {renamed.version} has"):
        verify(tmp_path, renamed)


def test_a_lake_without_snapshots_is_not_right(tmp_path: Path) -> None:
    """Nothing was compared, which is no reason to believe it."""
    made = outputs(small_catalogue(), records([{"event": "login", "at": START}]))
    _lake(tmp_path, made[:-1])
    with pytest.raises(LakeError, match="has no snapshots, so there is nothing to compare"):
        verify(tmp_path, small_catalogue())


def test_no_lake(tmp_path: Path) -> None:
    with pytest.raises(NoLakeError, match="there is no lake at"):
        verify(tmp_path / "nowhere", small_catalogue())
