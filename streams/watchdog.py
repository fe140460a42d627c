"""The watchdog: a worker that has lag and makes no progress ends, so that its supervisor starts it anew.

Consumers can die without a word, and Faust's own detector only logs. `Watchdog` decides, and is told the time; `watch`
asks the broker for the ends of the log by a client of its own. A thread looks after the event loop itself, which may
hang as well. A worker that waits for its lake or its broker is left alone: it says so, and goes on by itself. So is one
that waits for a producer's transaction; a start anew would not end that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.errors import UserError
from streams import clients
from streams.security import SecurityError, refusal
from streams.settings import Settings
from streams.telemetry import unready
from streams.troubles import Troubles

if TYPE_CHECKING:
    from streams.worker import Worker

RECORD_MS = 5000  # for a record that is there
ENDS_S = 5.0  # for the ends of the log
LOOKS = 12  # within the time that is allowed
RESTLESS = 3  # assignments, none of which a worker was ready for
ACCESS = "access to the broker"
log = logging.getLogger(__name__)


class StuckError(UserError):
    """The worker makes no progress; it is ended, and its supervisor starts it anew."""

    exit_code = 3


class Lag(NamedTuple):
    """Offsets that wait: those from `first` to before `end` have done so since `since`, s."""

    first: int
    end: int
    since: float

    @property
    def records(self) -> int:
        """Offsets, of which some may be markers of transactions."""
        return self.end - self.first


class Watchdog:
    """Decides from what it is shown; times are seconds of any clock that does not go back."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._lags: dict[int, Lag] = {}  # by partition; none where there is no lag

    def look(self, now: float, ends: Mapping[int, int], reached: Mapping[int, int]) -> dict[int, Lag]:
        """What has waited for the limit, by partition. ends, reached: the ends of the log, the next offsets."""
        seen = {number: Lag(first, ends.get(number, 0), now) for number, first in reached.items()}
        known = {number: lag for number, lag in self._lags.items() if reached.get(number) == lag.first}
        self._lags = {number: lag for number, lag in seen.items() if lag.end > lag.first} | known
        return {number: lag for number, lag in self._lags.items() if now - lag.since >= self.limit_s}

    def excuse(self, number: int) -> None:
        """Begin to count anew in a partition: what waits there is nothing to work on."""
        del self._lags[number]

    def forget(self) -> None:
        """Begin to count anew: the worker had a reason to wait."""
        self._lags.clear()


