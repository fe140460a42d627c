"""The topics, and making them. All are co-partitioned with the events: partition n of each belongs to one shard."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from streams.settings import Settings

DAY_MS = 86_400_000
MAX_STATE_BYTES = 8 * 1024 * 1024  # of one page


class TopicError(RuntimeError):
    """Topics that the worker cannot use; the message says what to do."""


@dataclass(frozen=True)
class Topic:
    """A topic's kind (the last part of its name) and its settings."""

    kind: str
    retention_ms: int = 7 * DAY_MS
    compacted: bool = False
    settings: dict[str, str] = field(default_factory=dict)

    def config(self, keep_forever: bool) -> dict[str, str]:
        """Kafka's settings. A replay's records are as old as its log: `keep_forever` keeps Kafka from deleting them."""
        retention_ms = -1 if keep_forever or self.compacted else self.retention_ms
        policy = "compact" if self.compacted else "delete"
        return {"cleanup.policy": policy, "retention.ms": str(retention_ms), **self.settings}


TOPICS = (
    Topic("events"),
    Topic("triggers", 30 * DAY_MS),
    Topic("decisions", 30 * DAY_MS),
    Topic("transitions", 30 * DAY_MS),
    Topic("profiles", compacted=True),
    Topic("bad-rows", 30 * DAY_MS),
    Topic("state", compacted=True, settings={"max.message.bytes": str(MAX_STATE_BYTES)}),
)


@dataclass(frozen=True)
class TopicReport:
    """What `ensure_topics` found: `made` is false for a topic that was there."""

    name: str
    partitions: int
    made: bool


def ensure_topics(settings: Settings, *, keep_forever: bool = False) -> list[TopicReport]:
    """Make the topics that are missing. Raises TopicError where one has another number of partitions."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=settings.broker, request_timeout_ms=10_000)
    except KafkaError as error:
        raise TopicError(f"no broker answers at {settings.broker} ({type(error).__name__}): start one, or set --broker") from None
    try:
        return [_ensure(admin, settings, topic, keep_forever) for topic in TOPICS]
    finally:
        admin.close()


def _ensure(admin: KafkaAdminClient, settings: Settings, topic: Topic, keep_forever: bool) -> TopicReport:
    name = settings.topic(topic.kind)
    new = NewTopic(name, settings.partitions, settings.replication, topic_configs=topic.config(keep_forever))
    try:
        admin.create_topics([new])
        return TopicReport(name, settings.partitions, made=True)
    except TopicAlreadyExistsError:
        found = len(admin.describe_topics([name])[0]["partitions"])
    except KafkaError as error:
        raise TopicError(f"topic {name} cannot be made: {error}") from None
    if found != settings.partitions:
        raise TopicError(
            f"topic {name} has {found} partitions, not {settings.partitions}: all topics need as many as the events; "
            f"start with --partitions {found}, or with another --prefix"
        )
    return TopicReport(name, found, made=False)
