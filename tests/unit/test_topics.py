"""The topics as data; what brokers make of them is in tests/integration/test_brokers.py."""

import pytest

from streams.settings import Settings
from streams.topics import TOPICS, Topic, TopicError, ensure_topics

BY_KIND = {topic.kind: topic for topic in TOPICS}


def test_the_topics_are_those_of_the_design() -> None:
    assert list(BY_KIND) == ["events", "triggers", "decisions", "transitions", "profiles", "bad-rows", "state"]
    assert {kind for kind, topic in BY_KIND.items() if topic.compacted} == {"profiles", "state"}


def test_events_are_kept_for_a_week_and_compacted_topics_without_limit() -> None:
    assert BY_KIND["events"].config(keep_forever=False)["retention.ms"] == str(7 * 24 * 3600 * 1000)
    assert BY_KIND["state"].config(keep_forever=False)["retention.ms"] == "-1"


def test_what_is_kept_forever_has_no_limit_and_no_segment_a_week() -> None:
    config = BY_KIND["events"].config(keep_forever=True)
    assert config["retention.ms"] == "-1"
    assert int(config["segment.ms"]) > 10 * 365 * 86_400_000


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_one_replica_may_be_missing(replication: int, in_sync: str) -> None:
    assert Topic("x").config(keep_forever=False, replication=replication)["min.insync.replicas"] == in_sync


@pytest.mark.parametrize("prefix", ["", "a b", ".x", "智策", "x" * 201, "x\n"])
def test_a_prefix_that_no_topic_may_have_is_refused_before_any_connection(prefix: str) -> None:
    with pytest.raises(TopicError, match="--prefix"):
        ensure_topics(Settings(broker="127.0.0.1:1", prefix=prefix))
