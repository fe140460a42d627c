"""What was freed in the middle of the heap goes back to the system."""

from __future__ import annotations

import ctypes
import platform

import pytest

from streams.memory import give_back
from tests.fuzz.memory import resident_bytes

BLOCK = 100_000  # bytes; below what glibc maps apart
BLOCKS = 2_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_memory_below_a_block_in_use_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    blocks = [libc.memset(libc.malloc(BLOCK), 1, BLOCK) for _ in range(BLOCKS)]
    for block in blocks[:-1]:
        libc.free(block)
    before = resident_bytes()
    give_back()
    assert resident_bytes() < before - BLOCK * BLOCKS // 2
    libc.free(blocks[-1])
