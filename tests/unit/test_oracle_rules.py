"""The oracle against answers worked out by hand: rules, gates, snapshots and metrics of docs/semantics.md."""

from __future__ import annotations

from tests.oracle_bench import DAY, HOUR, JOURNEY, KEYED, MINUTE, NOON, Bench, feature, rule

# Rules


def test_rules_of_an_event_see_features_and_stages_after_it() -> None:
    text = (
        feature("sum") + JOURNEY + rule("r", 'event = ["pay"]', "when = \"f = 3 AND j_stage = 'paid' AND amount = 2\"")
    )
    bench = Bench(text)
    bench.event(0, amount=1)
    offset = bench.event(5, amount=2)
    [decision] = bench.oracle.decisions
    assert decision.acted and decision.gates == {"expired": True}
    assert decision.evidence.values == {"f": 3.0, "j_stage": "paid", "amount": 2.0}
    assert (decision.evidence.offset, decision.evidence.event_id, decision.evidence.stage) == (
        offset,
        "e1",
        None,
    )
    assert (decision.event_time, decision.decided_at, decision.expires_at) == (
        NOON + 5,
        NOON + 5,
        NOON + 5 + 3 * DAY,
    )


def test_rules_in_catalogue_order_once_an_event() -> None:
    rules = rule("a", 'entered = "j.paid"') + rule("b", 'event = ["pay", "view"]') + rule("c", 'entered = "j.new"')
    bench = Bench(JOURNEY + rules)
    bench.event(0, amount=1)
    assert [name for name, _ in bench.decided()] == ["a", "b", "c"]
    assert [d.evidence.stage for d in bench.oracle.decisions] == ["paid", None, "paid"]


def test_rules_of_a_keyed_entity() -> None:
    text = KEYED + rule("r", 'event = ["view"]', 'entity = "order"\nwhen = "stage = \'open\' AND time_in_stage_ms = 0"')
    bench = Bench(text)
    bench.event(0, "view")
    bench.event(0, "view", order_id="x")
    [decision] = bench.oracle.decisions
    assert (decision.entity, decision.entity_id, decision.evidence.stage) == ("order", "x", "open")


