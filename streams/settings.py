"""Settings of the worker: one typed struct, filled from options, environment variables and defaults, in this order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from models.errors import UserError

ENV_PREFIX = "ZHICE_"
MAX_PARTITIONS = 1024
SECRETS = ("sasl_password", "http_token")  # never shown
LINE_BREAKS: Final = "\r\n"  # at the end of a file of a secret; of a password all other white space counts
LOOPBACK: Final = "127.0.0.1"
ADDRESS: Final = re.compile(r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")  # HOST:PORT


class SettingsError(UserError):
    """A setting that cannot be used; the message names it and says what it may be."""

    exit_code = 2  # wrong usage, as for an option that the command line itself refuses


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is an option `--name` and an environment variable `ZHICE_NAME`."""

    broker: Annotated[str, Meta(description="Kafka bootstrap servers, host:port[,host:port…].")] = "127.0.0.1:9092"
    app: Annotated[
        str, Meta(max_length=200, description="Name of the application: the consumer group; empty: as --prefix.")
    ] = ""
    prefix: Annotated[str, Meta(description="First part of every topic's name.")] = "zhice"
    partitions: Annotated[int, Meta(ge=1, le=MAX_PARTITIONS, description="Partitions of every topic.")] = 4
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
    new_lake: Annotated[bool, Meta(description="Go on with a lake that lacks what was worked through.")] = False
    session_timeout_s: Annotated[float, Meta(ge=1, le=300, description="Group session timeout, s.")] = 10.0
    rebalance_timeout_s: Annotated[float, Meta(ge=1, le=600, description="Group rebalance timeout, s.")] = 10.0
    standbys: Annotated[int, Meta(ge=0, le=1, description="1: keep a copy of the state of others' partitions.")] = 0
    watchdog_s: Annotated[float, Meta(ge=1, le=3600, description="Lag without progress after which it ends, s.")] = 60.0
    instance_id: Annotated[str, Meta(description="Static member of the group, one a worker; empty: a new member.")] = ""
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"],
        Meta(description="Of the brokers; SASL_PLAINTEXT is refused."),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"], Meta(description="With SASL_SSL.")
    ] = "SCRAM-SHA-512"
    sasl_username: Annotated[str, Meta(description="With SASL_SSL.")] = ""
    sasl_password: Annotated[str, Meta(description="Better in the environment: others see options.")] = ""
    ssl_ca: Annotated[str, Meta(description="PEM file of the CAs to trust; empty: the system's.")] = ""
    ssl_cert: Annotated[str, Meta(description="PEM file of the client's certificate.")] = ""
    ssl_key: Annotated[str, Meta(description="PEM file of its key, unencrypted.")] = ""
    http: Annotated[str, Meta(description="HOST:PORT of /health and /metrics; empty: off.")] = ""
    http_address: Annotated[str, Meta(description="HOST:PORT where other workers reach it; empty: as --http.")] = ""
    http_token: Annotated[str, Meta(description="For /customers/ID; better in the environment; empty: none.")] = ""
    log_format: Annotated[Literal["text", "json"], Meta(description="A line of text or of JSON a message.")] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least level of a message.")
    ] = "info"

    def __post_init__(self) -> None:
        """Applications of other topics are others: of one name they would fence one another."""
        if not self.app:
            msgspec.structs.force_setattr(self, "app", self.prefix)

    def __rich_repr__(self) -> Iterator[tuple[str, Any]]:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            yield name, "…" if name in SECRETS and value else value

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def topic(self, kind: str) -> str:
        """The name of a topic, e.g. `zhice.events`."""
        return f"{self.prefix}.{kind}"


# Who reads a setting: a command has the options that do something in it.
CLUSTER: Final = (
    "broker", "security_protocol", "sasl_mechanism", "sasl_username", "sasl_password", "ssl_ca", "ssl_cert", "ssl_key",
)  # fmt: skip
OF_TOPICS: Final = (*CLUSTER, "prefix", "partitions", "replication")
OF_WORK: Final = (
    "app", "catalogue", "lake", "profiles", "checkpoint_s", "checkpoint_max_s", "fetch_records", "restore_timeout_s",
    "session_timeout_s", "rebalance_timeout_s", "watchdog_s",
)  # fmt: skip
OF_REPLAY: Final = (*OF_TOPICS, "transactions", *OF_WORK)  # one worker from the first record to the last
# what a broker that a replay starts for itself decides, whatever the environment says of another one
NOT_EMBEDDED: Final = (*CLUSTER, "replication", "transactions", "session_timeout_s", "rebalance_timeout_s")


