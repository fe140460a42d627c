"""Rows of numbers to columns with validity bits, as Arrow keeps them; NaN is NULL."""

from __future__ import annotations

import numpy as np

from models.jit import kernel

_BLOCK = 64  # rows that are turned at once: what they touch of each column is then one run


@kernel
def spread(values, groups, column_of, columns, valid, counts):
    """Put values[i, k] into row i of column column_of[groups[i], k] and note that it is no NULL.

    values: float64[n, k]; groups: int64[n]; column_of: int32[groups, k], -1 for none; columns: float64[c, n];
    valid: uint8[c, (n + 7) // 8], zeros, a bit a row; counts: int64[c], zeros, then how many are no NULL.
    """
    rows, width = values.shape
    for first in range(0, rows, _BLOCK):
        for k in range(width):
            for i in range(first, min(first + _BLOCK, rows)):
                column, value = column_of[groups[i], k], values[i, k]
                if column >= 0 and value == value:
                    columns[column, i] = value
                    valid[column, i >> 3] |= np.uint8(1 << (i & 7))
                    counts[column] += 1


@kernel
def pack_bits(values, bits):
    """Set bit i where values[i] is 1; bits: uint8[(n + 7) // 8], zeros."""
    for i in range(len(values)):
        if values[i] == 1.0:
            bits[i >> 3] |= np.uint8(1 << (i & 7))
