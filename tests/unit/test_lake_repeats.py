"""What else the lake must survive: repeats another writer of the partition, times beyond the calendar."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import msgspec
import pytest

from models.catalogue import Catalogue, load
from models.outputs import BatchOutput
from sinks.lake import connect
from sinks.writer import Lake, LakeError
from tests.small_logs import (
    FEW_DAYS,
    SMALL,
    START,
    decided,
    lake_rows,
    outputs,
    random_records,
    records,
    small_catalogue,
)

NIGHT = '[[quiet_hours]]\nname = "night"\nkinds = ["marketing", "service"]\nfrom = "18:00"\nuntil = "10:00"\n'


@cache
def quiet_catalogue() -> Catalogue:
    """Of whose candidates many are held, and decided with a record that came long after theirs."""
    return load({SMALL.name: SMALL.read_text(encoding="utf-8"), "night.toml": NIGHT})


@pytest.fixture(scope="module")
def made() -> list[BatchOutput]:
    found = outputs(quiet_catalogue(), random_records(5, 600, FEW_DAYS))
    decisions = [one for output in found for one in decided(output, quiet_catalogue())]
    assert len([one for one in decisions if one.moment > one.evidence.offset]) > 10
    return found


def _write(path: Path, made: list[BatchOutput]) -> Lake:
    lake = Lake(path, quiet_catalogue())
    for output in made:
        lake.add(output)
    lake.commit()
    return lake


def test_a_replay_of_rows_that_still_wait_doubles_nothing(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path / "whole", made)
    _write(tmp_path / "again", [*made[:3], *made])
    assert lake_rows(tmp_path / "again") == lake_rows(tmp_path / "whole")


def test_a_replay_may_be_cut_otherwise(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path / "whole", made)
    _write(tmp_path / "cut", made[:3])
    _write(tmp_path / "cut", outputs(quiet_catalogue(), random_records(5, 600, FEW_DAYS), batch=77))
    assert lake_rows(tmp_path / "cut") == lake_rows(tmp_path / "whole")


def test_what_was_held_over_a_commit_is_no_repeat(tmp_path: Path, made: list[BatchOutput]) -> None:
    """Decisions whose evidence the lake has already, made by records that it has not."""
    small = outputs(quiet_catalogue(), random_records(5, 600, FEW_DAYS), batch=10)
    over = [
        number
        for number, output in enumerate(small)
        if any(one.evidence.offset < output.first_offset for one in decided(output, quiet_catalogue()))
    ]
    assert len(over) > 3
    _write(tmp_path / "whole", made)
    whole = lake_rows(tmp_path / "whole")
    for number in over[:: len(over) // 3]:
        place = tmp_path / str(number)
        _write(place, small[:number])
        _write(place, made)
        assert lake_rows(place) == whole


def test_a_writer_that_lost_its_partition_doubles_nothing_and_goes_on(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path / "whole", made)
    zombie, owner = Lake(tmp_path / "two", quiet_catalogue()), Lake(tmp_path / "two", quiet_catalogue())
    for lake, some in [(zombie, made[:3]), (owner, made[:2])]:
        for output in some:
            lake.add(output)
    owner.commit()
    zombie.commit()  # overtaken: it adds only what the owner has not
    for output in made[2:]:
        owner.add(output)
    owner.commit()
    assert lake_rows(tmp_path / "two") == lake_rows(tmp_path / "whole")


@pytest.mark.parametrize("received_at", [2**63 - 1, -(2**63), 10**17])
def test_a_time_beyond_the_calendar_stops_nobody(tmp_path: Path, received_at: int) -> None:
    events = [{"event": "login", "at": START + at, "received_at": received_at} for at in range(2)]
    _write(tmp_path, outputs(small_catalogue(), records(events)))
    with connect(tmp_path) as connection:
        found = connection.execute("SELECT DISTINCT year(received_at) FROM events").fetchall()
    assert found in ([(9999,)], [(1,)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_zone": "Europe/Paris"}, "is of time_zone Asia/Shanghai, not Europe/Paris; take another folder"),
        ({"name": "other"}, "is of catalogue small, not other; take another folder"),
    ],
)
def test_a_lake_is_of_one_catalogue_and_time_zone(tmp_path: Path, change: dict[str, str], message: str) -> None:
    Lake(tmp_path, small_catalogue())
    with pytest.raises(LakeError, match=message):
        Lake(tmp_path, msgspec.structs.replace(small_catalogue(), **change))


def test_a_lake_knows_what_it_has_lost(tmp_path: Path, made: list[BatchOutput]) -> None:
    """And what another worker has written meanwhile is not lost."""
    place, copy = tmp_path / "lake", tmp_path / "copy"
    lake, other = Lake(place, quiet_catalogue()), Lake(place, quiet_catalogue())
    topic, partition = made[0].columns.topic, made[0].partition
    assert lake.positions(topic, partition) == {}
    lake.add(made[0])
    lake.commit()
    shutil.copytree(place, copy)
    before = lake.positions(topic, partition)
    for output in made[1:]:
        lake.add(output)
    lake.commit()
    noted = lake.positions(topic, partition)
    assert before.keys() <= noted.keys() >= {"events", "transitions", "features"}
    assert other.behind(topic, partition, noted) == []
    older = Lake(copy, quiet_catalogue())
    assert older.behind(topic, partition, before) == []
    assert older.behind(topic, partition, noted) == [name for name in noted if noted[name] > before.get(name, -1)]
    assert older.behind(topic, partition, {"of an older version": 7}) == []
    shutil.rmtree(place / "transitions")
    assert Lake(place, quiet_catalogue()).behind(topic, partition, noted) == ["transitions"]


def test_a_commit_of_others_in_between_is_not_overlooked(tmp_path: Path, made: list[BatchOutput]) -> None:
    """A partition goes to another worker and comes back while the table goes on with a second one."""
    second = outputs(quiet_catalogue(), random_records(6, 300, FEW_DAYS), partition=1)
    _write(tmp_path / "whole", [*made, *second])
    first, other = Lake(tmp_path / "two", quiet_catalogue()), Lake(tmp_path / "two", quiet_catalogue())
    for lake, some in [(first, made[:2]), (other, made[:4]), (first, second), (first, made)]:
        for output in some:
            lake.add(output)
        lake.commit()
    assert lake_rows(tmp_path / "two") == lake_rows(tmp_path / "whole")
