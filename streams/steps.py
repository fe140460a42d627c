"""The named points of the way to a durable checkpoint, at which a test can kill the process.

`reached` is called at each of them and does nothing. A test replaces it in a worker of its own: tests/forked.py starts
one that kills itself with SIGKILL the n-th time that it reaches a step.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """In the order in which a worker reaches them."""

    FENCED = "fenced"  # a partition was assigned: who wrote it before can no longer
    STATE_READ = "state-read"  # the shard is restored
    TAIL_READ = "tail-read"  # what was sent after the last checkpoint is known: the partition is ready
    BATCH_APPLIED = "batch-applied"  # a batch went through the shard; nothing of it has been sent
    BATCH_SENT = "batch-sent"  # its outputs are on the way, its rows wait for the lake
    DUMPED = "dumped"  # a checkpoint began: pages and offsets of one moment
    OUTPUTS_ACKNOWLEDGED = "outputs-acknowledged"
    LAKE_COMMITTED = "lake-committed"
    PAGES_SENT = "pages-sent"  # of a partition; its transaction is open
    CLOSING_SENT = "closing-sent"  # its closing record, too
    OFFSET_SENT = "offset-sent"  # the source offset, too; not reached without transactions
    COMMITTED = "committed"  # the partition's checkpoint counts


def _go_on(step: Step) -> None:
    """What `reached` is in production."""


reached: Callable[[Step], None] = _go_on
