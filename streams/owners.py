"""Which worker owns a partition, and where it answers.

A worker puts its HTTP address into the client id with which it joins the consumer group. The group's coordinator
knows the members, their partitions and their client ids, so whoever asks it sees the present owners: there is no
second place that could disagree with it.
"""

from __future__ import annotations

import time
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code

from streams.security import client_options
from streams.settings import ADDRESS, Settings, endpoint

FRESH_S: Final = 5.0  # for which an answer of the coordinator is used again
ANY: Final = ("0.0.0.0", "::")
CLIENT: Final = "zhice"


class OwnersError(RuntimeError):
    """The coordinator cannot be asked; the message says why."""


def client_id(settings: Settings) -> str:
    """`zhice`, and `@HOST:PORT` where other workers can ask this one for profiles. Raises SettingsError."""
    if settings.http_address:
        return f"{CLIENT}@{settings.http_address}"
    if not settings.http or not settings.http_token:
        return CLIENT
    host, port = endpoint("--http", settings.http)
    return CLIENT if host in ANY else f"{CLIENT}@{f'[{host}]' if ':' in host else host}:{port}"


class Owners:
    """The addresses of the partitions' owners, asked again when they are older than a few seconds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._addresses: dict[int, str] = {}
        self._asked_at = -FRESH_S

    async def address(self, partition: int) -> str | None:
        """`HOST:PORT`; None where nobody owns the partition or its owner has told no address. Raises OwnersError."""
        if time.monotonic() - self._asked_at >= FRESH_S or partition not in self._addresses:
            self._addresses = await self._ask()
            self._asked_at = time.monotonic()
        return self._addresses.get(partition)

    def forget(self) -> None:
        """What is known has turned out wrong."""
        self._asked_at = -FRESH_S

    async def _ask(self) -> dict[int, str]:
        admin = AIOKafkaAdminClient(**client_options(self.settings), request_timeout_ms=5000)
        try:
            await admin.start()
            (response,) = await admin.describe_consumer_groups([self.settings.app])
        except KafkaError as error:
            raise OwnersError(f"the group's coordinator does not answer ({type(error).__name__})") from error
        finally:
            await admin.close()
        return self._addresses_in(response)

    def _addresses_in(self, response: object) -> dict[int, str]:
        found: dict[int, str] = {}
        for error_code, _, _, _, _, members, *_ in response.groups:  # type: ignore[attr-defined]
            if error_code:
                raise OwnersError(
                    f"the group's coordinator refuses to tell its members ({for_code(error_code).__name__})"
                )
            for _, client, _, _, assignment in members:
                if address := ADDRESS.fullmatch(client.partition("@")[2]):
                    found |= dict.fromkeys(self._partitions(assignment), address.group())
        return found

    def _partitions(self, assignment: bytes) -> list[int]:
        if not assignment:
            return []
        decoded = ConsumerProtocolMemberAssignment.decode(assignment)
        return [tp.partition for tp in decoded.partitions() if tp.topic == self.settings.topic("events")]
