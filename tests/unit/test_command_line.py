"""What is wrong on the command line is one line that says what would do; never a traceback."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.cli import main
from streams.simulate import MAX_DAYS

SMALL = Path(__file__).parents[1] / "catalogues" / "small.toml"
START = 1_767_225_600_000


def called(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("simulate FOLDER/nowhere/bank.jsonl", "nowhere: there is no such folder"),
        ("simulate FOLDER/bank.parquet --answers", "answers are added at the end"),
        ("demo --dir FOLDER", "holds files that no demo made"),
        ("backtest FOLDER/some.csv", "for others give --sql"),
        ("sql --lake FOLDER/nowhere", "there is no lake"),
        ("report --lake FOLDER/nowhere", "there is no lake"),
        ("verify --lake FOLDER/nowhere", "there is no lake"),
        ("compact --lake FOLDER/nowhere", "there is no lake"),
        ("catalogue check FOLDER/nowhere", "there is no catalogue"),
        ("catalogue check FOLDER/latin.toml", "is no text in UTF-8: invalid start byte at byte 8"),
        ("schema --out FOLDER/some.csv/schemas", "Not a directory"),
    ],
)
def test_what_is_wrong_is_one_line(words: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("a,b\n")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xfc'")
    result = called(*words.replace("FOLDER", str(tmp_path)).split())
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.exception
    assert said in result.output and result.output.count("zhice:") == 1
    assert "Traceback" not in result.output


def test_a_catalogue_may_begin_with_a_bom(tmp_path: Path) -> None:
    (file := tmp_path / "small.toml").write_bytes(b"\xef\xbb\xbf" + SMALL.read_bytes())
    assert called("catalogue", "check", str(file)).output == called("catalogue", "check", str(SMALL)).output


@pytest.mark.parametrize(
    "words",
    ["backtest FILE --partitions 0", "backtest FILE --threads -1", "broker --port 65536", "compact --keep-hours 0",
     "replay FILE --no-work",
     "replay FILE --broker 127.0.0.1:9092", "replay FILE --no-embedded --no-work --no-profiles",
     "replay FILE --http 9464", "replay FILE --log-level debug", "topics --http 9464", "topics --lake nowhere",
     "worker --log-format xml", "worker --nonsense"],
)  # fmt: skip
def test_wrong_usage_is_named_by_its_option(words: str, tmp_path: Path) -> None:
    (file := tmp_path / "bank.jsonl").touch()
    result = called(*words.replace("FILE", str(file)).split())
    option = next(word for word in reversed(words.split()) if word.startswith("--"))
    assert result.exit_code == 2 and option in result.output


def test_variables_are_for_every_command(tmp_path: Path) -> None:
    """A replay may have those of a worker around it."""
    given = {"ZHICE_BROKER": "kafka:9092", "ZHICE_HTTP": "9464", "ZHICE_LAKE": str(tmp_path / "lake")}
    result = CliRunner(env=given).invoke(main, ["replay", str(SMALL)])
    assert "a file of records ends in" in result.output and result.exit_code == 1
    assert not (tmp_path / "lake").exists()
    result = CliRunner(env=given | {"ZHICE_HTTP": "x", "ZHICE_PARTITIONS": "0"}).invoke(main, ["topics"])
    assert "--partitions: expected" in result.output and result.exit_code == 2
    for words in (["sql"], ["verify"], ["report"], ["compact"]):  # who asks the lake of a worker has its variables, too
        result = CliRunner(env=given).invoke(main, words)
        assert f"there is no lake at {tmp_path / 'lake'}" in result.output.replace("\n", "")
    result = CliRunner(env={"ZHICE_CATALOGUE": "nowhere.toml"}).invoke(main, ["verify"])
    assert "there is no catalogue at nowhere.toml" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--partitions 0", "--partitions: expected a whole number >= 1"),
        (f"--app={'a' * 201}", "--app: expected a text of length <= 200"),
        ("--session-timeout-s 0", "--session-timeout-s: expected a number >= 1"),
        ("--checkpoint-s nan", "--checkpoint-s: expected a number >= 0.1"),
        ("--ssl-ca ca.pem", "--security-protocol is PLAINTEXT"),
        ("--broker=", "--broker '': give HOST:PORT"),
        ("--broker kafka://127.0.0.1:9092", "--broker 'kafka://127.0.0.1:9092': give HOST:PORT"),
    ],
)
def test_a_wrong_setting_is_wrong_usage(words: str, said: str) -> None:
    result = called("replay", str(SMALL), "--no-embedded", *words.split())
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.exception
    assert said in result.output and result.output.count("zhice:") == 1


@pytest.mark.parametrize("command", ["worker", "replay FILE", "backtest FILE", "sql", "verify", "compact", "profile c"])
def test_a_lake_has_a_name(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that one is in would be filled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # a worker's own, which is not for this process
    (file := tmp_path / "bank.jsonl").touch()
    result = called(*command.replace("FILE", str(file)).split(), "--lake", "")
    assert result.exit_code == 2 and "--lake is empty: name a folder" in result.output, result.output
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("simulate FOLDER/bank.jsonl --customers 0", "at least 1 customer"),
        ("simulate FOLDER/bank.jsonl --seed -1", "a seed from 0 on"),
        (f"simulate FOLDER/bank.jsonl --days {MAX_DAYS + 1}", f"1 to {MAX_DAYS:,} days"),
        ("simulate FOLDER/bank.jsonl --late 2", "shares from 0 to 1"),
        ("simulate FOLDER/bank.jsonl --late nan", "shares from 0 to 1"),
        ("simulate FOLDER/bank.jsonl --broken nan", "shares from 0 to 1"),
        ("demo --dir FOLDER/demo --customers 0", "at least 1 customer"),
        ("simulate FOLDER/bank.csv", "a file of records ends in"),
    ],
)
def test_a_bank_that_cannot_be_is_wrong_usage(words: str, said: str, tmp_path: Path) -> None:
    result = called(*words.replace("FOLDER", str(tmp_path)).split())
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.exception
    assert said in result.output and result.output.count("zhice:") == 1


@pytest.mark.parametrize("words", ["catalogue show", "catalogue show --json", "schema", "sql --help"])
def test_a_command_that_nobody_reads_ends_as_others_do(words: str) -> None:
    """By SIGPIPE, without a word: `| head` is no error."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [str(Path(sys.executable).parent / "zhice"), *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


