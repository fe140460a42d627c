"""What a checkpoint stands behind must be on the disk: a power failure takes what only the system has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def sync(*paths: Path) -> None:
    """Wait until files, or the names in folders, are on the disk. Raises OSError; not for file systems without that."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if path.is_dir():
                with suppress(OSError):  # some file systems of a network know no such call for a folder
                    os.fsync(descriptor)
            else:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_log(place: Path, after: int, to: int) -> None:
    """The entries of a table's log after one version, to another, and its checkpoints there. Raises OSError."""
    log = place / "_delta_log"
    entries = [entry for version in range(after + 1, to + 1) for entry in log.glob(f"{version:020}*")]
    sync(*entries, *log.glob("_last_checkpoint"), log)
