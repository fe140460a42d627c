"""Why decoders are made at import (docs/decisions/0071): two threads that meet a struct first crash msgspec 0.22."""

from __future__ import annotations

import signal
import subprocess
import sys

TWO_THREADS = """
import msgspec, resource, threading

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
met = threading.Event()

def pause():
    met.set()
    threading.Event().wait(10)  # other threads run
    return int

class Inner(msgspec.Struct):
    x: "pause()"

class Outer(msgspec.Struct):
    inner: Inner

def first():
    msgspec.json.decode(b'{"inner": {"x": 1}}', type=Outer)

threading.Thread(target=first, daemon=True).start()
met.wait()
msgspec.json.decode(b'{"inner": {"x": 1}}', type=Outer)
"""


def test_two_threads_that_meet_a_struct_first_crash_msgspec() -> None:
    """Where it no longer does, the rule in tests/unit/test_architecture.py has had its day."""
    done = subprocess.run([sys.executable, "-c", TWO_THREADS], capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGSEGV
