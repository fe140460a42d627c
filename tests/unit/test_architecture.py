"""The rules of the architecture (docs/architecture.md), as data, over the source of every file.

For each rule a violation is planted and given to the same checker, so that the test is known to be able to fail.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("models", "sinks", "streams")
MAX_LINES: Final = 400

_BROKER: Final = ("faust", "mode", "aiokafka", "kafka", "confluent_kafka")
_STORES: Final = ("pyarrow", "duckdb", "deltalake", "polars", "pandas", "sqlite3")
_NETWORK: Final = ("socket", "ssl", "asyncio", "aiohttp", "http", "urllib", "requests", "httpx", "selectors")
_SYSTEM: Final = ("os", "io", "shutil", "tempfile", "subprocess", "multiprocessing", "threading", "signal")
_TALK: Final = ("logging", "rich", "rich_click", "click")
_CHANCE: Final = ("random", "secrets", "uuid", "numpy.random")  # a decision is replayed bit for bit
_OUTSIDE: Final = ("tests", "benchmarks")

IMPORTS: Final[dict[str, tuple[str, ...]]] = {
    "models": ("sinks", "streams", *_OUTSIDE, *_BROKER, *_STORES, *_NETWORK, *_SYSTEM, *_TALK, *_CHANCE),
    "sinks": ("streams", *_OUTSIDE, *_BROKER),
    "streams": _OUTSIDE,
}
_DYNAMIC: Final = ("__import__", "importlib.import_module")  # would get around the rules above
_CLOCKS: Final = (
    *(f"time.{name}{unit}" for name in ("time", "monotonic", "perf_counter", "process_time") for unit in ("", "_ns")),
    *("time.localtime", "time.gmtime", "time.strftime", "time.sleep"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
)
_FILES: Final = ("open", "print", "input", "numpy.load", "numpy.save", "numpy.fromfile", "numpy.memmap")
_DECODE: Final = ("msgspec.json.decode", "msgspec.msgpack.decode")  # decoders are made at import: decision 0071
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "models": (*_DYNAMIC, *_CLOCKS, *_FILES, *_DECODE),
    "sinks": (*_DYNAMIC, *_DECODE),
    "streams": _DECODE,
}

METHODS: Final[dict[str, tuple[str, ...]]] = {
    "models": ("open", "read_text", "read_bytes", "write_text", "write_bytes", "tofile", "get_data"),
    "sinks": (),
    "streams": (),
}

# What a file may do against the rules, and why.
EXCEPTIONS: Final[dict[str, tuple[str, ...]]] = {
    # At import, never in a call: the digest of the kernels' sources names the folder of numba's cache.
    "models/jit.py": ("imports os", "calls .get_data"),
}

# Joined here, so that this file does not name one.
REGISTRIES: Final = tuple(
    ".".join(parts)
    for parts in (
        *(("pypi", "org"), ("pythonhosted", "org"), ("pypi", "tuna", "tsinghua"), ("conda", "anaconda", "org")),
        *(("repo", "maven", "apache", "org"), ("repo1", "maven", "org"), ("registry", "npmjs", "org")),
        *(("proxy", "golang", "org"), ("crates", "io"), ("rubygems", "org"), ("mirrors", "aliyun")),
    )
)
MACHINE_PATH: Final = re.compile(r"(?<![\w.~:/-])(?:/(?:home|Users|root|work)/\w|[A-Z]:\\Users\\)")


@dataclass(frozen=True)
class Source:
    """A Python file: its path below the root, and its text."""

    path: str
    text: str

    @property
    def package(self) -> str:
        return self.path.split("/")[0]


def violations(source: Source) -> list[str]:
    """What a Python file does against the rules, `line: what` each."""
    tree = ast.parse(source.text)
    found = [*_imports(source, tree), *_names(source, tree), *_methods(source, tree)]
    allowed = EXCEPTIONS.get(source.path, ())
    said = [f"{line}: {what}" for line, what in found if what not in allowed]
    lines = source.text.count("\n")
    return said if lines <= MAX_LINES else [*said, f"{lines}: has more than {MAX_LINES} lines"]


def text_violations(text: str) -> list[str]:
    """What any file of the project must not hold: hosts of package registries, paths of somebody's machine."""
    hosts = [f"names {host}" for host in REGISTRIES if host in text.lower()]
    return [*hosts, *(f"has the path {found.group()}…" for found in MACHINE_PATH.finditer(text))]


def imported(source: Source, tree: ast.AST) -> Iterator[tuple[int, str, str, str]]:
    """(line, what is imported, the name that it gets, what that name means) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                yield node.lineno, alias.name, alias.asname or first, alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            folders = source.path.split("/")[: -node.level] if node.level else []
            module = ".".join([*folders, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield node.lineno, full, alias.asname or alias.name, full


def _imports(source: Source, tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, module, *_ in imported(source, tree):
        for forbidden in IMPORTS[source.package]:
            if f"{module}.".startswith(f"{forbidden}."):
                yield line, f"imports {forbidden}"


def _names(source: Source, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Forbidden functions, called or only named, under whatever name they were imported."""
    meant = {name: meaning for _, _, name, meaning in imported(source, tree)}
    for node in ast.walk(tree):
        name = _dotted(node)
        if name is None:
            continue
        first, dot, rest = name.partition(".")
        full = meant.get(first, first) + dot + rest
        if full in NAMES[source.package]:
            yield getattr(node, "lineno", 0), f"uses {full}"


