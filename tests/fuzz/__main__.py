"""Fuzz the decoder and the parser of expressions: `make fuzz`, or `SEED=7 python -m tests.fuzz --inputs 10000`."""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable

from tests.fuzz import decoder, expressions
from tests.fuzz.memory import MIB, run_in_tenths

TARGETS: dict[str, Callable[[int, int, int], int]] = {"decoder": decoder.fuzz, "expressions": expressions.fuzz}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of each target")
    parser.add_argument("--target", choices=list(TARGETS), nargs="+", default=list(TARGETS))
    given = parser.parse_args()
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print(f"SEED={seed}", flush=True)
    for name in given.target:
        _run(name, seed, given.inputs)


def _run(name: str, seed: int, inputs: int) -> None:
    started, good = time.monotonic(), 0

    def part(first: int, last: int) -> None:
        nonlocal good
        good += TARGETS[name](seed, first, last)

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {name}: {text}", flush=True)

    growth = run_in_tenths(inputs, part, say)
    say(f"no crash; {good:,} were valid; memory grew by {growth / MIB:.1f} MiB after the first tenth")


if __name__ == "__main__":
    main()
