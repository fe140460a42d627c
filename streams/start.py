"""`zhice` as a process: it begins with little, hears SIGTERM as Ctrl-C, and ends when its command does."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Final

INTERRUPTED: Final = 130  # exit code after Ctrl-C, as shells have it
TERMINATED: Final = 143  # after SIGTERM
STOPPED: Final = "zhice: stopped"
WORKER: Final = "worker"  # the command that has its own way with SIGTERM

_heard: list[int] = []  # signals that were heard as Ctrl-C


def run() -> None:
    """The command line as a process of its own. Freeing all it imported would take it 0.4 s, so it ends at once."""
    try:
        if sys.argv[1:2] != [WORKER]:
            signal.signal(signal.SIGTERM, _as_ctrl_c)
        code = _command()
    except KeyboardInterrupt:  # before there is a command line that hears it
        os.write(2, f"{STOPPED}\n".encode())
        code = INTERRUPTED
    _end(TERMINATED if _heard and code == INTERRUPTED else code)


def _as_ctrl_c(number: int, _frame: object) -> None:
    """All that tidies up after Ctrl-C does so after SIGTERM, too."""
    _heard.append(number)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in a shell's background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def _command() -> int:
    """What the command ends with."""
    from streams import cli  # here, since it takes a moment, in which Ctrl-C may come

    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # an encoding may not have all that a lake has
    try:
        cli.main()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        return end.code
    except OSError as error:  # of the output of --help
        return cli.tell(error)
    return 0


def _end(code: int) -> None:
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):  # it was told when it was written
            stream.flush()
    os._exit(code)
