"""Chaos on Apache Kafka, against an oracle: `make chaos`, or one scenario with sizes of its own.

python -m tests.chaos --scenario kill_storm --events 200000 --kills 20
SEED=7 python -m tests.chaos --short
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

from streams.kafka_broker import ApacheKafka
from tests.chaos.arena import ChaosError, Ground, Outcome
from tests.chaos.report import line, write
from tests.chaos.scenarios import SCENARIOS, SHORT, Sizes

OWN_BROKER = ("broker", "leaders")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it started is ended, too
    given = _options()
    seed = given.seed if given.seed is not None else int(os.environ.get("SEED") or random.randrange(1 << 30))
    names = given.scenario or list(SCENARIOS)
    sizes = _sizes(given)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers that are away are meant
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    print(f"SEED={seed} {' '.join(names)}: {sizes}", flush=True)
    failed = False
    for name in names:
        try:
            outcome = run(name, seed, sizes)
        except ChaosError as error:
            print(f"{name}: {error}", flush=True)
            failed = True
            continue
        print(line(outcome), flush=True)
        failed |= bool(outcome.wrong)
        if given.report:
            write(given.report, outcome, list(SCENARIOS))
    if failed:
        print(f"failed; again with: SEED={seed} python -m tests.chaos --scenario {' '.join(names)}", flush=True)
    return int(failed)


def run(name: str, seed: int, sizes: Sizes) -> Outcome:
    """One scenario, in a folder of its own, which stays where something went wrong. Raises ChaosError."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {text}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix=f"zhice-chaos-{name}-"))
    outcome = None
    try:
        outcome = _run(name, Ground(None, folder, seed, say), sizes)
        return outcome
    finally:
        say(_tidy(folder, outcome))


def _run(name: str, ground: Ground, sizes: Sizes) -> Outcome:
    if name in OWN_BROKER:
        return SCENARIOS[name](ground, sizes)
    with ApacheKafka() as kafka:
        return SCENARIOS[name](replace(ground, broker=kafka), sizes)


def _tidy(folder: Path, outcome: Outcome | None) -> str:
    """All of it stays after a failure, the logs if a worker ended otherwise than wanted, else nothing."""
    if outcome is None or outcome.wrong:
        return f"all that the scenario wrote is in {folder}"
    if not outcome.troubled:
        shutil.rmtree(folder)
        return "done"
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.suffix != ".log":
            path.unlink()
    return "logs of workers that ended otherwise than wanted: " + " ".join(map(str, outcome.troubled))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), help="all without it")
    parser.add_argument("--seed", type=int, help="or the variable SEED; random without it")
    parser.add_argument("--short", action="store_true", help="the sizes of make test")
    parser.add_argument("--report", type=Path, help="file of results, such as benchmarks/chaos.md")
    for field in fields(Sizes):
        kind = float if "_s" in field.name[-2:] else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=f"{field.default}")
    return parser.parse_args()


def _sizes(given: argparse.Namespace) -> Sizes:
    wanted = {field.name: getattr(given, field.name) for field in fields(Sizes)}
    sizes = replace(SHORT if given.short else Sizes(), **{name: one for name, one in wanted.items() if one is not None})
    return replace(sizes, storm_events=given.events) if given.events and not given.storm_events else sizes


if __name__ == "__main__":
    sys.exit(main())
