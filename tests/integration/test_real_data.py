"""Real logs through the commands that an analyst types: published figures come out, and a replay is a backtest.

The expected figures are those that others published for these data sets, see ../shared/data/README.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worked import assert_same_lakes

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
CATALOGUES = ROOT / "tests" / "catalogues"
ZHICE = Path(sys.executable).parent / "zhice"
COMMAND_TIMEOUT_S = 200
# Two years have 700 days, each of them a file in each table: written once, not in parts that are merged in the end.
ONE_COMMIT = {"replay": ("--checkpoint-s", "300"), "backtest": ()}

DOMESTIC = """
    SELECT "id" AS event_id, "concept:name" AS event, "case:concept:name" AS customer_id,
           "time:timestamp" AS event_time, "(case)_Amount" AS amount, "org:role" AS role
    FROM source
    ORDER BY event_time, customer_id, _seq
"""
INTERNATIONAL = """
    SELECT "id" AS event_id, "concept:name" AS event, "(case)_Permit_ID" AS customer_id,
           "time:timestamp" AS event_time, "case:concept:name" AS declaration, "(case)_Amount" AS amount,
           "(case)_Permit_RequestedBudget" AS budget, "org:role" AS role
    FROM source
    ORDER BY event_time, customer_id, _seq, declaration
"""
# Zhice takes no event before 2000: the cohort moves by ten years. Its days are noon in its own zone.
CDNOW = """
    SELECT 'purchase' AS event, users_id AS customer_id, amt AS amount, cds,
           timezone('America/New_York', date + INTERVAL 10 YEAR + INTERVAL 12 HOUR) AS event_time
    FROM source
    ORDER BY event_time, users_id
"""


@dataclass(frozen=True)
class EventLog:
    """A log of declarations, and what is published of it: how often a stage was entered."""

    file: str
    catalogue: str
    sql: str
    statuses: dict[str, int]
    declarations: int
    entered: dict[str, int]
    never_approved: int | None = None


LOGS = [
    EventLog(
        file="DomesticDeclarations.csv.gz",
        catalogue="bpi2020_domestic.toml",
        sql=DOMESTIC,
        statuses={"applied": 55_628},
        declarations=10_357,
        entered={
            "approved_by_administration": 8061,
            "rejected_by_administration": 936,
            "approved_by_pre_approver": 685,
            "rejected_by_pre_approver": 86,
            "rejected_by_budget_owner": 57,
            "rejected_by_supervisor": 286,
        },
        never_approved=419,
    ),
    EventLog(
        file="InternationalDeclarations.csv.gz",
        catalogue="bpi2020_international.toml",
        sql=INTERNATIONAL,
        statuses={"applied": 68_658, "duplicate": 2_069},  # a permit's steps, in each of its declarations
        declarations=6_323,
        entered={
            "approved_by_administration": 4944,
            "rejected_by_administration": 1519,
            "approved_by_supervisor": 6182,
            "rejected_by_supervisor": 123,
            "approved_by_director": 252,
            "rejected_by_director": 4,
        },
    ),
]


@pytest.mark.parametrize("log", LOGS, ids=["domestic", "international"])
def test_published_figures_of_bpi2020(log: EventLog, tmp_path: Path) -> None:
    source, catalogue = data("bpi2020", log.file), str(CATALOGUES / log.catalogue)
    replayed, backtested = tmp_path / "replayed", tmp_path / "backtested"
    # the answer does not depend on where the machine stands
    common = [source, "--sql", log.sql, "--catalogue", catalogue]
    zhice("replay", *common, "--lake", replayed, *ONE_COMMIT["replay"], TZ="Asia/Shanghai")
    zhice("backtest", *common, "--lake", backtested, *ONE_COMMIT["backtest"], TZ="UTC")

    assert statuses(replayed) == log.statuses
    stages = entered(replayed)
    assert {name: stages[name] for name in log.entered} == log.entered
    declarations, approved = finally_approved(replayed)
    assert declarations == log.declarations
    assert log.never_approved in (None, declarations - approved)
    assert_same_lakes(replayed, backtested)
    zhice("verify", "--lake", replayed, "--catalogue", catalogue)


def statuses(lake: Path) -> dict[str, int]:
    """How many events are applied, and how many duplicates."""
    rows = ask(lake, "SELECT status, count(*) AS events FROM events GROUP BY status")
    return {row["status"]: row["events"] for row in rows}


def entered(lake: Path) -> dict[str, int]:
    """How often declarations entered each stage; a final approval is an approval."""
    rows = ask(
        lake,
        """
        SELECT replace(to_stage, 'final_', '') AS stage, count(*) AS declarations
        FROM transitions
        WHERE journey = 'declaration' AND cause = 'event'
        GROUP BY ALL
        """,
    )
    return {row["stage"]: row["declarations"] for row in rows}


def finally_approved(lake: Path) -> tuple[int, int]:
    """(declarations, those of them that ever had a final approval)."""
    (row,) = ask(
        lake,
        """
        SELECT count(*) AS declarations, count(*) FILTER (approved) AS approved
        FROM (
            SELECT customer_id, entity_id, bool_or(to_stage LIKE 'final_approved%') AS approved
            FROM transitions
            WHERE journey = 'declaration'
            GROUP BY ALL
        )
        """,
    )
    return row["declarations"], row["approved"]


@pytest.mark.parametrize("command", ["replay", "backtest"])
def test_every_feature_of_cdnow_is_right(command: str, tmp_path: Path) -> None:
    source, catalogue, lake = data("cdnow", "purchases.csv.gz"), str(CATALOGUES / "cdnow.toml"), tmp_path / "lake"
    zhice(command, source, "--sql", CDNOW, "--catalogue", catalogue, "--lake", lake, *ONE_COMMIT[command])
    report = json.loads(zhice("verify", "--lake", lake, "--catalogue", catalogue, "--json"))
    assert report["mismatches"] == []
    assert (report["customers"], report["features"]) == (23_570, 23)
    assert report["compared"] == 23_570 * 23
    total = "round(sum(amount_lifetime), 2) AS amount, sum(purchases_lifetime)::BIGINT AS purchases"
    (row,) = ask(lake, f"SELECT {total} FROM latest_features")
    assert row == {"amount": 2_500_315.63, "purchases": 69_659}


def data(folder: str, file: str) -> Path:
    """A file of the shared data; where it is absent, the test is skipped."""
    path = DATA / folder / file
    if not path.exists():
        pytest.skip(f"NOT TESTED on real data: there is no {path}")
    return path


def zhice(*arguments: str | Path, **environment: str) -> str:
    """What the command prints. It must end well; its time is shown by pytest -s."""
    started = time.monotonic()
    done = subprocess.run(
        [ZHICE, *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, f"zhice {arguments[0]}: {done.stdout}{done.stderr}"
    print(f"{time.monotonic() - started:5.1f} s  zhice {arguments[0]}: {done.stdout.strip()[:160]}")
    return done.stdout


def ask(lake: Path, query: str) -> list[dict[str, Any]]:
    """The answer of `zhice sql`."""
    answer: list[dict[str, Any]] = json.loads(zhice("sql", query, "--lake", lake, "--json"))
    return answer
