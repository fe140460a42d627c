"""The topics as data; what brokers make of them is in tests/integration/test_brokers.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import pytest

from streams import topics
from streams.sending import BATCH_BYTES
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


class Admin:
    """A broker's topics: of each the number of partitions, and the settings that it reports."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.settings: dict[str, dict[str, str]] = {}

    def describe_topics(self) -> list[dict[str, Any]]:
        return [{"name": name, "partitions": [0] * count} for name, count in self.counts.items()]

    def describe_configs(self, resources: list[Any], config_filter: str) -> dict[str, Any]:
        found = {one.name: self.settings.get(one.name, {}) for one in resources}
        return {"topic": {name: {key: {"value": value} for key, value in has.items()} for name, has in found.items()}}

    def create_topics(self, missing: Mapping[str, Any], raise_errors: bool) -> dict[str, Any]:
        self.counts |= {name: one["num_partitions"] for name, one in missing.items()}
        return {"topics": [{"name": name, "error_code": 0} for name in missing]}

    def wait_for_topics(self, names: list[str]) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def admin() -> Iterator[Admin]:
    made = Admin()
    with mock.patch.object(topics, "_connect", return_value=made):
        yield made


def test_nothing_is_made_beside_a_topic_that_is_refused(admin: Admin) -> None:
    """The others were made first, with another number: then no number was right any more."""
    admin.counts = {"m9.events": 3}
    with pytest.raises(TopicError, match=r"m9\.events has 3 partitions, not 4.*start with --partitions 3"):
        ensure_topics(Settings(prefix="m9", partitions=4))
    assert admin.counts == {"m9.events": 3}
    reports = ensure_topics(Settings(prefix="m9", partitions=3))
    assert [report.made for report in reports] == [topic.kind != "events" for topic in TOPICS]
    assert set(admin.counts.values()) == {3}


@pytest.mark.parametrize(("kind", "least"), [("events", BATCH_BYTES), ("bad-rows", 4 << 20)])
def test_a_topic_that_takes_too_little_is_refused(admin: Admin, kind: str, least: int) -> None:
    """What is larger was sent again and again, without end."""
    name = f"m17.{kind}"
    admin.counts, admin.settings = {name: 4}, {name: {"max.message.bytes": str(least - 1)}}
    with pytest.raises(
        TopicError, match=rf"{name}: max\.message\.bytes is {least - 1}, and at least {least} are needed"
    ):
        ensure_topics(Settings(prefix="m17", partitions=4))
    assert admin.counts == {name: 4}
    admin.settings[name]["max.message.bytes"] = str(least)
    ensure_topics(Settings(prefix="m17", partitions=4))


def test_topics_take_what_is_sent_as_they_are_made() -> None:
    for topic in TOPICS:
        assert int(topic.config(keep_forever=False).get("max.message.bytes", 1 << 20)) >= topic.least_bytes
