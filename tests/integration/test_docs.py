"""What the documents say is true: their commands and code run in order, in a folder that looks like the repository.

`<!-- test: background -->` before a block: it runs until the document ends; the next step waits for its first line.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import NamedTuple

import pytest

from sinks.lake import TABLES, views
from sinks.schemas import BAD_ROWS, DECISIONS, EVENTS, METRICS, TRANSITIONS, TRIGGERS
from streams.broker import free_port
from streams.cli import main

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
BLOCK = re.compile(r"(?:<!-- test: (?P<mark>\w+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
SCHEMAS = (BAD_ROWS, DECISIONS, EVENTS, METRICS, TRANSITIONS, TRIGGERS)
SHELLS = ("sh", "bash", "console")
TIMEOUT_S = 240
LEAVES = [["catalogue", "check"], ["catalogue", "show"], *([name] for name in main.commands if name != "catalogue")]
EXAMPLES = ("produce.py", "consume.py")
DEMO_SHOWS = (
    "records/s", "Journey app", "Journey eloan", "MAU by month", "AUM by month and tier", "Triggers by rule",
    "One trigger, whole:", "What triggers met with", "Bad rows by reason",
)  # fmt: skip
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced block."""

    mark: str | None
    kind: str
    text: str


def blocks(name: str) -> list[Block]:
    return [Block(*found.groups()) for found in BLOCK.finditer((ROOT / name).read_text(encoding="utf-8"))]


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COLUMNS": "120", **more}


def zhice(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "zhice"), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )


@contextmanager
def running() -> Iterator[list[subprocess.Popen[str]]]:
    """Background commands; the last started is the first stopped."""
    started: list[subprocess.Popen[str]] = []
    try:
        yield started
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def in_background(command: str, cwd: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start a command, and wait for its first line."""
    process = subprocess.Popen(
        f"exec {command} 2>&1", shell=True, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    lines: Queue[str] = Queue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    try:
        lines.get(timeout=60)
    except Empty:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        pytest.fail(f"{command} said nothing within 60 s")
    return process


def run_document(name: str, cwd: Path, besides: frozenset[str] = frozenset()) -> None:
    """Run the blocks of a document in order, besides those with these texts."""
    port = str(free_port())
    env = environment(ZHICE_BROKER=f"127.0.0.1:{port}", ZHICE_SESSION_TIMEOUT_S="6")
    with running() as started:
        for block in blocks(name):
            if block.kind == "python" and block.text not in besides:
                step([sys.executable, "-c", block.text], cwd, env)
            for line in block.text.splitlines() if block.kind in SHELLS else ():
                if line.startswith("make "):
                    assert f"\n{line.split()[1]}:" in MAKEFILE
                elif block.mark == "background":
                    command = f"{line} --port {port}" if line == "zhice broker" else line
                    started.append(in_background(command, cwd, env))
                else:
                    step(["bash", "-euc", line], cwd, env)


def step(command: list[str], cwd: Path, env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with the files that the documents' commands use; whoever follows them may have a space in its path."""
    place = tmp_path / "my bank"
    shutil.copytree(ROOT / "examples", place / "examples")
    shutil.copytree(ROOT / "models" / "retail_bank", place / "models" / "retail_bank")
    return place


@pytest.mark.kafka
@pytest.mark.slow
def test_the_readme_runs(repository: Path) -> None:
    """The code of the examples is run by the commands that name them."""
    examples = frozenset((ROOT / "examples" / name).read_text(encoding="utf-8") for name in EXAMPLES)
    assert examples <= {block.text for block in blocks("README.md")}
    run_document("README.md", repository, besides=examples)


def test_the_chinese_readme_has_the_same_blocks_and_structure() -> None:
    english, chinese = (blocks(name) for name in READMES)
    assert chinese == english
    headings = [re.findall(r"^#+ ", (ROOT / name).read_text(encoding="utf-8"), re.M) for name in READMES]
    assert headings[0] == headings[1]


@pytest.mark.slow
def test_the_documents_run(repository: Path) -> None:
    """On a lake where the demo leaves it."""
    assert zhice("simulate", "bank.jsonl", "--events", "5000", "--customers", "300", cwd=repository).returncode == 0
    made = zhice("backtest", "bank.jsonl", "--lake", ".zhice/demo/lake", cwd=repository)
    assert made.returncode == 0, made.stderr
    for document in sorted((ROOT / "docs").glob("**/*.md")):
        run_document(str(document.relative_to(ROOT)), repository)


def test_make_demo_is_the_command() -> None:
    assert re.search(r"^demo: setup\n\t\$\(VENV\)/bin/zhice demo$", MAKEFILE, re.M)


@pytest.mark.slow
def test_the_demo_shows_what_came_out_and_what_to_try_next(tmp_path: Path) -> None:
    done = zhice("demo", "--events", "12000", "--customers", "900", "--days", "60", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for title in DEMO_SHOWS:
        assert title in done.stdout, done.stdout
    assert re.search(r"last_app_start_at +│ 2026-0\d-\d\d ", done.stdout), "times are times"
    assert re.search(r'"moment": \d', done.stdout), "numbers are numbers"
    assert "\x1b" not in done.stdout + done.stderr, "it is plain where it is no terminal"
    _, _, commands = done.stdout.partition("Try next:\n")
    assert len(commands.splitlines()) == 3
    for command in commands.splitlines():
        program, *words = shlex.split(command)
        assert program == "zhice", "it is found by this name"
        tried = zhice(*words, cwd=tmp_path)
        assert tried.returncode == 0 and tried.stdout, tried.stderr


def test_links_lead_somewhere() -> None:
    for document in [*(ROOT / name for name in READMES), *(ROOT / "docs").glob("**/*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_schemas_are_those_of_the_command(tmp_path: Path) -> None:
    assert zhice("schema", "--out", str(tmp_path)).returncode == 0
    made, published = (
        {file.name: file.read_bytes() for file in folder.iterdir()} for folder in (tmp_path, ROOT / "docs" / "schemas")
    )
    assert made == published, "run `make schemas`"


def test_the_lake_document_names_every_table_view_and_column() -> None:
    text = (ROOT / "docs" / "lake.md").read_text(encoding="utf-8")
    names = [*TABLES, *(name for name, _ in views())]
    names += [column for table in SCHEMAS for column in table.schema.names]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_chinese_and_the_english_readme_name_every_command() -> None:
    for name in READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert [command for command in main.commands if f"`zhice {command}" not in text] == []


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_help_has_an_example_and_is_plain(command: list[str]) -> None:
    done = zhice(*command, "--help")
    assert done.returncode == 0
    assert f"Example: {'eval' if command == ['completion'] else 'zhice'}" in done.stdout
    assert "\x1b" not in done.stdout


def test_exit_codes_and_errors_of_one_line(tmp_path: Path) -> None:
    assert zhice("no-such-command").returncode == 2
    failed = zhice("sql", "--lake", str(tmp_path / "none"))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert re.fullmatch(r"zhice: there is no lake at [^\n]+\n", failed.stderr)
    assert re.fullmatch(r"zhice, version \S+\n", zhice("--version").stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = zhice("completion", shell)
    assert done.returncode == 0
    assert "_ZHICE_COMPLETE" in done.stdout
