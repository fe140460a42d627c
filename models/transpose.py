"""Rows of numbers to columns."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from models.jit import kernel

BLOCK: Final = 16  # rows that are turned at once: their lines stay in the cache until all of their values are read
SIZE: Final = 8  # bytes of a number

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def _number_at(address: int) -> float:
        return ctypes.c_double.from_address(int(address)).value

else:

    @intrinsic
    def _number_at(typing_context: Any, address: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], ir.PointerType(ir.DoubleType())))

        return types.float64(types.int64), code


@kernel
def gather(addresses, columns):
    """Put the numbers of rows, which may lie in several arrays, into columns[k, i], in the order of the addresses.

    addresses: int64[n], where the first number of each row lies; the others follow it. columns: float64[c, n]. Whole
    columns are written one line of the cache after the other: put at places that the rows' arrays decide, each number
    would have a line read and written for itself, which took three times as long.
    """
    for block in range(0, len(addresses), BLOCK):
        for k in range(len(columns)):
            for i in range(block, min(block + BLOCK, len(addresses))):
                columns[k, np.uint64(i)] = _number_at(addresses[np.uint64(i)] + SIZE * k)
