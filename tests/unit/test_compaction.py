"""Compaction changes no row, goes on beside writers, and leaves on disk what still counts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable

from models.outputs import BatchOutput
from sinks.about import NoLakeError
from sinks.compaction import compact
from sinks.lake import TABLES
from sinks.writer import Lake
from tests.small_logs import FEW_DAYS, START, lake_rows, outputs, random_records, records, small_catalogue

CHECKPOINT_COMMITS = 100  # after which Delta's log begins anew


@pytest.fixture(scope="module")
def made() -> list[BatchOutput]:
    return outputs(small_catalogue(), random_records(5, 600, FEW_DAYS))


def write(lake: Lake, made: list[BatchOutput]) -> None:
    """Each output a commit, as a worker with little to do makes them."""
    for output in made:
        lake.add(output)
        lake.commit()


def on_disk(path: Path) -> set[str]:
    return {str(file) for name in TABLES for file in (path / name).rglob("*.parquet") if "_delta_log" not in file.parts}


def counting(path: Path) -> set[str]:
    return {uri.removeprefix("file://") for name in TABLES for uri in DeltaTable(path / name).file_uris()}


def test_it_keeps_rows_and_leaves_a_file_a_day(tmp_path: Path, made: list[BatchOutput]) -> None:
    write(Lake(tmp_path, small_catalogue()), made)
    before, files = lake_rows(tmp_path), counting(tmp_path)
    report = {one.table: one for one in compact(tmp_path, files_a_day=1)}
    assert lake_rows(tmp_path) == before
    table = DeltaTable(tmp_path / "events")
    assert len(table.file_uris()) == len(table.partitions()) == report["events"].after < report["events"].before
    assert on_disk(tmp_path) == files | counting(tmp_path), "who has listed the files may still read them"
    assert sum(one.removed for one in compact(tmp_path, files_a_day=1, keep_hours=0)) > 0
    assert on_disk(tmp_path) == counting(tmp_path) and lake_rows(tmp_path) == before


def test_a_writer_goes_on_meanwhile(tmp_path: Path, made: list[BatchOutput]) -> None:
    write(Lake(tmp_path / "alone", small_catalogue()), made)
    lake = Lake(tmp_path / "both", small_catalogue())
    write(lake, made[:3])
    writing = threading.Thread(target=write, args=(lake, made[3:]))
    writing.start()
    merged = 0
    while writing.is_alive():
        merged += sum(one.before > one.after for one in compact(tmp_path / "both", files_a_day=1))
    writing.join()
    assert merged
    assert lake_rows(tmp_path / "both") == lake_rows(tmp_path / "alone")


def test_the_log_of_many_commits_begins_anew(tmp_path: Path) -> None:
    """Else whoever opens a table reads a file a commit. Events of one minute, so that other tables are left alone."""
    log = records({"event": "login", "at": START + at} for at in range(CHECKPOINT_COMMITS + 2))
    made = outputs(small_catalogue(), log, batch=1)
    write(Lake(tmp_path, small_catalogue()), made)
    assert (tmp_path / "events" / "_delta_log" / "_last_checkpoint").exists()


def test_where_there_is_no_lake_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoLakeError, match="no lake at"):
        compact(tmp_path)
