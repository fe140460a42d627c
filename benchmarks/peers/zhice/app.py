"""`zhice worker` as it is, with one thing added: it says when it saw the first record."""

from __future__ import annotations

import time
from typing import Any

from streams.cli import main
from streams.worker import Worker

take = Worker.take


async def take_first(worker: Worker, batch: Any) -> None:
    print(f"first record {time.time()}", flush=True)
    Worker.take = take  # type: ignore[method-assign]
    await take(worker, batch)


Worker.take = take_first  # type: ignore[method-assign]
main()
