"""The threads of a backtest: steps in order, none after one that failed, an end without what waits."""

from __future__ import annotations

import threading

import pytest

from streams.lanes import Lane


def test_steps_run_in_order_on_one_other_thread() -> None:
    done: list[tuple[int, int]] = []
    with Lane(2) as lane:
        for number in range(50):
            lane.put(lambda n: done.append((n, threading.get_ident())), number)
        lane.settle()
    assert [number for number, _ in done] == list(range(50))
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] != threading.get_ident()


def test_only_so_many_steps_wait() -> None:
    free, running = threading.Event(), threading.Event()
    with Lane(2) as lane:
        lane.put(lambda: (running.set(), free.wait())[0])
        lane.put(lambda: None)
        assert running.wait(10)
        putting = threading.Thread(target=lane.put, args=(lambda: None,))
        putting.start()
        putting.join(0.1)
        assert putting.is_alive()
        free.set()
        putting.join(10)
        assert not putting.is_alive()


def test_after_a_step_that_failed_none_runs_and_its_error_comes() -> None:
    done: list[int] = []

    def fail() -> None:
        raise LookupError("planted")

    with Lane(5) as lane:
        for step in (lambda: done.append(1), fail, lambda: done.append(2)):
            lane.put(step)
        with pytest.raises(LookupError, match="planted"):
            lane.settle()
    assert done == [1]


def test_leaving_early_leaves_out_what_waits() -> None:
    free, running, done = threading.Event(), threading.Event(), []
    with pytest.raises(KeyboardInterrupt), Lane(5) as lane:
        lane.put(lambda: (running.set(), free.wait(), done.append(1))[0])
        lane.put(lambda: done.append(2))
        assert running.wait(10)
        threading.Timer(0.05, free.set).start()
        raise KeyboardInterrupt
    assert done == [1]
