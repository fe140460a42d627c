"""Rows of numbers to columns."""

from __future__ import annotations

import numpy as np

from models.jit import kernel

BLOCK = 64  # rows that are turned at once: their lines stay in the cache until all of their values are read


@kernel
def spread(values, rows, at, first, columns):
    """Put values[rows[i], first + k] into columns[k, at[i]].

    values: float64[m, first + c or more]; rows, at: int64[n], none negative; columns: float64[c, as many as at says].
    """
    for block in range(0, len(rows), BLOCK):
        for k in range(len(columns)):
            for i in range(block, min(block + BLOCK, len(rows))):
                columns[k, np.uint64(at[i])] = values[np.uint64(rows[i]), first + k]  # signed ones are tested each
