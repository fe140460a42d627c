"""Kernels are compiled before a worker works, all of them and once for each version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams import compiling

ROOT = Path(__file__).parents[2]
BY_TESTS_ONLY = ("programs.evaluate",)  # in the product it is a part of others
UNMET = """
from importlib import import_module
from models import jit
from streams.compiling import compile_kernels

modules = {name: import_module(f"models.{name}") for name in jit.KERNELS}
kernels = {
    f"{name}.{function.__name__}": function
    for name, module in modules.items()
    for function in vars(module).values()
    if isinstance(getattr(function, "_cache", None), jit._Cache) and function.__module__ == module.__name__
}
compile_kernels()
assert kernels
print(*(name for name, function in kernels.items() if not function.signatures))
"""


def test_kernels_of_a_new_version_are_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiled: list[int] = []
    compile_kernels = compiling.compile_kernels
    monkeypatch.setattr(compiling, "DONE", tmp_path / "kernels-new" / "complete")
    monkeypatch.setattr(compiling, "compile_kernels", lambda: compiled.append(compile_kernels()))
    compiling.ensure_kernels()
    compiling.ensure_kernels()
    assert len(compiled) == 1
    assert compiled[0] > 200  # records, and ticks


def test_every_kernel_that_python_calls_is_met() -> None:
    """A worker would compile the others in its event loop, when it comes to need them, and look as if it hung."""
    done = subprocess.run([sys.executable, "-c", UNMET], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(BY_TESTS_ONLY)


def test_a_folder_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiling, "DONE", tmp_path / "file" / "complete")
    assert compiling.compile_kernels() > 200
