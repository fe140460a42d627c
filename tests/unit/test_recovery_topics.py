"""A restore waits for topics that the broker does not know, and says for which."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from models.layout import Layout
from streams.recovery import Recovery, RestoreError
from streams.settings import Settings
from streams.standby import Standby
from streams.telemetry import Telemetry
from streams.topics import TOPICS
from streams.troubles import Troubles
from tests.small_logs import small_catalogue

ALL = {f"zhice.{topic.kind}" for topic in TOPICS}


class Found(Exception):
    """The restore went on."""


class Reader:
    """Knows one set of topics each time it is asked, and the last one from then on."""

    def __init__(self, *known: set[str]) -> None:
        self.known = list(known)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def topics(self) -> set[str]:
        return self.known.pop(0) if len(self.known) > 1 else self.known[0]

    def assign(self, _: Any) -> None:
        raise Found


def restore(monkeypatch: pytest.MonkeyPatch, troubles: Troubles, *known: set[str], timeout_s: float = 10.0) -> None:
    async def nothing() -> None: ...

    monkeypatch.setattr("streams.clients.reader", lambda *_, **__: Reader(*known))
    monkeypatch.setattr("streams.recovery.TOPICS_S", 0.0)
    settings = Settings(restore_timeout_s=timeout_s)
    layout, outputs = Layout.compile(small_catalogue()), SimpleNamespace(troubles=troubles)
    recovery = Recovery(settings, layout, outputs, Standby(settings), Telemetry(), lambda *_: 0)  # type: ignore[arg-type]
    asyncio.run(recovery.restore(0, SimpleNamespace(open=nothing)))  # type: ignore[arg-type]


def test_topics_that_come_back_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = Troubles()
    with pytest.raises(Found):
        restore(monkeypatch, troubles, set(), ALL - {"zhice.state"}, ALL)
    assert troubles.text is None
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3 and said[0].count("zhice.") == 6
    assert "has no zhice.state: it came back without its topics" in said[1]
    assert said[2] == "the worker goes on: the broker's list of topics is back"


def test_topics_that_stay_away_end_the_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = Troubles()
    with pytest.raises(
        RestoreError, match=r"not restored within 0\.1 s; the broker at \S+ has no zhice\.state: it came"
    ):
        restore(monkeypatch, troubles, ALL - {"zhice.state"}, timeout_s=0.1)
    assert troubles.text is None
    assert not any("goes on" in record.getMessage() for record in caplog.records)


def test_topics_that_are_there_are_not_spoken_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic that nobody needs for a restore may be missing, or of others."""
    with pytest.raises(Found):
        restore(monkeypatch, Troubles(), ALL - {"zhice.profiles"} | {"other"})
    assert not caplog.records
