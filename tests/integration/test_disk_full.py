"""The lake on a disk that is full: nothing is written twice or lost when there is room again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.decoding import Decoder
from models.layout import Layout
from models.records import Record, Records
from models.shard import Shard
from sinks.lake import connect
from sinks.writer import Lake, LakeError
from streams.catalogues import read_catalogue
from streams.simulate import SimulationSettings, records

EVENTS = 40_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_an_error_and_the_rows_wait(small_disk: Path) -> None:
    catalogue = read_catalogue()
    layout = Layout.compile(catalogue)
    lake, decoder = Lake(small_disk / "lake", catalogue), Decoder(layout.event_layout)
    shard = Shard(layout, "events", 0)
    for timestamps, keys, values in records(SimulationSettings(events=EVENTS, customers=500, days=3)):
        rows = enumerate(zip(timestamps.tolist(), keys, values, strict=True), shard.next_offset)
        log = [Record(offset, *row) for offset, row in rows]
        lake.add(shard.process(decoder.columns("events", 0, Records.of(log))))
    for _ in range(2):
        with pytest.raises(LakeError, match="No space left on device"):
            lake.commit()
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    lake.commit()
    with connect(small_disk / "lake") as asked:
        counts = asked.execute(
            'SELECT count(*), count(DISTINCT "offset") FROM (SELECT "offset" FROM events UNION ALL '
            'SELECT "offset" FROM bad_rows)'
        ).fetchall()
    assert counts == [(shard.next_offset, shard.next_offset)]
