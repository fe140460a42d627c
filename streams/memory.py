"""Memory that was freed, given back to the system: glibc keeps what the pages of a restore took."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Let the C library return what it does not use; nothing where it cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
