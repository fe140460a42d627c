"""The lake: what is written can be read, once each, whatever is repeated or fails; and what the views show."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import DeltaError

from models.catalogue import Catalogue, load
from models.outputs import BatchOutput
from sinks.about import NoLakeError
from sinks.day_files import FEW_ROWS, HEAD
from sinks.lake import connect, views
from sinks.rows import RowMaker
from sinks.schemas import ABOUT
from sinks.writer import Lake, LakeError
from tests.small_logs import (
    DAY,
    FEW_DAYS,
    HOUR,
    MINUTE,
    START,
    LogRecord,
    lake_rows,
    outputs,
    random_records,
    records,
    small_catalogue,
)

BANK = """
[catalogue]
name = "bank"
time_zone = "Asia/Shanghai"
channels = ["app"]
[[event]]
name = "app_start"
[[event]]
name = "balance"
properties = { assets = "number", amount = "number" }
[[feature]]
name = "aum"
on = ["balance"]
aggregate = "last"
value = "assets"
[[tag]]
name = "aum_tier"
expression = "CASE WHEN aum >= 50000 THEN 2 ELSE 1 END"
[[journey]]
name = "visit"
stages = ["new", "back", "gone"]
[[journey.transition]]
from = ["new"]
on = ["app_start"]
to = "back"
[[journey.transition]]
from = ["back"]
on = ["balance"]
when = "assets = 0"
to = "gone"
[[rule]]
name = "welcome"
listens = { entered = "visit.back" }
action = "greet"
channel = "app"
cooldown = "1h"
"""
TIER = "CASE WHEN aum >= 50000 THEN 2 ELSE 1 END"


@pytest.fixture(scope="module")
def made() -> list[BatchOutput]:
    return outputs(small_catalogue(), random_records(5, 600, FEW_DAYS))


def _write(path: Path, made: list[BatchOutput], catalogue: Catalogue | None = None) -> Lake:
    lake = Lake(path, catalogue or small_catalogue())
    for output in made:
        lake.add(output)
    lake.commit()
    return lake


def _view(path: Path, query: str) -> list[Any]:
    with connect(path) as connection:
        return connection.execute(query).fetchall()


def test_everything_that_came_out_can_be_read(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path, made)
    counts = {name: len(rows) for name, rows in lake_rows(tmp_path).items()}
    assert counts == {
        "events": 600,
        "transitions": sum(len(output.transitions) for output in made),
        "decisions": sum(len(output.decisions) for output in made),
        "triggers": sum(int(output.decisions.acted.sum()) for output in made),
        "features": sum(len(snapshot) for output in made for snapshot in output.snapshots),
        "bad_rows": 0,
        "metrics": sum(len(output.metrics) for output in made),
    }
    assert all(count for name, count in counts.items() if name != "bad_rows")


@pytest.mark.parametrize(
    "name", ["my lake", "智策 é", "a%b", "a#b", "a?b", "a*b", "a[b]", "a{b,c}", "a'b", 'a"b', "a=b"]
)
def test_a_lake_lies_in_any_folder(name: str, tmp_path: Path, made: list[BatchOutput]) -> None:
    """Delta names files by percent-encoded paths; DuckDB takes paths as they are, but for globs."""
    _write(tmp_path / "plain", made[:1])
    _write(tmp_path / name, made[:1])
    (tmp_path / "axb").symlink_to(tmp_path / name)  # what a glob would find, too
    assert lake_rows(tmp_path / name) == lake_rows(tmp_path / "plain")


def test_a_lake_in_a_folder_named_as_a_day_is_refused(tmp_path: Path) -> None:
    """Of two days in the path of a file DuckDB takes the first: every row would be of that day."""
    Lake(tmp_path / "day=2026-01-01" / "lake", small_catalogue())
    with pytest.raises(NoLakeError, match="for the day of every row: rename it"):
        connect(tmp_path / "day=2026-01-01" / "lake")


def test_a_file_of_snapshots_has_the_columns_of_one_entity(tmp_path: Path, made: list[BatchOutput]) -> None:
    """The view has those of all, even if no file does."""
    lake = _write(tmp_path / "both", made)
    files = (tmp_path / "both" / "features").glob("*/*.parquet")
    profiles = [{*HEAD, *types} for types in RowMaker(lake.catalogue).types]
    assert {frozenset(pq.read_schema(file).names) for file in files} == set(map(frozenset, profiles))
    event = {"event": "transfer", "at": START, "properties": {"amount": 1, "direction": "in"}}
    _write(tmp_path / "customers", outputs(small_catalogue(), records([event])))
    both, customers = (_view(tmp_path / name, "DESCRIBE features") for name in ("both", "customers"))
    assert both == customers


def test_columns_without_nulls_are_required(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path, made)
    for file in (tmp_path / "features").glob("*/*.parquet"):
        rows = pq.read_table(file, partitioning=None)
        assert {field.name for field in rows.schema if field.nullable} == {
            name for name in rows.column_names if rows[name].null_count
        }


@pytest.mark.parametrize(("rows", "compression"), [(FEW_ROWS, "SNAPPY"), (FEW_ROWS + 1, "ZSTD")])
def test_a_file_of_few_rows_is_compressed_by_what_begins_faster(rows: int, compression: str, tmp_path: Path) -> None:
    event = {"event": "transfer", "at": START, "properties": {"amount": 1, "direction": "in"}}
    _write(tmp_path, outputs(small_catalogue(), records([event] * rows)))
    (file,) = (tmp_path / "events").glob("*/*.parquet")
    of_file = pq.read_metadata(file)
    assert of_file.num_rows == rows and of_file.row_group(0).column(0).compression == compression


def test_a_replay_doubles_nothing(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path, made)
    before = lake_rows(tmp_path)
    _write(tmp_path, made)
    assert lake_rows(tmp_path) == before


def test_a_replay_adds_what_a_shorter_run_has_not_seen(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path / "short", made[:3])
    _write(tmp_path / "short", made)
    _write(tmp_path / "whole", made)
    assert lake_rows(tmp_path / "short") == lake_rows(tmp_path / "whole")


def _fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Let the `number`th append from now fail."""
    append = Lake._append
    calls: list[str] = []

    def failing(self: Lake, name: str, *rest: Any) -> None:
        calls.append(name)
        if len(calls) == number:
            raise error
        append(self, name, *rest)

    monkeypatch.setattr(Lake, "_append", failing)


