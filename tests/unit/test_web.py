"""HTTP of a worker without a broker: what each state of it answers, and how one worker asks another."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from prometheus_client import generate_latest
from yarl import URL

from models.layout import Layout
from models.names import group_of
from models.plan import DEDUP_IDS
from models.shard import Shard
from models.texts import Texts
from streams.broker import free_port
from streams.catalogues import read_catalogue
from streams.owners import Owners, OwnersError, client_id
from streams.routing import partition_of
from streams.settings import Settings, SettingsError, endpoint
from streams.telemetry import Telemetry, WorkerCollector
from streams.web import WebError, serving

LAYOUT = Layout.compile(read_catalogue())
TOKEN = "offen-0451"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
CUSTOMER = next(name for name in map(str, range(100)) if partition_of(name.encode(), 4) == 1)


class OneWorker:
    """A worker that knows one customer."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.telemetry = settings, Telemetry()
        self.trouble: str | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.shards: dict[int, Shard] = {}

    def next_offset(self, partition: int) -> int:
        return 0

    async def profile(self, partition: int, customer_id: str) -> dict[str, Any] | None:
        return {"customer_id": customer_id} if customer_id == CUSTOMER else None


def worker(**changes: Any) -> OneWorker:
    return OneWorker(Settings(**{"http": str(free_port()), "http_token": TOKEN} | changes))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


