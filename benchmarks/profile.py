"""Where a worker's microseconds go: samples of py-spy of one worker on Apache Kafka, with everything on.

    python -m benchmarks.profile [--events 1000000] [--customers 100000]

The worker stands ready before the log is sent, and is sampled until it has worked through it. The CPU of each of its
threads, as the kernel counts it, is shared out by the samples in which it did not wait; a sample is of the step whose
code is inmost on the stack. Threads that no sample shows are Arrow's and Delta's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.workers import Worker, ended, wait
from streams.kafka_broker import ApacheKafka
from streams.producing import produce
from streams.settings import Settings
from streams.simulate import SimulationSettings, write_file
from streams.topics import ensure_topics

SAMPLES_S = 200
READY_S, DONE_S = 120.0, 1800.0
OTHER, NATIVE = "event loop, Faust, the rest", "threads of Arrow and Delta"
WAITS = ("selectors.py", "wait (threading.py", "_worker (concurrent/futures/thread.py", "_wait_for_tstate_lock")
STEPS = {  # of places in the code, the first that fits
    "decode to columns": ("models/decod", "models/json_scan", "models/columns", "models/strays"),
    "decisions": ("models/judge", "models/gates", "models/held", "models/decisions", "models/contacts", "candidate"),
    "profiles": ("models/profiles", "models/profile_records"),
    "checkpoint": (
        *("models/pages", "models/shard_state", "dump (models/shard", "streams/checkpoints", "streams/state_log"),
        "_cut (streams/worker",
    ),
    "engine": ("Shard.process (models/shard", "Shard.finish (models/shard"),
    "kernels, loaded once": ("llvmlite/", "numba/"),
    "lake": ("sinks/", "streams/lake_commits", "deltalake/", "pyarrow/"),
    "encode": (
        "models/transition_records",
        "models/decision_records",
        "models/evidence",
        "models/value_texts",
        "models/json_write",
        "streams/sending",
        "publish",
        "_encode",
        "cloud_event",
    ),
    "send": ("aiokafka/producer", "streams/outputs"),
    "fetch": ("streams/fetching", "streams/batches", "aiokafka/consumer", "models/record_batches"),
    "connections": ("aiokafka/",),
    "rows, slots, outputs of a batch": ("models/",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, default=100_000)
    asked = parser.parse_args()
    for step, micros in measure(SimulationSettings(events=asked.events, customers=asked.customers, days=30)):
        print(f"{step:<34} {micros:>6.2f} µs", flush=True)


def measure(simulation: SimulationSettings) -> Iterator[tuple[str, float]]:
    """(step, µs of CPU an event), the largest first, and their sum. Raises SystemExit."""
    with tempfile.TemporaryDirectory(prefix="zhice-profile-") as name, ApacheKafka() as broker:
        folder, settings = Path(name), Settings(broker=broker.address, lake=str(Path(name) / "lake"), tick_ms=0)
        records = write_file(simulation, folder / "bank.jsonl").records
        ensure_topics(settings, keep_forever=True)
        with ended(Worker(settings, "one", folder)) as worker:
            wait(worker.is_ready, READY_S, "the worker is not ready")
            before = cpu_s(worker.process.pid)
            with sampled(worker.process.pid, folder / "samples"):
                sent = sum(produce(settings, str(folder / "bank.jsonl")))
                wait(lambda: worker.metric("zhice_records_total") >= sent, DONE_S, "the log is not worked through")
                after = cpu_s(worker.process.pid)
        if not (folder / "samples").exists():
            raise SystemExit("py-spy took no samples: it must be allowed to trace a process; as root it is")
        used = {thread: seconds - before.get(thread, 0.0) for thread, seconds in after.items()}
        seconds = shared_out(used, (folder / "samples").read_text().splitlines())
    yield from ((step, took / records * 1e6) for step, took in seconds.most_common())
    yield "all", sum(used.values()) / records * 1e6


@contextmanager
def sampled(pid: int, path: Path) -> Iterator[None]:
    """py-spy beside a process, as long as the context lasts. Raises SystemExit where there is none."""
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if spy is None:
        raise SystemExit("py-spy is not installed: make setup")
    command = [spy, "record", "--threads", "--format", "raw", "--rate", str(SAMPLES_S)]
    command += ["--pid", str(pid), "--output", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def shared_out(used: Mapping[int, float], lines: Iterable[str]) -> Counter[str]:
    """Seconds of each step. used: seconds of each thread; lines: py-spy's, a thread, its frames, how often it was seen.

    >>> lines = ["thread (7): main;Shard.process (models/shard.py:1) 3", "thread (7): main;select (selectors.py:4) 9"]
    >>> shared_out({7: 2.0, 8: 1.0}, lines)
    Counter({'engine': 2.0, 'threads of Arrow and Delta': 1.0})
    """
    seen: dict[int, Counter[str]] = {}
    for line in lines:
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if frames and not any(waits in frames[-1] for waits in WAITS):
            seen.setdefault(int(thread[len("thread (") :].partition(")")[0]), Counter())[step_of(frames)] += int(count)
    seconds: Counter[str] = Counter()
    for thread, steps in seen.items():
        for step, count in steps.items():
            seconds[step] += used.get(thread, 0.0) * count / steps.total()
    seconds[NATIVE] = sum(took for thread, took in used.items() if thread not in seen)
    return seconds


def step_of(stack: list[str]) -> str:
    """The step of a stack.

    >>> step_of(["Worker.take (streams/worker.py:9)", "Shard.process (models/shard.py:7)", "sum (numpy/x.py:1)"])
    'engine'
    >>> step_of(["Outputs.publish (streams/outputs.py:9)", "records_of (models/transition_records.py:8)"])
    'encode'
    """
    for frame in reversed(stack):
        for step, places in STEPS.items():
            if any(place in frame for place in places):
                return step
    return OTHER


def cpu_s(pid: int) -> dict[int, float]:
    """User and system time of each thread of a process, s."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[int(task.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


if __name__ == "__main__":
    main()
