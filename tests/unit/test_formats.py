"""What released versions wrote is read by this one: state, and lake, which this version also goes on with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.layout import Layout
from models.pages import PAGE_FORMAT, PageError
from models.shard import Shard
from sinks.lake import connect
from sinks.verify import verify
from sinks.writer import Lake
from tests.fixtures.__main__ import COUNT, DENSITY, SEED
from tests.small_logs import TOPIC, outputs, random_records, records, small_catalogue

FIXTURES = Path(__file__).parents[1] / "fixtures"
OTHER_CELLS = ("0.1.0-cells-as-declared", "0.1.0-format-1")  # their state is migrated, though the catalogue is the same
VERSIONS = sorted(folder.name for folder in FIXTURES.iterdir() if (folder / "state.msgpack").exists())


def stored(version: str) -> list[tuple[bytes, bytes]]:
    blob = (FIXTURES / version / "state.msgpack").read_bytes()
    return msgspec.msgpack.decode(blob, type=list[tuple[bytes, bytes]])


def test_there_are_fixtures() -> None:
    assert VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_state_is_read(version: str) -> None:
    layout = Layout.compile(small_catalogue())
    shard = Shard.restore(layout, TOPIC, 0, stored(version))
    assert shard.next_offset == COUNT
    assert all(line.endswith(" is kept") for line in shard.migration)
    assert (shard.migration != []) == (version in OTHER_CELLS)
    with connect(FIXTURES / version / "lake") as lake:
        query = "SELECT customer_id, transfer_out_7d, login_count_1d, activity_stage FROM customers"
        known = {customer: values for customer, *values in lake.execute(query).fetchall()}
    assert len(known) == 12
    for customer, values in known.items():
        profile: Any = shard.profile(customer)
        features = [profile["features"][name] for name in ("transfer_out_7d", "login_count_1d")]
        assert [*features, profile["stages"]["activity"]] == values
    assert sum(login_count for _, login_count, _ in known.values()) > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lake_is_read_and_goes_on(version: str, tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / version / "lake", tmp_path / "lake")
    assert verify(tmp_path / "lake", small_catalogue()).mismatches == []
    lake = Lake(tmp_path / "lake", small_catalogue())
    log = random_records(SEED, DENSITY)[:COUNT]
    later = records([{"event": "login", "at": log[-1].timestamp + n, "event_id": f"later{n}"} for n in range(5)])
    log += [one._replace(offset=COUNT + n) for n, one in enumerate(later)]
    for output in outputs(small_catalogue(), log):
        lake.add(output)
    lake.commit()
    with connect(tmp_path / "lake") as connection:
        assert connection.execute('SELECT count(*), max("offset") FROM events').fetchall() == [(COUNT + 5, COUNT + 4)]
    assert verify(tmp_path / "lake", small_catalogue()).mismatches == []


def test_a_page_of_another_width_is_refused() -> None:
    """A kernel would read beyond its bits."""
    *pages, closing = stored(VERSIONS[-1])
    changed = [(key, _wider(value) if key[:1] in b"ci" else value) for key, value in pages]
    with pytest.raises(PageError, match="it is of another catalogue"):
        Shard.restore(Layout.compile(small_catalogue()), TOPIC, 0, [*changed, closing])


def _wider(page: bytes) -> bytes:
    format_, width, *rest = msgspec.msgpack.decode(page)
    return msgspec.msgpack.encode([format_, width + 8, *rest])


def test_state_of_a_later_format_is_refused() -> None:
    records_ = stored(VERSIONS[-1])
    closing = msgspec.msgpack.decode(records_[-1][1])
    changed = msgspec.msgpack.encode({**closing, "format": PAGE_FORMAT + 1})
    with pytest.raises(PageError, match=f"format {PAGE_FORMAT + 1}; this version reads 1 and {PAGE_FORMAT}"):
        Shard.restore(Layout.compile(small_catalogue()), TOPIC, 0, [*records_[:-1], (records_[-1][0], changed)])
