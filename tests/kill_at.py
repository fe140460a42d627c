"""`zhice` in a process that kills itself: `python -m tests.kill_at STEP[:COUNT] worker …`.

The process ends by SIGKILL the COUNT-th time (1) that it reaches the step; see streams/steps.py for their names. Of
several, `STEP[:COUNT],STEP[:COUNT] worker …`, each is killed in a child of its own, one after another, which saves the
imports; the exit code is then 0 if all of them were.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from streams import serve, steps  # noqa: F401  all that a worker imports, once
from streams.cli import main
from streams.steps import Step

PR_SET_PDEATHSIG = 1


def kill_at(wanted: Step, count: int) -> None:
    """Replace the hook of the steps."""
    left = count

    def reached(step: Step) -> None:
        nonlocal left
        left -= step == wanted
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.reached = reached


def run(one: str) -> None:
    """The command, to be killed at a step."""
    name, _, times = one.partition(":")
    kill_at(Step(name), int(times or 1))
    main()


def run_each(several: list[str]) -> None:
    """The command for each of several steps. Raises SystemExit for the first that is not killed."""
    for one in several:
        child = os.fork()
        if not child:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # who ends this process ends the child
            run(one)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(f"{one} was not reached")


if __name__ == "__main__":
    wanted = sys.argv.pop(1).split(",")
    if len(wanted) == 1:
        run(wanted[0])
    else:
        run_each(wanted)
