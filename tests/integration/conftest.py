"""What a test leaves in its process is gone before the next one."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest

from tests.integration.worked import run_here


@pytest.fixture(autouse=True)
def no_connection_is_left() -> Iterator[None]:
    """aiokafka may leave a connection that it was making when a worker ended.

    It warns of it when that is collected, which would be a fault of whatever test runs then.
    """
    yield
    if run_here:
        run_here.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
