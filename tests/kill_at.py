"""`zhice` in a process that kills itself: `python -m tests.kill_at STEP[:COUNT] worker …`.

The process ends by SIGKILL the COUNT-th time (1) that it reaches the step; see streams/steps.py for their names.
"""

from __future__ import annotations

import os
import signal
import sys

from streams import steps
from streams.cli import main
from streams.steps import Step


def kill_at(wanted: Step, count: int) -> None:
    """Replace the hook of the steps."""
    left = count

    def reached(step: Step) -> None:
        nonlocal left
        left -= step == wanted
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.reached = reached


if __name__ == "__main__":
    name, _, times = sys.argv.pop(1).partition(":")
    kill_at(Step(name), int(times or 1))
    main()