RUN = [sys.executable, "-c", "from streams.start import run; run()"]


@pytest.mark.parametrize("words", ["catalogue show", "schema", "sql --help", "--help", "completion zsh"])
def test_what_cannot_be_written_is_one_line(words: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*RUN, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "zhice: cannot write: No space left on device\n")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_narrow_encoding_has_a_mark_for_what_it_lacks(encoding: str) -> None:
    variables = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([*RUN, "catalogue", "show"], capture_output=True, env=variables, check=False)
    assert (done.returncode, done.stderr) == (0, b"") and b"?" in done.stdout


@pytest.mark.parametrize("customers", [1, 2, 5])
@pytest.mark.parametrize("events", [0, 1, 20])
def test_the_smallest_banks_are_simulated(events: int, customers: int, tmp_path: Path) -> None:
    file = tmp_path / "bank.jsonl"
    result = called("simulate", str(file), "--events", str(events), "--customers", str(customers))
    assert result.exit_code == 0, result.exception
    assert len(file.read_bytes().splitlines()) == events


def test_what_to_try_next_is_quoted_for_a_shell(tmp_path: Path) -> None:
    """Each hint is a command that runs as it stands."""
    file, lake = tmp_path / "my bank $1.jsonl", tmp_path / "my lake"
    result = called("simulate", str(file), "--events", "20", "--customers", "5")
    _, *words = shlex.split(result.output.partition("Next: ")[2])
    result = called(*words, "--lake", str(lake))
    _, *words = shlex.split(result.output.partition("Next: ")[2])
    assert words == ["sql", "--lake", str(lake)]
    assert "events" in called(*words).output


def test_a_backtest_counts_the_records_of_the_file(tmp_path: Path) -> None:
    """Neither the ticks of the hours between them, nor blank lines."""
    event = {"event": "login", "customer_id": "c", "channel": "app"}
    events = [event | {"event_id": str(n), "event_time": START + n * 86_400_000} for n in range(3)]
    (file := tmp_path / "log.jsonl").write_text("\n\n".join(map(json.dumps, events)))
    result = called("backtest", str(file), "--catalogue", str(SMALL), "--lake", str(tmp_path / "lake"))
    assert result.output.startswith("3 records in "), result.output


def test_a_command_ends_in_order() -> None:
    """Though the process ends at once: what was printed is read, and exit functions run."""
    program = "import atexit; from streams.start import run; atexit.register(print, 'over'); run()"
    command = [sys.executable, "-c", program, "completion", "zsh"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("#compdef") and done.stdout.endswith("\nover\n")
    assert subprocess.run([*command[:3], "nothing"], capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("streams.backtest_runs", ["faust", "kafka", "aiohttp"]),
        ("streams.show", ["faust", "kafka", "aiohttp", "numba", "sqlglot"]),
        ("streams.producing", ["faust", "streams.worker", "sqlglot"]),
    ],
)
def test_a_command_waits_for_nothing_that_it_does_not_use(module: str, others: list[str]) -> None:
    """An analyst's query asks a lake, and needs neither Kafka nor the engine; what sends a replay is no worker."""
    code = f"import sys, {module}; print([other for other in {others} if other in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_mistake_is_told_without_importing_the_rest(tmp_path: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from streams.cli import main; "
        f"print(CliRunner().invoke(main, ['sql', '--lake', {str(tmp_path / 'nowhere')!r}]).output.count('no lake')); "
        "print([one for one in ('faust', 'kafka', 'aiokafka', 'numba', 'sqlglot') if one in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1", "[]"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", ["0 records in", "the file holds none, or the query makes none of it"]),
        ("good", ["1 records in"]),
        ("good bad bad", ["3 records in", "2 of them are bad rows. Why: zhice sql"]),
        ("undeclared", ["1 records in", "1 of them are events that the catalogue does not declare. Which: zhice sql"]),
    ],
)
def test_a_backtest_says_what_counted_for_nothing(lines: str, said: list[str], tmp_path: Path) -> None:
    """And how to see it, by a command that runs as it stands."""
    good = {"event": "login", "customer_id": "c", "channel": "app", "event_time": START}
    made = {"good": good, "bad": good | {"channel": 5}, "undeclared": good | {"event": "nothing"}}
    events = [made[line] | {"event_id": str(number)} for number, line in enumerate(lines.split())]
    (file := tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, events)))
    result = called("backtest", str(file), "--catalogue", str(SMALL), "--lake", str(tmp_path / "my lake"))
    assert result.exit_code == 0 and all(text in result.output for text in said), result.output
    asks = [shlex.split(line.partition(": zhice ")[2]) for line in result.output.splitlines() if ": zhice " in line]
    assert len(asks) == (len(said) if lines else 0)
    assert all(called(*words).exit_code == 0 for words in asks)
