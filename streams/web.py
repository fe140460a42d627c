"""What a worker answers over HTTP: /health, /metrics, and with a token the profiles of customers.

A profile is answered by the worker that owns the customer's partition; another one asks the owner, once. Nothing here
logs a path: it would hold a customer's id.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from yarl import URL

from models.errors import UserError
from streams.owners import Owners, OwnersError
from streams.routing import partition_of
from streams.settings import Settings, endpoint
from streams.telemetry import Observed, WorkerCollector, unready

FORWARDED: Final = "Zhice-Forwarded"  # an owner that is asked with it asks no other
FORWARD_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0)
PASSED_ON: Final = (HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)


class WebError(UserError):
    """The address cannot be served; the message says why."""


class Answering(Observed, Protocol):
    """A worker that can be asked for a customer."""

    settings: Settings

    async def profile(self, partition: int, customer_id: str) -> dict[str, Any] | None: ...


@asynccontextmanager
async def serving(worker: Answering) -> AsyncIterator[None]:
    """Answer as long as the context lasts, if the settings ask for it. Raises WebError, SettingsError."""
    if not worker.settings.http:
        yield
        return
    host, port = endpoint("--http", worker.settings.http)
    worker.telemetry.registry.register(WorkerCollector(worker))
    async with aiohttp.ClientSession(timeout=FORWARD_TIMEOUT) as session:
        runner = web.AppRunner(application(worker, session), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield
        except OSError as error:
            raise WebError(f"--http {worker.settings.http} cannot be served: {error.strerror}") from error
        finally:
            await runner.cleanup()


def application(worker: Answering, session: aiohttp.ClientSession) -> web.Application:
    """The routes; that of customers is there with a token only."""
    app = web.Application()
    app.router.add_get("/health", _Probes(worker).health)
    app.router.add_get("/metrics", _Probes(worker).metrics)
    if worker.settings.http_token:
        app.router.add_get("/customers/{customer:(?s:.+)}", _Profiles(worker, session).get)
    return app


class _Probes:
    """What Prometheus and Kubernetes ask."""

    def __init__(self, worker: Answering) -> None:
        self.worker = worker

    async def health(self, _: web.Request) -> web.Response:
        reason, telemetry = unready(self.worker), self.worker.telemetry
        body = {
            "ready": reason is None,
            "reason": reason,
            "partitions": sorted(telemetry.partitions or ()),
            "restored": sorted(self.worker.shards),
        }
        return _json(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, body)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self.worker.telemetry.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


class _Profiles:
    """/customers/{id}."""

    def __init__(self, worker: Answering, session: aiohttp.ClientSession) -> None:
        self.worker, self.session = worker, session
        self.owners = Owners(worker.settings)
        self._expected = f"Bearer {worker.settings.http_token}".encode()

    async def get(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")  # the bytes as they came
        if not hmac.compare_digest(given, self._expected):
            return _error(HTTPStatus.UNAUTHORIZED, "give the token: Authorization: Bearer …")
        customer = request.match_info["customer"]
        partition = partition_of(customer.encode(), self.worker.settings.partitions)
        if partition in (self.worker.telemetry.partitions or ()):
            return await self._own(partition, customer)
        if FORWARDED in request.headers:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, f"partition {partition} is moving between workers: ask again")
        return await self._ask_owner(partition, customer)

    async def _own(self, partition: int, customer: str) -> web.Response:
        if partition not in self.worker.shards:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, f"partition {partition} is being restored: ask again")
        profile = await self.worker.profile(partition, customer)
        if profile is None:
            return _error(HTTPStatus.NOT_FOUND, "no such customer")
        return _json(HTTPStatus.OK, profile)

    async def _ask_owner(self, partition: int, customer: str) -> web.Response:
        try:
            address = await self.owners.address(partition)
            if address is None:
                return _error(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"no worker with an address owns partition {partition}; see --http-address, or ask again",
                )
            return await self._forward(address, customer)
        except OwnersError as error:
            return _error(HTTPStatus.BAD_GATEWAY, str(error))
        except (aiohttp.ClientError, TimeoutError):
            self.owners.forget()
            return _error(HTTPStatus.BAD_GATEWAY, f"the owner of partition {partition} at {address} does not answer")

    async def _forward(self, address: str, customer: str) -> web.Response:
        headers = {"Authorization": self._expected.decode(), FORWARDED: "1"}
        url = f"http://{address}/customers/{quote(customer, safe='')}"
        async with self.session.get(URL(url, encoded=True), headers=headers) as response:
            if response.status not in PASSED_ON or response.content_type != "application/json":
                self.owners.forget()
                return _error(HTTPStatus.BAD_GATEWAY, f"the owner at {address} answers {response.status}: same token?")
            if response.status != HTTPStatus.OK:
                self.owners.forget()
            return web.Response(status=response.status, body=await response.read(), content_type="application/json")


def _json(status: HTTPStatus, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


def _error(status: HTTPStatus, message: str) -> web.Response:
    response = _json(status, {"error": message})
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
