"""Compaction: the many small files of a day become few, and files that no longer count are removed in time.

A worker commits every few seconds, so that a day of a table is thousands of files. Merging them changes no row, and may
run beside workers: Delta lets appends go on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from sinks.about import about_lake
from sinks.day_files import PARQUET, SNAPSHOTS
from sinks.durable import sync, sync_log
from sinks.lake import TABLES
from sinks.schemas import FEATURES
from sinks.writer import LakeError

FILES_A_DAY: Final = 8  # on average, beyond which merging them is worth the work


class Compacted(NamedTuple):
    """What became of a table: its files before and after, and how many that no longer count were removed."""

    table: str
    before: int
    after: int
    removed: int


def compact(path: str | Path, files_a_day: int = FILES_A_DAY, keep_hours: int | None = None) -> list[Compacted]:
    """Merge the files of each table that has more than so many a day; then remove those that have long not counted.

    `keep_hours`: for how long; who has listed a table's files must have read them by then. None removes nothing.
    Raises NoLakeError, LakeError.
    """
    about_lake(Path(path))
    try:
        return [_compact(Path(path) / name, files_a_day, keep_hours) for name in TABLES]
    except (OSError, DeltaError) as error:
        raise LakeError(f"the lake at {path} cannot be compacted: {error}") from error


def _compact(place: Path, files_a_day: int, keep_hours: int | None) -> Compacted:
    delta = DeltaTable(place)
    files = delta.file_uris()
    if len(files) > files_a_day * len({os.path.dirname(file) for file in files}):
        before = delta.version()
        delta.optimize.compact(writer_properties=SNAPSHOTS if place.name == FEATURES else PARQUET)
        merged = [Path(unquote(file)) for file in set(delta.file_uris()) - set(files)]
        sync(*merged, *{file.parent for file in merged})
        sync_log(place, before, delta.version())
    removed = [] if keep_hours is None else delta.vacuum(keep_hours, dry_run=False, enforce_retention_duration=False)
    return Compacted(place.name, len(files), len(delta.file_uris()), len(removed))
