"""Who takes part, how each is built and started.

A contender is told by its environment what to work on: BENCH_BROKER; BENCH_EVENTS and BENCH_TRIGGERS, topics of
BENCH_PARTITIONS partitions; BENCH_GROUP, a new name; BENCH_FOLDER, an empty folder. It prints `first record T` when it
sees the first record, T in seconds since the epoch; one that publishes nothing also prints `last record T` and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.environments import PEERS, jars_of, python_of

SLOW_EVENTS = 100_000  # for those who would need minutes for the whole log
ZHICE = PEERS / "zhice"
SHARED = {"PYTHONPATH": str(PEERS / "shared")}  # what the peers in Python have in common


@dataclass(frozen=True)
class Contender:
    """`name` is what --only takes; `command` builds what it needs (raises BuildError) and says how it is started.

    events: it works through at most so many, a log of its own; None: all. lives: it ends when it is told to.
    """

    name: str
    label: str
    folder: str
    package: str  # of which the report says the version
    command: Callable[[], list[str]]
    publishes: bool = True
    lives: bool = True
    events: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def ours(*words: str) -> Callable[[], list[str]]:
    """In Zhice's own environment."""
    return lambda: [sys.executable, *words]


def python(folder: str, *words: str) -> Callable[[], list[str]]:
    """The app of a peer in the environment of its lock file."""
    return lambda: [python_of(folder), *(words or (str(PEERS / folder / "app.py"),))]


def java(folder: str, main: str) -> Callable[[], list[str]]:
    return lambda: ["java", "-Xmx2g", "-cp", jars_of(folder), main]


CONTENDERS = (
    Contender("fetch", "Fetch alone", "zhice", "", ours("-m", "benchmarks.ceiling", "fetch"), publishes=False),
    Contender("decode", "Fetch and decode", "zhice", "", ours("-m", "benchmarks.ceiling", "decode"), publishes=False),
    Contender("zhice", "Zhice", "zhice", "", ours(str(ZHICE / "app.py"), "worker")),
    *(
        Contender(
            f"faust-{name}",
            f"Faust, Tables in {words}",
            "faust",
            "faust-streaming",
            python("faust", str(PEERS / "faust" / "app.py"), "-L", "uvloop", "worker", "-l", "warn"),
            events=SLOW_EVENTS,
            environment=SHARED | {"BENCH_STORE": store},
        )
        for name, words, store in (
            ("memory", "memory", "memory://"),
            ("rocksdb", "RocksDB", "rocksdb://?driver=rocksdict"),
        )
    ),
    Contender("quix", "Quix Streams", "quix_streams", "quixstreams", python("quix_streams"), environment=SHARED),
    Contender(
        "bytewax", "Bytewax, recovery on", "bytewax", "bytewax", python("bytewax"), lives=False, environment=SHARED
    ),
    *(
        Contender(
            f"kafka-streams-{threads}",
            f"Kafka Streams, JVM, {words}",
            "kafka_streams",
            "kafka-streams",
            java("kafka_streams", "comparison.Comparison"),
            environment={"BENCH_THREADS": str(threads)},
        )
        for threads, words in ((1, "1 stream thread"), (2, "2 stream threads"))
    ),
    Contender("pathway", "Pathway, persistence on", "pathway", "pathway", python("pathway"), environment=SHARED),
    Contender(
        "flink", "Flink, JVM, parallelism 1", "flink", "flink", java("flink", "comparison.Comparison"), lives=False
    ),
)
