"""What commands print: data as it is, whatever a customer or a catalogue put into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.catalogue import load
from sinks.verify import Mismatch, VerifyReport
from sinks.writer import Lake
from streams.cli import main
from streams.show import show_verification
from tests.small_logs import START, outputs, records

ODD = "[/x] [red]c :smile:"
BANK = """
[catalogue]
name = "bank"
channels = ["app"]
[[event]]
name = "pay"
properties = { kind = ["[/b] :smile:", "b"] }
[[feature]]
name = "kind_last"
label = "[/b] [bold]:smile:"
on = ["pay"]
aggregate = "last"
value = "kind"
"""


def printed(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.exception
    return result.output


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    bank, place = load({"bank.toml": BANK}), tmp_path_factory.mktemp("lake")
    events = [
        {"event": "pay", "at": START, "customer_id": customer, "properties": {"kind": "[/b] :smile:"}}
        for customer in (ODD, "\x1b[31m\r")
    ]
    writer = Lake(place, bank)
    for output in outputs(bank, records(events)):
        writer.add(output)
    writer.commit()
    return str(place)


def test_data_is_not_taken_as_markup(lake: str, tmp_path: Path) -> None:
    assert ODD in printed("sql", "--lake", lake, "SELECT customer_id FROM customers")
    assert ":smile: [/b]" in printed("sql", "--lake", lake, 'SELECT 1 AS ":smile: [/b]"')
    profile = printed("profile", "--lake", lake, ODD)
    assert all(word in " ".join(profile.split()) for word in ("[/x] [red]c", ":smile:", "[/b] :smile:"))
    (file := tmp_path / "bank.toml").write_text(BANK)
    assert "[/b] [bold]:smile:" in printed("catalogue", "show", str(file))


def test_data_does_not_steer_the_terminal(lake: str) -> None:
    shown = printed("sql", "--lake", lake, "SELECT customer_id FROM customers")
    assert r"\x1b[31m\x0d" in shown and "\x1b" not in shown
    unknown = CliRunner().invoke(main, ["profile", "--lake", lake, "\x1b[31mnobody"])
    assert r"no customer \x1b[31mnobody" in unknown.output


def test_numbers_of_a_query_are_as_they_are(lake: str) -> None:
    shown = printed("sql", "--lake", lake, "SELECT 2024 AS year, 1234567 AS number, 1234.5::DOUBLE AS share")
    assert "│ 2024 │ 1234567 │ 1234.50 │" in shown


@pytest.mark.parametrize("value", ["TIME", "[TIME]", "{'a': TIME}"])
@pytest.mark.parametrize(("zone", "at"), [("Asia/Shanghai", "9999-12-31 23:59"), ("America/Lima", "0001-01-01 00:00")])
def test_a_time_that_python_cannot_hold_is_one_line(zone: str, at: str, value: str, lake: str) -> None:
    time = f"TIMESTAMPTZ '{at}+00'"
    query = f"SET TimeZone = '{zone}'; SELECT {value.replace('TIME', time)} AS at"
    result = CliRunner().invoke(main, ["sql", "--lake", lake, query])
    assert result.exit_code == 1 and result.output.startswith("zhice: a time of the answer is not in the years")
    assert "00" in printed("sql", "--lake", lake, query.replace(" AS at", "::VARCHAR AS at"))


def test_columns_of_one_name_are_all_in_the_json(lake: str) -> None:
    query = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    assert json.loads(printed("sql", "--lake", lake, "--json", query)) == [{"a": 1, "a_1": 2, "a_1_1": 3, "a_2": 4}]


@pytest.mark.parametrize("query", ["", "  ", ";", "/* nothing */"])
def test_a_query_without_a_statement_is_wrong_usage(query: str, lake: str) -> None:
    result = CliRunner().invoke(main, ["sql", "--lake", lake, query])
    assert result.exit_code == 2 and "QUERY holds no statement" in result.output


def test_columns_that_are_too_narrow_to_read_stand_below_each_other(lake: str) -> None:
    wide = ", ".join(f"{number} AS column_{number}" for number in range(100, 140))
    shown = [line.split() for line in printed("sql", "--lake", lake, f"SELECT {wide} FROM range(2)").splitlines()]
    assert shown.count(["│", "column_139", "│", "139", "│"]) == 2 and ["row", "2"] in shown
    assert printed("sql", "--lake", lake, f"SELECT {wide} WHERE false") == "no rows\n"
    assert "row 1" not in printed("sql", "--lake", lake, "FROM events")


def test_mismatches_that_are_none_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """A feature that a new catalogue began anew has not counted what was before."""
    one = Mismatch("customer", "c", None, "paid", lake=1.0, recomputed=2.0)
    for found, said in (([], False), ([one], True)):
        show_verification(VerifyReport(1, 1, 1, 1, found), as_json=False)
        assert ("began a feature anew" in capsys.readouterr().out) is said