def test_a_crash_between_two_tables_is_made_up_for(
    tmp_path: Path, made: list[BatchOutput], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "whole", made)
    with monkeypatch.context() as patch:
        _fail_at(patch, 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            _write(tmp_path / "crashed", made)
    assert lake_rows(tmp_path / "crashed") != lake_rows(tmp_path / "whole")
    _write(tmp_path / "crashed", made)
    assert lake_rows(tmp_path / "crashed") == lake_rows(tmp_path / "whole")


def test_a_failed_commit_keeps_the_rows(
    tmp_path: Path, made: list[BatchOutput], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "whole", made)
    lake = Lake(tmp_path / "failed", small_catalogue())
    for output in made[:4]:
        lake.add(output)
    with monkeypatch.context() as patch:
        _fail_at(patch, 2, DeltaError("no space left"))
        with pytest.raises(LakeError, match="no space left"):
            lake.commit()
    for output in made[4:]:
        lake.add(output)
    lake.commit()
    assert lake_rows(tmp_path / "failed") == lake_rows(tmp_path / "whole")


def test_every_view_of_the_small_catalogue_answers(tmp_path: Path, made: list[BatchOutput]) -> None:
    _write(tmp_path, made)
    with connect(tmp_path) as connection:
        for name, text in views():
            if "features.aum" not in text:
                connection.execute(f"FROM {name}").fetchall()


def test_views_show_the_right_numbers(tmp_path: Path) -> None:
    bank = load({"bank.toml": BANK})
    day_3 = START + 2 * DAY
    log = [
        {"event": "app_start", "at": START, "channel": "app"},
        {"event": "app_start", "at": START + MINUTE, "customer_id": "c2"},
        {"event": "balance", "at": START + HOUR, "properties": {"assets": 60_000, "amount": 5}},
        {"event": "balance", "at": START + HOUR, "customer_id": "c2", "properties": {"assets": 100, "amount": 2}},
        {"event": "app_start", "at": START + DAY},
        {"event": "balance", "at": day_3, "properties": {"assets": 40_000}},
    ]
    broken = records(log)
    broken.append(broken[-1]._replace(offset=len(broken), value=b"{"))
    _write(tmp_path, outputs(bank, broken), bank)
    days = "SELECT CAST(day AS VARCHAR), aum_tier, customers, aum FROM aum"
    assert _view(tmp_path, days) == [
        ("2026-01-01", 1.0, 1, 100.0),
        ("2026-01-01", 2.0, 1, 60_000.0),
        ("2026-01-02", 1.0, 1, 100.0),
        ("2026-01-02", 2.0, 1, 60_000.0),
        ("2026-01-03", 1.0, 2, 40_100.0),
    ]
    assert _view(tmp_path, "SELECT mau FROM mau") == [(2,)]
    assert _view(tmp_path, "SELECT customers, day_1, day_7 FROM retention") == [(2, 0.5, 0.0)]
    assert _view(tmp_path, "SELECT stage, entities, share FROM funnel") == [
        ("new", 2, 1.0),
        ("back", 2, 1.0),
        ("gone", 0, 0.0),
    ]
    assert _view(tmp_path, "SELECT rule, candidates, triggers, stopped FROM triggers_by_rule") == [("welcome", 2, 2, 0)]
    assert _view(tmp_path, "SELECT records FROM bad_rows_by_reason") == [(1,)]
    assert _view(tmp_path, "SELECT from_stage, to_stage, transitions FROM stage_transitions ORDER BY ALL") == [
        ("new", "back", 2),
        (None, "new", 2),
    ]
    balances = "SELECT events, customers, amount FROM metrics_by_minute WHERE event = 'balance'"
    assert _view(tmp_path, balances) == [(2, 2, 7.0), (1, 1, 0.0)]
    assert _view(tmp_path, "SELECT customer_id, aum FROM customers ORDER BY 1") == [("c1", 40_000.0), ("c2", 100.0)]


@pytest.mark.parametrize(
    ("value", "has"),
    [("amount", {"aum", "aum_by_month", "churn"}), ("channel", set()), ("amount > 1", set())],
)
def test_a_view_whose_feature_has_another_type_is_left_out(value: str, has: set[str], tmp_path: Path) -> None:
    bank = load({"bank.toml": BANK.replace('value = "assets"', f'value = "{value}"').replace(TIER, "aum IS NULL")})
    _write(tmp_path, outputs(bank, records([{"event": "balance", "at": START, "properties": {"amount": 5}}])), bank)
    with connect(tmp_path) as connection:
        made = {name for (name,) in connection.execute("SELECT view_name FROM duckdb_views()").fetchall()}
        assert made & {"aum", "aum_by_month", "churn"} == has
        for name in made & {name for name, _ in views()}:
            connection.execute(f"FROM {name}").fetchall()


def test_features_may_have_the_names_that_views_use(tmp_path: Path) -> None:
    names = ("days", "ended", "midnights", "features", "events", "snapshots", "known", "until", "seen", "assets_2")
    more = "".join(f'[[feature]]\nname = "{name}"\non = ["balance"]\naggregate = "count"\n' for name in names)
    bank = load({"bank.toml": BANK + more})
    _write(tmp_path, outputs(bank, records([{"event": "balance", "at": START, "properties": {"assets": 5}}])), bank)
    with connect(tmp_path) as connection:
        for name, _ in views():
            connection.execute(f"FROM {name}").fetchall()
    assert _view(tmp_path, "SELECT customers, aum FROM aum") == [(1, 5.0)]


TICK = (("zhice", b"tick"),)
AUM_BY_DAY = "SELECT day, sum(customers), sum(aum) FROM aum GROUP BY day ORDER BY day"
AUM_BY_DAY_RECOMPUTED = """
    WITH balances AS (
        SELECT *, record_time::DATE AS known, (properties ->> 'assets')::DOUBLE AS assets FROM events
    ),
    last AS (
        SELECT days.known AS day, customer_id, arg_max(assets, "offset") AS aum
        FROM (SELECT DISTINCT known FROM balances) AS days JOIN balances ON balances.known <= days.known
        GROUP BY ALL
    )
    SELECT day, count(*), sum(aum) FROM last GROUP BY day ORDER BY day
"""


@pytest.mark.parametrize("end", [2 * DAY, 2 * DAY + HOUR // 2, 3 * DAY - HOUR // 2, 3 * DAY])
@pytest.mark.parametrize("ticks", [0, 3 * HOUR])
def test_aum_is_of_the_day_on_which_it_was_known(end: int, ticks: int, tmp_path: Path) -> None:
    """Many changes are in the last hour of a day, whose snapshot is as of midnight; a log may end at midnight."""
    bank, random = load({"bank.toml": BANK}), Random(end + ticks)
    times = sorted(random.choice([*range(0, end, HOUR // 2), DAY - MINUTE, 2 * DAY - MINUTE]) for _ in range(60))
    log = records(
        {"event": "balance", "customer_id": f"c{random.randrange(9)}", "at": START + at, "properties": {"assets": at}}
        for at in [*times, end]
    )
    if ticks:
        log.append(LogRecord(len(log), log[-1].timestamp + ticks, None, None, TICK))
    _write(tmp_path, outputs(bank, log), bank)
    assert _view(tmp_path, AUM_BY_DAY) == _view(tmp_path, AUM_BY_DAY_RECOMPUTED)


@pytest.mark.parametrize(
    ("zone", "night"),
    [
        ("Asia/Shanghai", "2026-01-01"),
        ("America/Havana", "2024-11-02"),  # 00:00 is shown twice, and the first ends the day
        ("America/Havana", "2024-03-09"),  # 00:00 is never shown: the day ends at 01:00
        ("America/Sao_Paulo", "2018-11-03"),  # the same
        ("America/Sao_Paulo", "2018-02-17"),  # 23:00 is shown twice
        ("America/St_Johns", "2010-11-06"),  # from 00:01 back to 23:01: the second 00:00 ends the day
        ("Pacific/Apia", "2011-12-29"),  # the day after was left out
    ],
)
def test_a_day_ends_once_however_clocks_are_set(zone: str, night: str, tmp_path: Path) -> None:
    bank = load({"bank.toml": BANK.replace("Asia/Shanghai", zone)})
    evening = int(datetime.fromisoformat(f"{night} 21:30").replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000
    balances = (
        {"event": "balance", "at": evening + at, "properties": {"assets": at}} for at in range(0, 6 * HOUR, HOUR // 2)
    )
    _write(tmp_path, outputs(bank, records(balances)), bank)
    assert len(_view(tmp_path, AUM_BY_DAY)) == 2
    assert _view(tmp_path, AUM_BY_DAY) == _view(tmp_path, AUM_BY_DAY_RECOMPUTED)


def test_a_changed_catalogue_adds_its_columns(tmp_path: Path) -> None:
    changed = BANK.replace('name = "aum_tier"', 'name = "tier"')
    Lake(tmp_path, load({"bank.toml": BANK}))
    Lake(tmp_path, load({"bank.toml": changed}))
    columns = {name for name, *_ in _view(tmp_path, "DESCRIBE features")}
    assert {"aum", "aum_tier", "tier"} <= columns


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    changed = BANK.replace(TIER, "aum >= 50000")
    Lake(tmp_path, load({"bank.toml": BANK}))
    described = (tmp_path / ABOUT).read_bytes()
    with pytest.raises(LakeError, match="has aum_tier as double, not boolean; give the new one another name"):
        Lake(tmp_path, load({"bank.toml": changed}))
    assert (tmp_path / ABOUT).read_bytes() == described, "it is still the lake of the catalogue before"
