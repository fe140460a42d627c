"""When the watchdog ends a worker."""

import threading

from streams.watchdog import Heartbeat, StuckError, Watchdog


def test_lag_without_progress_is_stuck_after_the_limit() -> None:
    dog = Watchdog(60)
    assert dog.look(0, {0: 100, 1: 5}, {0: 10, 1: 5}) == {}
    assert dog.look(59, {0: 100, 1: 5}, {0: 10, 1: 5}) == {}
    assert dog.look(60, {0: 100, 1: 5}, {0: 10, 1: 5}) == {0: 90}


def test_progress_and_no_lag_are_not_stuck() -> None:
    dog = Watchdog(60)
    for now in range(0, 600, 50):
        assert dog.look(now, {0: 1000, 1: 5}, {0: now, 1: 5}) == {}


def test_a_partition_that_went_away_counts_anew_when_it_is_back() -> None:
    dog = Watchdog(60)
    dog.look(0, {0: 100}, {0: 10})
    dog.look(30, {}, {})
    assert dog.look(70, {0: 100}, {0: 10}) == {}
    assert dog.look(130, {0: 100}, {0: 10}) == {0: 90}


def test_a_trouble_that_is_over_counts_anew() -> None:
    dog = Watchdog(60)
    dog.look(0, {0: 100}, {0: 10})
    dog.forget()
    assert dog.look(70, {0: 100}, {0: 10}) == {}


def test_an_end_that_is_not_known_is_no_lag() -> None:
    dog = Watchdog(60)
    dog.look(0, {}, {0: 10})
    assert dog.look(100, {}, {0: 10}) == {}


def test_a_loop_that_hangs_ends_the_process() -> None:
    ended, codes = threading.Event(), []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    heart = Heartbeat(0.2, end)
    assert ended.wait(10)
    heart.stop()
    assert codes[0] == StuckError.exit_code
