"""Settings of the worker: one typed struct, filled from options, environment variables and defaults, in this order."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

ENV_PREFIX = "ZHICE_"


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and says what it may be."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is an option `--name` and an environment variable `ZHICE_NAME`."""

    broker: Annotated[str, Meta(description="Kafka bootstrap servers, host:port[,host:port…].")] = "127.0.0.1:9092"
    app: Annotated[str, Meta(description="Name of the application: the consumer group.")] = "zhice"
    prefix: Annotated[str, Meta(description="First part of every topic's name.")] = "zhice"
    partitions: Annotated[int, Meta(ge=1, le=1024, description="Partitions of every topic.")] = 4
    replication: Annotated[int, Meta(ge=1, le=7, description="Replicas of every topic.")] = 1
    catalogue: Annotated[str, Meta(description="Folder or file of the catalogue; empty: retail_bank.")] = ""
    lake: Annotated[str, Meta(description="Folder of the lake.")] = ".zhice/lake"
    transactions: Annotated[
        bool, Meta(description="Transactional and idempotent producers; the embedded broker has none.")
    ] = True
    profiles: Annotated[bool, Meta(description="Publish customers' profiles at each checkpoint.")] = True
    tick_ms: Annotated[int, Meta(ge=0, le=60_000, description="A tick on each idle partition every … ms; 0: none.")] = (
        1000
    )
    checkpoint_s: Annotated[float, Meta(ge=0.1, le=300, description="Least time between checkpoints, s.")] = 10.0
    checkpoint_max_s: Annotated[float, Meta(ge=1, le=3600, description="Most time between checkpoints, s.")] = 300.0
    fetch_records: Annotated[int, Meta(ge=1, le=100_000, description="Records of one record batch, at most.")] = 20_000
    restore_timeout_s: Annotated[float, Meta(ge=1, le=3600, description="Deadline for reading a shard, s.")] = 120.0
    skip_expired: Annotated[bool, Meta(description="Go on where the broker has deleted events not worked through.")] = (
        False
    )
    session_timeout_s: Annotated[float, Meta(ge=1, le=300, description="Group session timeout, s.")] = 10.0
    rebalance_timeout_s: Annotated[float, Meta(ge=1, le=600, description="Group rebalance timeout, s.")] = 10.0
    standbys: Annotated[int, Meta(ge=0, le=1, description="1: keep a copy of the state of others' partitions.")] = 0
    watchdog_s: Annotated[float, Meta(ge=1, le=3600, description="Lag without progress after which it ends, s.")] = 60.0
    instance_id: Annotated[str, Meta(description="Static member of the group, one a worker; empty: a new member.")] = ""

    def topic(self, kind: str) -> str:
        """The name of a topic, e.g. `zhice.events`."""
        return f"{self.prefix}.{kind}"


def fields() -> list[tuple[str, Any, str]]:
    """(name, default, description) of every setting."""
    info = msgspec.inspect.type_info(Settings)
    assert isinstance(info, msgspec.inspect.StructType)
    return [(field.name, field.default, _description(field.type)) for field in info.fields]


def _description(type_: msgspec.inspect.Type) -> str:
    extra = type_.extra_json_schema if isinstance(type_, msgspec.inspect.Metadata) else None
    return (extra or {}).get("description", "")


def load(values: dict[str, Any]) -> Settings:
    """Settings from what was given; a value may be text, as environment variables are. Raises SettingsError."""
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"setting {error}") from None