class Field(NamedTuple):
    """A setting as an option shows it; `choices` is empty where any value of the type will do."""

    name: str
    default: Any
    description: str
    choices: tuple[str, ...]


def fields(names: Collection[str] = Settings.__struct_fields__) -> list[Field]:
    """The settings of these names, in order."""
    return [field for field in _all_fields() if field.name in names]


@cache
def _all_fields() -> list[Field]:
    info = msgspec.inspect.type_info(Settings)
    assert isinstance(info, msgspec.inspect.StructType)
    return [Field(field.name, field.default, *_described(field.type)) for field in info.fields]


def _described(type_: msgspec.inspect.Type) -> tuple[str, tuple[str, ...]]:
    """Description and choices."""
    description = ""
    if isinstance(type_, msgspec.inspect.Metadata):
        description = (type_.extra_json_schema or {}).get("description", "")
        type_ = type_.type
    return description, tuple(map(str, type_.values)) if isinstance(type_, msgspec.inspect.LiteralType) else ()


def load(values: dict[str, Any]) -> Settings:
    """Settings from what was given; a value may be text, as environment variables are. Raises SettingsError."""
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_in_words(str(error))) from None
    settings = msgspec.structs.replace(
        settings,
        http_token=_token(settings.http_token),
        sasl_username=settings.sasl_username.rstrip(LINE_BREAKS),
        sasl_password=settings.sasl_password.rstrip(LINE_BREAKS),
    )
    _check(settings)
    return settings


def _token(given: str) -> str:
    """A token without the white space around it, such as the last line break of a file. Raises SettingsError."""
    token = given.strip()
    if given and len(token.splitlines()) != 1:
        raise SettingsError("--http-token is white space, or more than one line, which no request could hold")
    return token


def _in_words(message: str) -> str:
    """msgspec's message, with the setting as it is given.

    >>> _in_words("Expected `int` >= 1 - at `$.fetch_records`")
    '--fetch-records: expected a whole number >= 1'
    """
    what, _, name = message.rstrip("`").partition(" - at `$.")
    for type_, words in (("`int`", "a whole number"), ("`float`", "a number"), ("`str`", "a text")):
        what = what.replace(type_, words)
    return f"--{name.replace('_', '-')}: {what[:1].lower()}{what[1:].replace('`', '')}"


def _check(settings: Settings) -> None:
    """Raises SettingsError for what cannot be used, or would silently have no effect, though its type is right."""
    brokers(settings.broker)
    check_lake(settings.lake)
    if settings.http:
        endpoint("--http", settings.http)
    if settings.http_token and not settings.http:
        raise SettingsError("--http-token is set without --http, so nobody could be answered: set --http, as in 9464")
    if settings.http_address and not settings.http_token:
        raise SettingsError("--http-address is set without --http-token, so no worker would ask there: set both")
    if settings.http_address and not _host_and_port(settings.http_address):
        raise SettingsError(f"--http-address {settings.http_address}: give HOST:PORT where other workers reach it")
    if settings.checkpoint_s > settings.checkpoint_max_s:
        raise SettingsError(
            f"--checkpoint-s {settings.checkpoint_s:g} is more than --checkpoint-max-s {settings.checkpoint_max_s:g}, "
            "so it would have no effect: the least time cannot be more than the most"
        )


def check_lake(folder: str) -> None:
    """Raises SettingsError for no name at all: the folder that somebody happens to be in is no lake."""
    if not folder:
        raise SettingsError(f"--lake is empty: name a folder, as in --lake {Settings().lake}")


def brokers(text: str) -> list[tuple[str, int]]:
    """(host, port) of each of HOST:PORT[,HOST:PORT…]. Raises SettingsError.

    >>> brokers("kafka-0:9092,[::1]:9093")
    [('kafka-0', 9092), ('::1', 9093)]
    """
    found = [_host_and_port(address) for address in text.split(",")]
    if None in found:
        raise SettingsError(
            f"--broker {text!r}: give HOST:PORT, several with commas between, as in kafka-0:9092,kafka-1:9092; "
            "an IPv6 address in brackets, as in [::1]:9092"
        )
    return [address for address in found if address]


def endpoint(option: str, text: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT, or of PORT alone, which is of the loopback. Raises SettingsError."""
    found = _host_and_port(text if ":" in text else f"{LOOPBACK}:{text}")
    if not found:
        raise SettingsError(f"{option} {text}: give HOST:PORT, as in {LOOPBACK}:9464, or PORT alone")
    return found


def _host_and_port(text: str) -> tuple[str, int] | None:
    found = ADDRESS.fullmatch(text)
    if not found or not 0 < int(found["port"]) < 65536:
        return None
    return found["host"].strip("[]"), int(found["port"])
