"""What a worker has committed to the lake outlives a power failure: it was written through, in the right order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sinks.compaction import compact
from sinks.lake import connect
from sinks.writer import Lake, LakeError
from tests.small_logs import FEW_DAYS, outputs, random_records, small_catalogue


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths of all that is written through, in order."""
    found: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return found


def fill(lake: Lake) -> None:
    for output in outputs(small_catalogue(), random_records(3, 300, FEW_DAYS)):
        lake.add(output)
        lake.commit()


def assert_durable(lake: Path, synced: list[Path]) -> None:
    """Each file and each entry of a log; files before the entry that names them, which is the last of a table."""
    for table in lake.iterdir():
        files = set(table.glob("day=*/*.parquet"))
        entries = {entry for entry in table.glob("_delta_log/*.json") if int(entry.stem)}  # the first has no rows
        assert files | entries <= set(synced)
        for entry in entries:
            named = [file for file in files if file.name in entry.read_text()]
            assert all(synced.index(file) < synced.index(entry) for file in named)
            assert not named or entry.parent in synced[synced.index(entry) :]


def test_a_durable_lake_is_written_through(tmp_path: Path, synced: list[Path]) -> None:
    fill(Lake(tmp_path / "plain", small_catalogue()))
    assert synced == []
    fill(Lake(tmp_path / "lake", small_catalogue(), durable=True))
    assert synced
    assert_durable(tmp_path / "lake", synced)


def test_so_is_what_compaction_merges(tmp_path: Path, synced: list[Path]) -> None:
    fill(Lake(tmp_path / "lake", small_catalogue(), durable=True))
    compact(tmp_path / "lake", files_a_day=1)
    assert_durable(tmp_path / "lake", synced)


def test_what_could_not_be_written_through_is_tried_again_and_doubles_nothing(
    tmp_path: Path, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path / "lake", small_catalogue(), durable=True)
    (output,) = outputs(small_catalogue(), random_records(3, 300, FEW_DAYS))[:1]
    lake.add(output)
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".json"):
            raise OSError("no such disk any more")
        fsync(descriptor)

    with monkeypatch.context() as broken, pytest.raises(LakeError, match="no such disk"):
        broken.setattr(os, "fsync", fail)
        lake.commit()
    lake.commit()
    assert_durable(tmp_path / "lake", synced)
    with connect(tmp_path / "lake") as connection:
        found = connection.execute('SELECT count(*), count(DISTINCT "offset") FROM events').fetchall()
    assert found[0][0] == found[0][1] > 0
