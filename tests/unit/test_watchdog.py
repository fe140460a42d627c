"""When the watchdog ends a worker."""

import threading

from streams.watchdog import Heartbeat, Joining, Lag, StuckError, Watchdog


def test_lag_without_progress_is_stuck_after_the_limit() -> None:
    dog = Watchdog(60)
    assert dog.look(0, {0: 100, 1: 5}, {0: 10, 1: 5}) == {}
    assert dog.look(59, {0: 100, 1: 5}, {0: 10, 1: 5}) == {}
    assert dog.look(60, {0: 100, 1: 5}, {0: 10, 1: 5}) == {0: Lag(10, 100, 0)}


def test_progress_and_no_lag_are_not_stuck() -> None:
    dog = Watchdog(60)
    for now in range(0, 600, 50):
        assert dog.look(now, {0: 1000, 1: 5}, {0: now, 1: 5}) == {}


def test_a_partition_that_went_away_counts_anew_when_it_is_back() -> None:
    dog = Watchdog(60)
    dog.look(0, {0: 100}, {0: 10})
    dog.look(30, {}, {})
    assert dog.look(70, {0: 100}, {0: 10}) == {}
    assert dog.look(130, {0: 100}, {0: 10}) == {0: Lag(10, 100, 70)}


def test_a_trouble_that_is_over_counts_anew() -> None:
    dog = Watchdog(60)
    dog.look(0, {0: 100}, {0: 10})
    dog.forget()
    assert dog.look(70, {0: 100}, {0: 10}) == {}


def test_an_end_that_is_not_known_is_no_lag() -> None:
    dog = Watchdog(60)
    dog.look(0, {}, {0: 10})
    assert dog.look(100, {}, {0: 10}) == {}


def test_a_lag_that_was_seen_goes_on_while_the_end_is_not_known() -> None:
    dog = Watchdog(60)
    dog.look(0, {0: 100}, {0: 10})
    dog.look(30, {}, {0: 10})
    assert dog.look(60, {0: 100}, {0: 10}) == {0: Lag(10, 100, 0)}


def test_what_comes_after_a_quiet_time_has_not_waited() -> None:
    """A log without ticks, or one whose records were in an open transaction until now."""
    dog = Watchdog(60)
    for now in range(0, 600, 5):
        assert dog.look(now, {0: 10}, {0: 10}) == {}
    assert dog.look(600, {0: 11}, {0: 10}) == {}
    assert dog.look(660, {0: 12}, {0: 10}) == {0: Lag(10, 11, 600)}


def test_what_is_nothing_to_work_on_is_excused() -> None:
    """A marker at the end of a log; a record that comes behind it has not waited."""
    dog = Watchdog(60)
    dog.look(0, {0: 11}, {0: 10})
    assert dog.look(60, {0: 12}, {0: 10}) == {0: Lag(10, 11, 0)}
    dog.excuse(0)
    assert dog.look(65, {0: 12}, {0: 10}) == {}
    assert dog.look(125, {0: 12}, {0: 10}) == {0: Lag(10, 12, 65)}


def test_a_loop_that_hangs_ends_the_process() -> None:
    ended, codes = threading.Event(), []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    heart = Heartbeat(0.2, end)
    assert ended.wait(10)
    heart.stop()
    assert codes[0] == StuckError.exit_code


def test_a_worker_that_never_gets_into_its_group_is_stuck() -> None:
    joining = Joining(60)
    assert joining.look(0, ready=False, member=False, assignments=0) is None
    assert joining.look(59, ready=False, member=False, assignments=0) is None
    assert joining.look(60, ready=False, member=False, assignments=0) == 0


def test_a_worker_that_is_given_partitions_again_and_again_is_stuck() -> None:
    joining = Joining(60)
    given = [joining.look(now, ready=False, member=True, assignments=now // 20) for now in range(0, 61, 20)]
    assert given == [None, None, None, 3]


def test_a_long_restore_is_not_stuck_and_readiness_counts_anew() -> None:
    joining = Joining(60)
    assert {joining.look(now, ready=False, member=True, assignments=1) for now in range(0, 300, 10)} == {None}
    assert {joining.look(now, ready=now % 50 == 0, member=True, assignments=now) for now in range(0, 300, 10)} == {None}
    joining.look(300, ready=False, member=True, assignments=0)
    joining.forget()
    assert joining.look(370, ready=False, member=True, assignments=9) is None
