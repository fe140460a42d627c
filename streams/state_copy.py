"""What was read of a partition of the state topic."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from models.shard_state import CLOSING_KEY
from streams.state_log import Noted, Pages, read_app, read_noted


class StateCopy:
    """The newest pages that a closing record stands behind, and those that none does yet.

    `apps`: the applications that wrote closing records.
    """

    def __init__(self) -> None:
        self.position = 0  # offset of the next record to read
        self.closing: bytes | None = None
        self.noted = Noted({}, {})
        self.apps: set[str] = set()
        self._pages: dict[bytes, bytes] = {}
        self._open: dict[bytes, bytes] = {}

    def add(self, record: ConsumerRecord) -> None:
        """The next record."""
        self.position = record.offset + 1
        if record.key != CLOSING_KEY:
            self._open[record.key] = record.value
            return
        self._pages |= self._open
        self._open = {}
        self.closing, self.noted = record.value, read_noted(record.headers)
        if (app := read_app(record.headers)) is not None:
            self.apps.add(app)

    def records(self) -> Pages:
        """For `Shard.restore`: pages, the closing record, and the pages of a checkpoint that was never finished."""
        closing = [] if self.closing is None else [(CLOSING_KEY, self.closing)]
        return [*self._pages.items(), *closing, *self._open.items()]
