"""How kernels are compiled: once, and kept on disk under a digest of all kernels' sources.

Numba's own cache looks at the file of the outermost function only: it would go on running what a change of another file
replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from importlib.util import find_spec
from typing import Any, Final

import numba
import numpy as np

KERNELS: Final = (
    "columns",
    "decode_kernel",
    "decode_plan",
    "engine",
    "events",
    "features",
    "hashing",
    "jit",
    "journeys",
    "json_scan",
    "json_write",
    "line_kernel",
    "names",
    "pages",
    "plan",
    "programs",
    "record_batches",
    "routing",
    "rules",
    "strays",
    "texts",
    "timers",
    "transition_records",
    "zones",
    "transpose",
)


def sources_digest() -> str:
    """Tells versions of the kernels apart: 8 bytes, hex."""
    digest = blake2b(numba.__version__.encode(), digest_size=8)
    for name in KERNELS:
        spec = find_spec(f"models.{name}")
        assert spec is not None and spec.origin is not None and spec.loader is not None
        digest.update(spec.loader.get_data(spec.origin))  # type: ignore[attr-defined]
    return digest.hexdigest()


CACHE: Final = os.path.join(
    os.environ.get("NUMBA_CACHE_DIR") or os.path.join(os.path.dirname(__file__), "__pycache__"),
    f"kernels-{sources_digest()}",
)
numba.config.CACHE_DIR = CACHE  # type: ignore[attr-defined]
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "_nrt": False}
INNER: Final[dict[str, Any]] = OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    np.seterr(over="ignore")  # hashes overflow as they should, and as compiled code does without a word


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls; it runs without the interpreter's lock, so that others may go on beside it.

    Kernels allocate nothing, so numba's reference counts are off: a call that hands on a plan of sixty arrays would
    count each of them up and down, which is fifty times the kernel's own work.
    """
    return numba.njit(**OPTIONS, cache=True)(function)


def part(function: Callable[..., Any]) -> Any:
    """Compile a function into the machine code of each kernel that calls it, as one that is handed whole plans must be.

    A call would copy the plan's 3 KB of array headers, which is five times the kernel's own work. Python must not call
    it (it would crash): a wrapper for that would unpack each array, which doubles the time to compile.
    """
    return numba.njit(**INNER, forceinline=True)(function)


def routine(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call with few arrays; it is a part of them only where LLVM thinks it is better.

    Python must not call it, either.
    """
    return numba.njit(**INNER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into its callers, as one that returns a view of an array must be."""
    return numba.njit(**OPTIONS, inline="always")(function)