def _methods(source: Source, tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in METHODS[source.package]:
            yield called.lineno, f"calls .{called.attr}"


def _dotted(node: ast.AST) -> str | None:
    """`a.b.c` of a name that is read, or an attribute of names; None for other nodes."""
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Load) else None
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


def _python_files() -> list[str]:
    files = (file.relative_to(ROOT).as_posix() for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return sorted(files)


def _project_files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the project is not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", _python_files())
def test_file_keeps_the_rules(path: str) -> None:
    assert violations(Source(path, (ROOT / path).read_text(encoding="utf-8"))) == []


def test_every_package_is_looked_at() -> None:
    assert {path.split("/")[0] for path in _python_files()} == set(PACKAGES)


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = {}
    for name in _project_files():
        text = (ROOT / name).read_bytes().decode("utf-8", errors="replace")
        if said := text_violations(text):
            found[name] = said
    assert found == {}


@pytest.mark.parametrize(("package", "module"), [(at, name) for at, names in IMPORTS.items() for name in names])
@pytest.mark.parametrize(
    "planted",
    [
        "import {module}\n",
        "import {module}.part as other\n",
        "from {module} import part\n",
        "def late():\n    from {module}.part import thing\n    return thing\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {module}\n",
    ],
)
def test_planted_import_is_found(package: str, module: str, planted: str) -> None:
    source = Source(f"{package}/planted.py", planted.format(module=module))
    assert [said.partition(": ")[2] for said in violations(source)] == [f"imports {module}"]


def test_planted_relative_import_is_found() -> None:
    assert violations(Source("models/planted.py", "from ..sinks import writer\n")) != []
    assert violations(Source("models/planted.py", "from . import engine\n")) == []


@pytest.mark.parametrize(("package", "name"), [(at, name) for at, names in NAMES.items() for name in names])
def test_planted_use_is_found(package: str, name: str) -> None:
    for text in _uses(name):
        assert f"2: uses {name}" in violations(Source(f"{package}/planted.py", text)), text


def _uses(name: str) -> list[str]:
    """Sources that use a function in their second line, under each name that it may have."""
    module, dot, member = name.partition(".")
    if not dot:
        return [f"\nx = {name}('a')\n"]
    first = member.split(".")[0]
    return [
        f"import {module}\nx = {name}()\n",
        f"import {module} as other\nx = other.{member}()\n",
        f"from {module} import {first}\nx = {member}\n",
        f"from {module} import {first} as other\nx = other{member.removeprefix(first)}\n",
    ]


@pytest.mark.parametrize(("package", "method"), [(at, name) for at, names in METHODS.items() for name in names])
def test_planted_method_is_found(package: str, method: str) -> None:
    text = f"from pathlib import Path\n\n\ndef f():\n    return Path('a').{method}()\n"
    assert violations(Source(f"{package}/planted.py", text)) == [f"5: calls .{method}"]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tables_of_the_document_name_every_module_once(package: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, section = text.partition(f"### `{package}/`")
    rows = [line.split("|")[1] for line in section.partition("\n##")[0].splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", "".join(rows))
    assert sorted(named) == sorted(file.stem for file in (ROOT / package).glob("[!_]*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_planted_long_file_is_found(package: str) -> None:
    assert violations(Source(f"{package}/planted.py", "x = 1\n" * MAX_LINES)) == []
    assert violations(Source(f"{package}/planted.py", "x = 1\n" * (MAX_LINES + 1))) != []


def test_no_other_file_is_long() -> None:
    others = (file for folder in (*_OUTSIDE, "examples") for file in (ROOT / folder).rglob("*.py"))
    lengths = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8").count("\n") for file in others}
    assert lengths and {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_an_exception_is_for_its_file_and_its_rule_only() -> None:
    for path, allowed in EXCEPTIONS.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        said = "\n".join(violations(Source("models/planted.py", text)))
        assert all(what in said for what in allowed), f"{path} no longer needs {allowed}"
        assert violations(Source(path, text + "import socket\n")) != []


@pytest.mark.parametrize("host", REGISTRIES)
def test_planted_registry_is_found(host: str) -> None:
    assert text_violations(f"--index-url https://{host}/simple\n") == [f"names {host}"]


@pytest.mark.parametrize("folder", ["home", "Users", "root", "work"])
def test_planted_machine_path_is_found(folder: str) -> None:
    path = "/".join(["", folder, "ada", "zhice"])
    assert len(text_violations(f"LAKE = '{path}'\n")) == 1
    assert text_violations(f"see https://example.com{path} and docs{path}\n") == []


def test_planted_windows_path_is_found() -> None:
    assert len(text_violations("C:" + r"\Users\ada")) == 1
