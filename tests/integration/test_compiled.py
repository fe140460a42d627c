"""What `zhice compile` leaves to compile: nothing. A worker would do it in its event loop, and look as if it hung."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BY_TESTS_ONLY = ["programs.evaluate"]  # in the product it is a part of others
PROGRAM = """
import json
from importlib import import_module
from click.testing import CliRunner
from models import jit
from streams.cli import main
from streams.compiling import compile_kernels

ESCAPED = (  # is read the slow way
    r'{"event_id": "\\u0041%d", "event": "complaint", "customer_id": "C%d", "event_time": 1769900000000, '
    r'"properties": {"topic": "\\u0074ransfer"}}'
)

def run(*words):
    result = CliRunner().invoke(main, [*words, "--lake", "lake"] if words[0] == "replay" else words)
    assert result.exit_code == 0, result.output

modules = {name: import_module(f"models.{name}") for name in jit.KERNELS}
kernels = {
    f"{name}.{function.__name__}": function
    for name, module in modules.items()
    for function in vars(module).values()
    if isinstance(getattr(function, "_cache", None), jit._Cache) and function.__module__ == module.__name__
}
compile_kernels()
unmet = [name for name, function in kernels.items() if not function.signatures]
before = {name: len(function.signatures) for name, function in kernels.items()}
run("simulate", "bank.jsonl", "--events", "20000", "--customers", "3000", "--broken", "0.05")
with open("bank.jsonl", "a") as file:
    file.writelines(ESCAPED % (number, number) + "\\n" for number in range(100))
run("replay", "bank.jsonl")
again = [name for name, function in kernels.items() if len(function.signatures) > before[name]]
print(json.dumps([len(kernels), unmet, again]))
"""


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_compiles_nothing(tmp_path: Path) -> None:
    """Every kernel is met that Python calls, with arrays of the order and the kind that a worker has."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kernels, unmet, again = json.loads(done.stdout.splitlines()[-1])
    assert kernels > 30
    assert (unmet, again) == (BY_TESTS_ONLY, [])
