"""The topics, and making them. All are co-partitioned with the events: partition n of each belongs to one shard."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from models.errors import UserError
from models.windows import DAY_MS
from streams.security import client_options, probe
from streams.sending import BATCH_BYTES
from streams.settings import Settings

MIB = 1 << 20
FOREVER = "-1"
CONNECT_TIMEOUT_MS = 10_000
PREFIX_FORM = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")  # Kafka allows names of 249 characters


class TopicError(UserError):
    """Topics that the worker cannot use; the message says what to do."""


@dataclass(frozen=True)
class Topic:
    """A topic's kind (the last part of its name) and its settings.

    least_bytes: of the largest batch that it takes (`max.message.bytes`), or else the worker could not come past one.
    """

    kind: str
    retention_ms: int = 7 * DAY_MS
    compacted: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    least_bytes: int = BATCH_BYTES

    def config(self, keep_forever: bool, replication: int = 1) -> dict[str, str]:
        """Kafka's settings.

        A replay's records are as old as its log: `keep_forever` keeps Kafka, which deletes by record timestamp, from
        deleting them. It rolls segments by record timestamp too, and years that pass in seconds would leave a file
        a week; so it does not.
        """
        unlimited = keep_forever or self.compacted
        config = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": FOREVER if unlimited else str(self.retention_ms),
            "min.insync.replicas": str(max(1, replication - 1)),
        }
        if keep_forever:
            config["segment.ms"] = str(36_500 * DAY_MS)
        return config | self.settings


TOPICS = (
    Topic("events"),
    Topic("triggers", 30 * DAY_MS),
    Topic("decisions", 30 * DAY_MS),
    Topic("transitions", 30 * DAY_MS),
    Topic("profiles", compacted=True),
    # A bad row holds the bytes that came, and says more than they did: `bad_rows.MAX_PUBLISHED_BYTES` fit.
    Topic("bad-rows", 30 * DAY_MS, settings={"max.message.bytes": str(4 * MIB)}, least_bytes=4 * MIB),
    # Small segments: the cleaner leaves alone the one that is written to, and a restart reads all that is there.
    Topic("state", compacted=True, settings={"max.message.bytes": str(8 * MIB), "segment.bytes": str(64 * MIB)}),
)


@dataclass(frozen=True)
class TopicReport:
    """What `ensure_topics` found: `made` is false for a topic that was there, `differences` are its other settings."""

    name: str
    partitions: int
    made: bool
    differences: tuple[str, ...] = ()


def ensure_topics(settings: Settings, *, keep_forever: bool = False) -> list[TopicReport]:
    """Check the topics that are there, then make those that are missing; nothing that exists is changed.

    Raises TopicError where no broker answers or it refuses, SecurityError where it does not let us in,
    and TopicError, before anything is made, where a topic that is there cannot be used: another number of partitions,
    another cleanup policy, a limit of time although `keep_forever` is asked for, or one of bytes below `least_bytes`.
    """
    if not PREFIX_FORM.fullmatch(settings.prefix):
        raise TopicError(f"--prefix {settings.prefix!r}: use letters, digits, '.', '_' and '-', at most 200")
    wanted = {settings.topic(topic.kind): topic.config(keep_forever, settings.replication) for topic in TOPICS}
    admin = _connect(settings)
    try:
        differences, made = _checked(admin, settings, wanted, keep_forever), set[str]()
        if missing := {name: config for name, config in wanted.items() if name not in differences}:
            made = _make(admin, settings, missing)
            differences = _checked(admin, settings, wanted, keep_forever)
    except KafkaError as error:
        raise TopicError(f"topics {settings.prefix}.* cannot be made or read: {_words(error)}") from error
    finally:
        admin.close()
    return [
        TopicReport(name, settings.partitions, name in made, () if name in made else differences.get(name, ()))
        for name in wanted
    ]


def _checked(
    admin: KafkaAdminClient, settings: Settings, wanted: Mapping[str, dict[str, str]], keep_forever: bool
) -> dict[str, tuple[str, ...]]:
    """Of the wanted topics that are there, the differences. Raises TopicError for those that cannot be used."""
    counts = {name: count for name, count in _partition_counts(admin).items() if name in wanted}
    _refuse_partitions(counts, settings.partitions)
    reported = _reported(admin, counts)
    differences = {name: _unlike(wanted[name], reported[name]) for name in counts}
    _refuse_losses(differences, keep_forever)
    _refuse_small({settings.topic(topic.kind): topic.least_bytes for topic in TOPICS}, reported)
    return differences


def _connect(settings: Settings) -> KafkaAdminClient:
    probe(settings)
    try:
        return KafkaAdminClient(
            **client_options(settings), bootstrap_timeout_ms=CONNECT_TIMEOUT_MS, client_id="zhice-topics"
        )
    except (KafkaError, ValueError) as error:
        raise TopicError(
            f"no broker answers at {settings.broker} as {settings.security_protocol} ({_words(error)}): start one, "
            "or set --broker or --security-protocol"
        ) from error


def _make(admin: KafkaAdminClient, settings: Settings, missing: Mapping[str, dict[str, str]]) -> set[str]:
    """Make topics with these settings; returns those that nobody else has made meanwhile."""
    sizes = {"num_partitions": settings.partitions, "replication_factor": settings.replication}
    made = {name: sizes | {"configs": config} for name, config in missing.items()}
    answers = admin.create_topics(made, raise_errors=False)["topics"]
    for answer in answers:
        error = for_code(answer["error_code"])
        # another worker may have been quicker: then the topic is checked as any other that is there
        if answer["error_code"] and error is not TopicAlreadyExistsError:
            reason = answer.get("error_message") or error.__name__
            raise TopicError(f"topic {answer['name']} cannot be made: {reason}")
    admin.wait_for_topics(list(missing))
    return {answer["name"] for answer in answers if not answer["error_code"]}


def _partition_counts(admin: KafkaAdminClient) -> dict[str, int]:
    return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}


def _reported(admin: KafkaAdminClient, names: Collection[str]) -> dict[str, dict[str, str]]:
    """Per topic, its settings as far as the broker reports them."""
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, Any] = admin.describe_configs(resources, config_filter="all").get("topic", {})
    return {name: {key: entry["value"] for key, entry in (found.get(name) or {}).items()} for name in names}


def _unlike(config: Mapping[str, str], has: Mapping[str, str]) -> tuple[str, ...]:
    """«setting is x, not y». A broker that does not report a setting has no difference in it."""
    return tuple(
        f"{setting} is {has[setting]}, not {value}"
        for setting, value in config.items()
        if setting in has and has[setting] != value
    )


def _refuse_partitions(counts: Mapping[str, int], partitions: int) -> None:
    wrong = {name: count for name, count in counts.items() if count != partitions}
    if not wrong:
        return
    first, *others = sorted(set(counts.values()))
    hint = "use another --prefix" if others else f"start with --partitions {first}, or with another --prefix"
    listed = ", ".join(f"{name} has {count}" for name, count in wrong.items())
    raise TopicError(f"{listed} partitions, not {partitions}: all topics need as many as the events; {hint}")


def refuse_added(settings: Settings, partitions: Collection[int]) -> None:
    """Raises TopicError for partitions of the events that were not there at the start."""
    if any(number >= settings.partitions for number in partitions):
        raise TopicError(
            f"{settings.topic('events')} was given more partitions than its {settings.partitions}: producers send most "
            "customers to others now, away from their state. Nothing is lost, but it cannot be undone in Kafka: "
            "use another --prefix"
        )


def _refuse_losses(differences: Mapping[str, tuple[str, ...]], keep_forever: bool) -> None:
    fatal = ("cleanup.policy is", "retention.ms is") if keep_forever else ("cleanup.policy is",)
    wrong = [f"{name}: {text}" for name, texts in differences.items() for text in texts if text.startswith(fatal)]
    if wrong:
        raise TopicError(f"{'; '.join(wrong)}. Records would be lost: use another --prefix, or set it in Kafka")


def _refuse_small(least: Mapping[str, int], reported: Mapping[str, Mapping[str, str]]) -> None:
    """Topics that do not take what a worker may have to send: it could never go on behind that."""
    limits = {name: int(has["max.message.bytes"]) for name, has in reported.items() if "max.message.bytes" in has}
    small = [
        f"{name}: max.message.bytes is {limit}, and at least {least[name]} are needed"
        for name, limit in limits.items()
        if limit < least[name]
    ]
    if small:
        raise TopicError(f"{'; '.join(small)}: raise it in Kafka")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