def test_rules_of_timeouts_with_and_without_after() -> None:
    listens = ('timeout = "j.paid", after = "1h"', 'entered = "j.gone"', 'timeout = "j.paid"')
    when = 'when = "event_time IS NULL AND channel IS NULL"'
    text = JOURNEY + "".join(rule(f"r{i}", one, when) for i, one in enumerate(listens))
    text += rule("early", 'timeout = "j.paid", after = "10m"', f'when = "time_in_stage_ms = {10 * MINUTE}"')
    bench = Bench(text)
    bench.event(0, amount=1)
    bench.tick(2 * HOUR)
    assert [name for name, _ in bench.decided()] == ["early", "r0", "r1", "r2"]
    assert [d.evidence.stage for d in bench.oracle.decisions] == ["paid", "paid", "gone", "gone"]
    assert [(d.event_time - NOON) // MINUTE for d in bench.oracle.decisions] == [10, 60, 60, 60]
    assert [d.seq for d in bench.oracle.decisions] == [0, 1, 3, 4]  # the transition is 2
    assert len({d.id for d in bench.oracle.decisions}) == 4


def test_leaving_a_stage_cancels_its_rule_timers_and_a_restart_repeats_them() -> None:
    bench = Bench(JOURNEY + rule("r", 'timeout = "j.paid", after = "10m"'))
    bench.event(0, amount=1)
    bench.event(5 * MINUTE, amount=1)
    bench.tick(15 * MINUTE - 1)
    assert not bench.decided()
    bench.tick(15 * MINUTE)
    bench.event(20 * MINUTE, "view")
    bench.tick(30 * MINUTE)
    assert [(d.event_time - NOON) // MINUTE for d in bench.oracle.decisions] == [15, 30]


def test_tags_belong_to_what_they_read_and_read_each_other() -> None:
    tags = """
[[feature]]
name = "g"
entity = "order"
on = ["pay"]
aggregate = "sum"
value = "amount"
[[tag]]
name = "big"
expression = "f > 2"
[[tag]]
name = "share"
expression = "g / f"
[[tag]]
name = "both"
expression = "CASE WHEN big THEN share END"
"""
    bench = Bench(feature("sum") + KEYED + tags)
    bench.event(0, amount=1)
    bench.event(0, amount=3, order_id="x")
    bench.oracle.finish()
    customer, order = bench.oracle.snapshots
    assert customer[2:] == ("customer", "c1", None, {"f": 4.0}, {"big": 1.0}, {})
    assert order[2:] == ("order", "c1", "x", {"g": 3.0}, {"share": 0.75, "both": 0.75}, {"o": "done"})


# Gates


def test_cooldown_is_by_rule_and_entity_and_counts_what_acted() -> None:
    bench = Bench(rule("r", 'event = ["pay"]', 'cooldown = "1h"'))
    for at in (0, HOUR - 1, HOUR, 2 * HOUR - 1):
        bench.event(at)
    bench.event(2 * HOUR - 1, customer="c2")
    assert [gate for _, gate in bench.decided()] == [None, "cooldown", None, "cooldown", None]
    assert bench.oracle.decisions[1].gates == {"expired": True, "cooldown": False}


def test_expired_is_past_event_time_and_expires() -> None:
    bench = Bench(
        JOURNEY + rule("r", 'event = ["pay"]', 'expires = "1h"') + rule("t", 'entered = "j.gone"', 'expires = "1h"')
    )
    bench.event(0, time=-HOUR, amount=1)
    bench.event(0, time=-HOUR - 1, amount=1)
    bench.tick(2 * HOUR + 1)  # due an hour before, and a ms more than it stays good for
    assert bench.decided() == [("r", None), ("r", "expired"), ("t", "expired")]
    assert bench.oracle.decisions[1].gates == {"expired": False}


def test_gates_apply_by_kind_and_channel_and_the_first_that_fails_is_the_reason() -> None:
    gates = """
[[gate]]
name = "rich"
kinds = ["marketing"]
when = "f > 5"
[[gate]]
name = "mail"
channels = ["mail"]
when = "f > 99"
[[gate]]
name = "known"
when = "f IS NOT NULL AND j_stage = 'paid'"
"""
    rules = rule("service", 'event = ["pay"]', 'cooldown = "1h"') + rule(
        "market", 'event = ["pay"]', 'kind = "marketing"'
    )
    rules += rule("never", 'event = ["view"]').replace('"push"', '"mail"')
    bench = Bench(feature("sum") + JOURNEY + rules + gates)
    bench.event(0, amount=0)
    bench.event(1, amount=4)
    bench.event(2, amount=4)
    assert bench.decided()[0:2] == [("service", "known"), ("market", "rich")]
    assert bench.decided()[2:4] == [("service", None), ("market", "rich")]
    assert bench.decided()[4:6] == [("service", "cooldown"), ("market", None)]
    assert bench.oracle.decisions[4].gates == {"expired": True, "known": True, "cooldown": False}
    assert bench.oracle.decisions[5].gates == {"expired": True, "rich": True, "known": True}


# Snapshots and metrics


def test_what_changed_is_recorded_at_the_hour() -> None:
    bench = Bench(feature("sum") + JOURNEY)
    bench.event(0, amount=1)
    bench.event(5, amount=2, customer="c2")
    offset = bench.event(HOUR, amount=4)  # c1 has left "paid" at this moment, c2 will
    assert bench.oracle.snapshots == [
        (NOON + HOUR, offset, "customer", "c1", None, {"f": 1.0}, {}, {"j": "paid"}),
        (NOON + HOUR, offset, "customer", "c2", None, {"f": 2.0}, {}, {"j": "paid"}),
    ]
    bench.oracle.snapshots.clear()
    offset = bench.tick(5 * HOUR)
    assert bench.oracle.snapshots == [
        (NOON + 2 * HOUR, offset, "customer", "c1", None, {"f": 5.0}, {}, {"j": "gone"}),
        (NOON + 2 * HOUR, offset, "customer", "c2", None, {"f": 2.0}, {}, {"j": "gone"}),
    ]
    bench.oracle.finish()
    assert len(bench.oracle.snapshots) == 2  # nothing has changed since


def test_the_last_snapshot_is_as_of_the_clock() -> None:
    bench = Bench(feature("sum"))
    bench.event(0, amount=1)
    offset = bench.tick(7)
    bench.oracle.finish()
    assert bench.oracle.snapshots == [(NOON + 7, offset + 1, "customer", "c1", None, {"f": 1.0}, {}, {})]


def test_metrics_are_written_when_the_clock_leaves_the_minute() -> None:
    bench = Bench()
    bench.event(0, amount=1)
    bench.event(1, amount=2, time=-1, channel="fax")
    bench.event(2, amount=4, customer="c2")
    bench.event(3, amount=8, id="e0")
    bench.event(4, "view", amount=16, channel=None)
    assert not bench.oracle.metrics
    offset = bench.tick(MINUTE)
    rows = [tuple(row.values()) for row in bench.oracle.metrics]
    assert rows == [
        (NOON, "pay", 0, NOON, 2, 2, 5.0, offset),
        (NOON, "pay", -1, NOON - MINUTE, 1, 1, 2.0, offset),
        (NOON, "view", None, NOON, 1, 1, 0.0, offset),
    ]
