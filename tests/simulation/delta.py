"""Delta tables in memory, as far as the writer of the lake needs them, and the product's lake over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltalake.exceptions import CommitFailedError

from sinks.writer import Lake


class DeltaFiles:
    """What all processes share of one table: its commits, and what a transaction of an app last said."""

    def __init__(self) -> None:
        self.commits: list[tuple[dict[str, int], Any]] = []

    def transactions(self, version: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for said, _ in self.commits[:version]:
            found |= said
        return found


class DeltaSnapshot:
    """deltalake's DeltaTable: the table as it was when it was last looked at."""

    def __init__(self, files: DeltaFiles) -> None:
        self.files = files
        self.update_incremental()

    def update_incremental(self) -> None:
        self.version = len(self.files.commits)

    def transaction_version(self, app: str) -> int | None:
        return self.files.transactions(self.version).get(app)

    def append(self, rows: Any, said: dict[str, int]) -> None:
        """Raises CommitFailedError where a commit since then has a transaction of the same app."""
        since = [apps for apps, _ in self.files.commits[self.version :]]
        if any(app in apps for apps in since for app in said):
            raise CommitFailedError("Concurrent transaction failed")
        self.files.commits.append((dict(said), rows))
        self.update_incremental()


class SimLake(Lake):
    """The product's lake over tables in memory. `before_write` may kill the process, or raise OSError."""

    def __init__(self, files: dict[str, DeltaFiles], catalogue: Any, before_write: Callable[[str], None]) -> None:
        self._files, self._before_write = files, before_write
        super().__init__("nowhere", catalogue)

    def _check_is_of(self, catalogue: Any, topic: str | None) -> dict[str, Any]:
        return {}

    def _describe(self, topic: str | None) -> None: ...

    def _open(self, table: Any) -> Any:
        return DeltaSnapshot(self._files.setdefault(table.name, DeltaFiles()))

    def _write(self, table: Any, delta: Any, rows: Any, moved: dict[str, int]) -> None:
        self._before_write("before")
        delta.append(rows, moved)
        self._before_write("after")
