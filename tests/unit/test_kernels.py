"""Parts of kernels are called by kernels only: they have no wrapper for Python, which would crash on calling one, and
are made machine code with their kernel only.

Kernels are read from disk where nothing can be written, as in an image, and not those of another processor.
"""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from models.hashing import xxh64
from models.jit import CACHE, KERNELS, inlined, kernel, part, routine

ROOT = Path(__file__).parents[2]
INNER = {"part", "routine", "inlined"}
COMPILED = {"kernel", *INNER}
PLANTED = """
@part
def add(a, b):
    return a + b

def total(values):
    return add(*values)
"""


def decorators(function: ast.FunctionDef) -> set[str]:
    return {one.id for one in function.decorator_list if isinstance(one, ast.Name)}


def parts_of(tree: ast.Module) -> set[str]:
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef) and decorators(one) & INNER}


def calls_outside_kernels(tree: ast.Module) -> set[str]:
    """Names that code which is not compiled calls."""
    plain = [one for one in tree.body if not (isinstance(one, ast.FunctionDef) and decorators(one) & COMPILED)]
    calls = [node.func for statement in plain for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)} | {
        call.attr for call in calls if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name)
    }


def imported_parts(tree: ast.Module, parts: dict[str, set[str]]) -> set[str]:
    """Parts of kernel modules that a module imports by name."""
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in parts]
    return {name.name for node in froms for name in node.names if name.name in parts[str(node.module)]}


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


PARTS = {f"models.{name}": parts_of(parse(ROOT / "models" / f"{name}.py")) for name in KERNELS}


def violations(tree: ast.Module) -> set[str]:
    return calls_outside_kernels(tree) & (parts_of(tree) | imported_parts(tree, PARTS))


@pytest.mark.parametrize("package", ["models", "sinks", "streams", "tests", "benchmarks"])
def test_python_calls_no_part_of_a_kernel(package: str) -> None:
    found = {str(file): violations(parse(file)) for file in sorted((ROOT / package).rglob("*.py"))}
    assert {file: names for file, names in found.items() if names} == {}


def test_a_planted_call_is_found() -> None:
    assert violations(ast.parse(PLANTED)) == {"add"}


def test_every_compiled_module_is_in_the_digest_of_the_cache() -> None:
    compiled = {
        file.stem
        for file in (ROOT / "models").glob("*.py")
        if any(isinstance(one, ast.FunctionDef) and decorators(one) & COMPILED for one in parse(file).body)
    }
    assert compiled - set(KERNELS) == set()


def refuse(*_: object, **__: object) -> Any:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_kernels_are_read_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def double(value: Any) -> Any:
        return 2 * value

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    kernel(double)(1)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # a test may run as root, whom no rights stop
    monkeypatch.setattr("os.replace", refuse)
    read = kernel(double)
    assert read(1) == 2 and sum(read.stats.cache_hits.values()) == 1
    assert read(1.5) == 3.0 and sum(read.stats.cache_misses.values()) == 1


READ = """
import sys
import numpy as np
from models.hashing import xxh64
xxh64(np.zeros(8, np.uint8), 0, 8)
assert sum(xxh64.stats.cache_hits.values()) == 1
assert "numba.typed.typeddict" not in sys.modules
"""


def test_a_kernel_that_is_kept_is_read_without_what_compiles() -> None:
    xxh64(np.zeros(8, np.uint8), 0, 8)
    subprocess.run([sys.executable, "-c", READ], cwd=ROOT, check=True)


def test_kernels_of_another_processor_are_others() -> None:
    code = "from models.jit import CACHE; print(CACHE)"
    said = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "NUMBA_CPU_NAME": "generic"}, cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(said.stdout.strip()).parent == Path(CACHE).parent and said.stdout.strip() != CACHE


@part
def doubled(number: int) -> int:
    return 2 * number


@routine
def last_of(values: Any) -> Any:
    return values[len(values) - 1]


@inlined
def rest_of(values: Any) -> Any:
    return values[1:]


@kernel
def twice_the_last(values: Any) -> int:
    return int(doubled(last_of(rest_of(values))))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_parts_are_made_machine_code_with_their_kernel_only() -> None:
    assert twice_the_last(np.array([1, 2, 3])) == 6
    for function in (twice_the_last, doubled, last_of, rest_of):
        for compiled in function.overloads.values():
            is_code = compiled.library._codegen._engine.is_symbol_defined(compiled.fndesc.llvm_func_name)
            assert is_code == (function is twice_the_last)