async def get(worker: OneWorker, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    url = URL(f"http://127.0.0.1:{worker.settings.http}{path}", encoded=True)
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else {"text": text}


def own(worker: OneWorker, *partitions: int) -> None:
    """Assign these partitions, and restore them."""
    worker.telemetry.partitions = set(partitions)
    worker.shards = {partition: Shard(LAYOUT, "zhice.events", partition) for partition in partitions}


def test_health_follows_the_worker() -> None:
    async def test() -> None:
        one = worker()
        async with serving(one):
            assert await get(one, "/health") == (503, health("it waits to join the consumer group"))
            own(one, 2)
            one.telemetry.partitions = {0, 2, 3}
            assert await get(one, "/health") == (503, health("it restores partitions 0, 3", [0, 2, 3], [2]))
            own(one, 2, 3)
            assert await get(one, "/health") == (200, health(None, [2, 3], [2, 3]))
            one.trouble = "lake cannot be written: disk full"
            assert await get(one, "/health") == (503, health(one.trouble, [2, 3], [2, 3]))
            one.trouble = None
            own(one)  # more workers than partitions: it stands by
            assert (await get(one, "/health"))[0] == 200
            one.failed.set_exception(OSError())
            assert (await get(one, "/health"))[1]["reason"].startswith("it has failed")
            assert isinstance(one.failed.exception(), OSError)

    run(test)


def health(
    reason: str | None, partitions: list[int] | None = None, restored: list[int] | None = None
) -> dict[str, Any]:
    return {
        "ready": reason is None, "reason": reason, "partitions": partitions or [], "restored": restored or [],
    }  # fmt: skip


def test_metrics_count_failures_of_the_lake_and_lag() -> None:
    async def test() -> None:
        one = worker()
        own(one, 1)
        one.telemetry.registry.register(WorkerCollector(one))
        one.telemetry.highwater = lambda partition: 100 + partition
        with contextlib.suppress(OSError), one.telemetry.lake_commit():
            raise OSError
        with one.telemetry.lake_commit():
            pass
        text = generate_latest(one.telemetry.registry).decode()
        assert "\nzhice_lake_commit_failures_total 1.0\n" in text
        assert "\nzhice_lake_commit_seconds_count 2.0\n" in text
        assert '\nzhice_lag_records{partition="1"} 101.0\n' in text
        assert "\nzhice_ready 1.0\n" in text

    run(test)


def test_bytes_of_the_state_are_of_its_rows_not_of_the_room_for_more() -> None:
    """Arrays double when they are full: 1,025 customers have room for 2,048."""

    async def test() -> None:
        one = worker()
        own(one, 1)
        one.telemetry.registry.register(WorkerCollector(one))

        def size() -> float:
            found = one.telemetry.registry.get_sample_value("zhice_state_bytes", {"partition": "1"})
            assert found is not None
            return found

        rows, cells = one.shards[1].rows, LAYOUT.cells(keyed=False)
        assert size() == 0
        rows.add(False, Texts.of([b"%08d" % number for number in range(1025)]), np.zeros(1025, np.int64))
        assert len(rows.state.customers) == 2048
        besides = (DEDUP_IDS + 1) * 8 + 5 * 8 + 1 + 8  # ids, the columns of its name, whether it is touched, the name
        assert size() == 1025 * (cells * 8 + besides) < 1025 * 4096
        before = size()
        rows.add(True, Texts.of([b"loan-1"]), group_of(1, np.array([7])))
        assert size() - before == LAYOUT.cells(keyed=True) * 8 + 8 + 4 + 5 * 8 + len(b"loan-1")

    run(test)


def test_without_a_token_there_are_no_profiles() -> None:
    async def test() -> None:
        one = worker(http_token="")
        async with serving(one):
            assert (await get(one, f"/customers/{CUSTOMER}", {"Authorization": "Bearer "}))[0] == 404
            assert (await get(one, "/metrics"))[0] == 200

    run(test)


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer falsch", TOKEN, f"Bearer {TOKEN} ", "Bearer ä"])
def test_a_wrong_token_is_refused(header: str) -> None:
    async def test() -> None:
        one = worker()
        own(one, 1)
        async with serving(one):
            given = {"Authorization": header.strip(" ") + "x" if header.endswith(" ") else header}
            assert (await get(one, f"/customers/{CUSTOMER}", given))[0] == 401

    run(test)


@pytest.mark.parametrize("token", [b"\xff\xfe", TOKEN.encode() + b"\xff", b"\xc3"])
def test_a_token_that_is_no_text_is_refused_too(token: bytes) -> None:
    """And is no error: that would show a traceback to whoever has no token."""

    async def test() -> None:
        one = worker()
        own(one, 1)
        async with serving(one):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(one.settings.http))
            head = f"GET /customers/{CUSTOMER} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
            writer.write(head.encode() + token + b"\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert answer.startswith(b"HTTP/1.1 401 ")

    run(test)


@pytest.mark.parametrize(
    "customer", ["a\nb", "\n", "a\r\nb", "a/b", "a?b#c", "a%b", "a%2Fb", "客户", "a\x00b", "a b+c"]
)
@pytest.mark.parametrize("owns", [True, False])
def test_any_customer_can_be_asked_for(customer: str, owns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its owner, and through another worker."""
    monkeypatch.setattr(f"{__name__}.CUSTOMER", customer)

    async def test() -> None:
        async with pair(monkeypatch) as (first, second), serving(second):
            own(second, 0, 1, 2, 3)
            own(first, *(range(4) if owns else ()))
            path = f"/customers/{quote(customer, safe='')}"
            assert await get(first, path, AUTHORIZED) == (200, {"customer_id": customer})

    run(test)


def test_the_owner_answers() -> None:
    async def test() -> None:
        one = worker()
        path = f"/customers/{CUSTOMER}"
        async with serving(one):
            one.telemetry.partitions = {0, 1, 2, 3}
            assert (await get(one, path, AUTHORIZED))[0] == 503
            own(one, 0, 1, 2, 3)
            assert await get(one, path, AUTHORIZED) == (200, {"customer_id": CUSTOMER})
            assert await get(one, "/customers/no/such%2Fone", AUTHORIZED) == (404, {"error": "no such customer"})

    run(test)


@contextlib.asynccontextmanager
async def pair(monkeypatch: pytest.MonkeyPatch, **other: Any) -> AsyncIterator[tuple[OneWorker, OneWorker]]:
    """Two workers; the first believes that the second owns every partition."""
    first, second = worker(), worker(**other)

    async def address(_: Owners, __: int) -> str:
        return f"127.0.0.1:{second.settings.http}"

    monkeypatch.setattr(Owners, "address", address)
    own(first, 0)
    async with serving(first):
        yield first, second


def test_another_worker_asks_the_owner_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        path = f"/customers/{CUSTOMER}"
        async with pair(monkeypatch) as (first, second):
            status, body = await get(first, path, AUTHORIZED)
            assert status == 502 and "does not answer" in body["error"]
            async with serving(second):
                status, body = await get(first, path, AUTHORIZED)  # neither owns it: no third one is asked
                assert status == 503 and "is moving between workers" in body["error"]
                own(second, 1)
                assert await get(first, path, AUTHORIZED) == (200, {"customer_id": CUSTOMER})
                assert (await get(first, path, {**AUTHORIZED, "Zhice-Forwarded": "1"}))[0] == 503

    run(test)


@pytest.mark.parametrize("token", ["", "another"])
def test_workers_with_different_tokens_say_so(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    async def test() -> None:
        async with pair(monkeypatch, http_token=token) as (first, second), serving(second):
            own(second, 1)
            status, body = await get(first, f"/customers/{CUSTOMER}", AUTHORIZED)
            assert status == 502 and "same token?" in body["error"]

    run(test)


def test_a_coordinator_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: Owners) -> dict[int, str]:
        raise OwnersError("the group's coordinator does not answer")

    async def test() -> None:
        one = worker()
        own(one, 0)
        monkeypatch.setattr(Owners, "_ask", refuse)
        async with serving(one):
            assert await get(one, f"/customers/{CUSTOMER}", AUTHORIZED) == (
                502, {"error": "the group's coordinator does not answer"},
            )  # fmt: skip

    run(test)


def test_a_taken_port_is_one_line() -> None:
    async def test() -> None:
        one = worker()
        async with serving(one):
            with pytest.raises(WebError, match="cannot be served"):
                async with serving(worker(http=one.settings.http)):
                    pass

    run(test)


def test_off_by_default_and_loopback_unless_told() -> None:
    assert Settings().http == "" and client_id(Settings()) == "zhice"
    assert endpoint("--http", "9464") == ("127.0.0.1", 9464)
    assert endpoint("--http", "0.0.0.0:9464") == ("0.0.0.0", 9464)
    for wrong in ("host", "host:", "host:0", "host:65536", "a b:1", ":9464"):
        with pytest.raises(SettingsError, match="give HOST:PORT"):
            endpoint("--http", wrong)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"http": "9464"}, "zhice@127.0.0.1:9464"),
        ({"http": "10.0.0.7:9464"}, "zhice@10.0.0.7:9464"),
        ({"http": "0.0.0.0:9464"}, "zhice"),
        ({"http": "0.0.0.0:9464", "http_address": "zhice-0.zhice:9464"}, "zhice@zhice-0.zhice:9464"),
        ({"http": "9464", "http_token": ""}, "zhice"),
    ],
)
def test_where_a_worker_says_it_can_be_asked(changes: dict[str, str], told: str) -> None:
    assert client_id(Settings(**{"http_token": TOKEN, **changes})) == told


def test_the_routes_are_few() -> None:
    async def test() -> None:
        one = worker()
        async with serving(one):
            for path in ("/", "/table", "/router", "/customers"):
                assert (await get(one, path, AUTHORIZED))[0] == 404
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{one.settings.http}/health"
                assert (await session.post(url)).status == web.HTTPMethodNotAllowed.status_code

    run(test)
