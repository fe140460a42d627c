"""What keeps a worker from going on although nothing is wrong with it: a lake or a broker that is away.

While there is one the worker takes no batches, so that its memory is bounded; it says so in its log and in
`Worker.trouble`, and goes on by itself when the fault is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

NAMED_AFTER_S = 5.0  # of waiting for something that answers within milliseconds when all is well
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 10.0


class Troubles:
    """Texts, by what they are about."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._none = asyncio.Event()
        self._none.set()

    @property
    def text(self) -> str | None:
        """All of them in one line; None when there are none."""
        return "; ".join(self._texts.values()) or None

    def begin(self, about: str, text: str) -> None:
        """Name a trouble; it is logged when it is new."""
        if self._texts.get(about) != text:
            log.error("the worker waits: %s", text)
        self._texts[about] = text
        self._none.clear()

    def end(self, about: str) -> None:
        """The trouble is over; nothing happens if there was none."""
        if self._texts.pop(about, None) is not None:
            log.warning("the worker goes on: %s is back", about)
        if not self._texts:
            self._none.set()

    def forget(self, about: str | None = None) -> None:
        """Who had this one, or all of them, is gone: whoever meets one again will name it again."""
        for one in list(self._texts) if about is None else [about]:
            self._texts.pop(one, None)
        if not self._texts:
            self._none.set()

    async def none(self) -> None:
        """Wait until there are none."""
        await self._none.wait()

    @contextmanager
    def named(self, about: str, text: str, after_s: float = NAMED_AFTER_S) -> Iterator[None]:
        """What is inside should end soon; if it does not, that is a trouble until it does."""
        slow = False

        def begin() -> None:
            nonlocal slow
            slow = True
            self.begin(about, text)

        timer = asyncio.get_running_loop().call_later(after_s, begin)
        try:
            yield
        finally:
            timer.cancel()
            if slow:
                self.end(about)


def pauses() -> Iterator[float]:
    """Seconds between attempts: doubled each time, up to a limit."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(2 * pause, LAST_PAUSE_S)