class Joining:
    """Whether a worker gets into its group; times as for `Watchdog`.

    A restore may take long and has its own deadline: it is no reason unless a new assignment ends it again and again.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: tuple[float, int] | None = None  # when the worker was not ready first, and its assignments then

    def look(self, now: float, *, ready: bool, member: bool, assignments: int) -> int | None:
        """How often a worker that has not been ready for the limit was given partitions; None for one that may be.

        member: whether it has ever been given any; assignments: how often.
        """
        if ready:
            self._since = None
            return None
        since, before = self._since = self._since or (now, assignments)
        given = assignments - before
        return given if now - since >= self.limit_s and (not member or given >= RESTLESS) else None

    def forget(self) -> None:
        """Begin to count anew."""
        self._since = None


class Access:
    """Whether the broker still lets the worker in: clients retry a refusal as they retry a broker that is away."""

    def __init__(self, settings: Settings, troubles: Troubles) -> None:
        self.settings, self.troubles = settings, troubles
        self._since: float | None = None  # monotonic s, of the first refusal of several

    async def look(self) -> None:
        """Name a refusal as a trouble. Raises SecurityError for one that lasts for `watchdog_s`."""
        said = await refusal(self.settings)
        if said is None:
            self._since = None
            self.troubles.end(ACCESS)
            return
        self.troubles.begin(ACCESS, said)
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since >= self.settings.watchdog_s:
            raise SecurityError(f"{said}. Nothing is lost: the next start goes on from the last checkpoint")


async def watch(worker: Worker) -> None:
    """Until the worker is stuck. Raises StuckError, SecurityError."""
    settings = worker.settings
    topic, pause_s = settings.topic("events"), settings.watchdog_s / LOOKS
    watchdog, transactions = Watchdog(settings.watchdog_s), Watchdog(settings.watchdog_s)
    beat = Heartbeat(settings.watchdog_s)
    joining = Joining(settings.watchdog_s + settings.session_timeout_s + settings.rebalance_timeout_s)
    reader = clients.reader(settings, isolation_level="read_committed")  # the end is where an open transaction begins
    beating = asyncio.create_task(_beat(beat, pause_s))
    try:
        await reader.start()
        while True:
            await asyncio.sleep(pause_s)
            reached = {number: shard.next_offset for number, shard in worker.shards.items()}
            ends: dict[int, int] = {}
            with suppress(KafkaError, TimeoutError):  # a broker that is away is a trouble that others name
                async with asyncio.timeout(ENDS_S):
                    found = await reader.end_offsets([TopicPartition(topic, number) for number in reached])
                ends = {tp.partition: end for tp, end in found.items()}
            if worker.trouble:
                watchdog.forget()
                transactions.forget()
                joining.forget()
                await worker.access.look()
            else:
                _check_joined(worker, joining)
                _name_transactions(worker, transactions, ends)
                for number, lag in watchdog.look(time.monotonic(), ends, reached).items():
                    if await _has_record(reader, TopicPartition(topic, number), lag):
                        raise StuckError(
                            f"no progress for {settings.watchdog_s:g} s in partition {number}, "
                            f"{lag.records:,} records behind. "
                            "Nothing is lost: the next start goes on from the last checkpoint"
                        )
                    watchdog.excuse(number)
    finally:
        beating.cancel()
        beat.stop()
        await reader.stop()


async def _beat(beat: Heartbeat, pause_s: float) -> None:
    """As long as the loop runs, whatever is waited for."""
    while True:
        beat.beat()
        await asyncio.sleep(pause_s)


def _check_joined(worker: Worker, joining: Joining) -> None:
    member, ready = worker.telemetry.partitions is not None, unready(worker) is None
    given = joining.look(time.monotonic(), ready=ready, member=member, assignments=worker.ownership.assignments)
    if given is not None:
        twin = ", or for another worker with the same --instance-id" if worker.settings.instance_id else ""
        raise StuckError(
            f"not ready for {joining.limit_s:g} s: the group {worker.settings.app} gave the worker partitions {given} "
            f"times and took them back. Look for the group's coordinator in Kafka, for workers that come and go{twin}. "
            "Nothing is lost: the next start goes on from the last checkpoint"
        )


def _name_transactions(worker: Worker, transactions: Watchdog, ends: Mapping[int, int]) -> None:
    """Warn of records that nobody may read before a transaction ends. ends: those of what is committed."""
    logged = {number: worker.telemetry.end_of(number) or 0 for number in ends}
    waiting = transactions.look(time.monotonic(), logged, ends)
    for number, lag in waiting.items():
        log.warning(
            "%s records in partition %d wait for a producer that has not ended its transaction for %g s: nothing of "
            "the partition is decided meanwhile. Kafka ends it after the producer's transaction.timeout.ms; "
            "kafka-transactions.sh finds it",
            f"{lag.records:,}", number, transactions.limit_s,
        )  # fmt: skip
    if waiting:
        transactions.forget()


async def _has_record(reader: AIOKafkaConsumer, tp: TopicPartition, lag: Lag) -> bool:
    """Whether there is one in a lag: the end of a log also counts the markers of transactions."""
    reader.assign([tp])
    reader.seek(tp, lag.first)
    found = await reader.getmany(tp, timeout_ms=RECORD_MS, max_records=1)
    return any(record.offset < lag.end for records in found.values() for record in records)


class Heartbeat:
    """A thread that ends the process when `beat` is not called for too long: the event loop hangs."""

    def __init__(self, limit_s: float, end: Callable[[int], None] = os._exit) -> None:
        self.limit_s, self._end = limit_s, end
        self._beaten_at = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._listen, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """The loop is alive."""
        self._beaten_at = time.monotonic()

    def stop(self) -> None:
        """Listen no more."""
        self._stopped.set()

    def _listen(self) -> None:
        before = time.monotonic()
        while not self._stopped.wait(self.limit_s / LOOKS):
            now = time.monotonic()
            if now - before > self.limit_s / 2:
                self._beaten_at = now  # the whole process was stopped, not the loop alone
            before = now
            if now - self._beaten_at > self.limit_s:
                print(f"zhice: the event loop hangs for {self.limit_s:g} s", file=sys.stderr, flush=True)
                self._end(StuckError.exit_code)
