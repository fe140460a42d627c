"""One broker for all processes of a run of tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.brokers import Broker, RunningBroker, shared

WAIT_S = 0.3


class Starts:
    """Of brokers, and their ends."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    @contextmanager
    def __call__(self) -> Iterator[Broker]:
        self.begun += 1
        yield RunningBroker(f"127.0.0.1:{self.begun}")
        self.ended += 1


def test_who_comes_first_starts_it_and_who_ends_last_lets_it_stop(tmp_path: Path) -> None:
    starts = Starts()
    with ExitStack() as first, ExitStack() as second:
        one, other = (stack.enter_context(shared(tmp_path, starts)) for stack in (first, second))
        assert one.address == other.address and starts.begun == 1
        ending = threading.Thread(target=first.close)  # a lock is the open file's, not the process's
        ending.start()
        ending.join(WAIT_S)
        assert ending.is_alive() and starts.ended == 0
        second.close()
        ending.join()
        assert starts.ended == 1
    with shared(tmp_path, starts) as later:
        assert later.address != one.address and starts.begun == 2
