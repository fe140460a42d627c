"""Parts of kernels are called by kernels only: they have no wrapper for Python, which would crash on calling one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from models.jit import KERNELS

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
