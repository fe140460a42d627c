"""Rows of numbers to columns with validity bits, as Arrow keeps them; NaN is NULL."""

from __future__ import annotations

import numpy as np

from models.jit import kernel

BLOCK = 64  # rows that are turned at once: a word of validity bits, and one run of each column


@kernel
def spread(values, order, groups, column_of, columns, valid):
    """Put values[order[i], k] into row i of column column_of[groups[i], k]; its bit says that it is no NULL.

    values: float64[m, k]; order, groups: int64[n]; column_of: int32[groups, k], -1 for none; columns: float64[c, n];
    valid: uint64[c, (n + 63) // 64], zeros, a bit a row.
    """
    for block in range(0, len(order), BLOCK):
        end, first = min(block + BLOCK, len(order)), block
        while first < end:
            last = first + 1
            while last < end and groups[last] == groups[first]:
                last += 1
            for k in range(values.shape[1]):
                column = column_of[groups[first], k]
                if column < 0:
                    continue
                bits = np.uint64(0)
                for i in range(first, last):
                    value = values[order[i], k]
                    columns[column, i] = value
                    bits |= np.uint64(value == value) << np.uint64(i - block)
                valid[column, block // BLOCK] |= bits
            first = last
