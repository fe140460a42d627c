"""How long a thread keeps the interpreter while others wait for it.

The event loop shares it with the threads of the lake and of the consumer. Python's turns of 5 ms are right for a worker
that has much to catch up with; for one that is abreast, such turns are most of what an event waits for.
"""

from __future__ import annotations

import sys
from typing import Final

SHORT_S: Final = 0.0005
LONG_S: Final = 0.005  # Python's own
CATCHING_UP: Final = 2000  # records of a batch


def set_turns(records: int) -> None:
    """Before a batch of so many records."""
    sys.setswitchinterval(LONG_S if records >= CATCHING_UP else SHORT_S)
