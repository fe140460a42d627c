"""How kernels are compiled: once for a kind of processor, and kept on disk under a digest of all kernels' sources.

Numba's own cache looks at the file of the outermost function only: it would go on running what a change of another file
replaced. It also asks to write where it reads, which an image does not allow. And it makes machine code of every
function, also of those that are only ever a part of others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from importlib.util import find_spec
from typing import Any, Final

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import cpu_target

KERNELS: Final = (
    "columns",
    "decision_records",
    "decode_kernel",
    "decode_plan",
    "engine",
    "events",
    "evidence",
    "features",
    "hashing",
    "jit",
    "journeys",
    "json_number",
    "json_scan",
    "json_write",
    "line_kernel",
    "metrics",
    "names",
    "pages",
    "plan",
    "prefetch",
    "profile_records",
    "programs",
    "record_batches",
    "routing",
    "rules",
    "strays",
    "texts",
    "timers",
    "transition_records",
    "transpose",
    "value_texts",
    "zones",
)


def digest_of_kernels() -> str:
    """Tells versions of the kernels apart, and the processors that they are compiled for: 8 bytes, hex."""
    processor = cpu_target.target_context.codegen().magic_tuple()  # or what NUMBA_CPU_NAME says
    digest = blake2b(repr((numba.__version__, processor)).encode(), digest_size=8)
    for name in KERNELS:
        spec = find_spec(f"models.{name}")
        assert spec is not None and spec.origin is not None and spec.loader is not None
        digest.update(spec.loader.get_data(spec.origin))  # type: ignore[attr-defined]
    return digest.hexdigest()


CACHE: Final = os.path.join(
    os.environ.get("NUMBA_CACHE_DIR") or os.path.join(os.path.dirname(__file__), "__pycache__"),
    f"kernels-{digest_of_kernels()}",
)
numba.config.CACHE_DIR = CACHE  # type: ignore[attr-defined]
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "_nrt": False}
if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    np.seterr(over="ignore")  # hashes overflow as they should, and as compiled code does without a word


class _Folder(UserProvidedCacheLocator):
    """The folder of the cache, whether it can be written or not."""

    def ensure_cache_path(self) -> None:
        with suppress(OSError):
            super().ensure_cache_path()  # type: ignore[no-untyped-call]


class _Files(CompileResultCacheImpl):
    _locator_classes = [_Folder]  # noqa: RUF012


class _Cache(FunctionCache):
    """Numba's cache, which here is read where it cannot be written; then what it lacks is compiled by each process."""

    _impl_class = _Files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As numba does it, without its registries: only what compiles needs them, and they take 0.4 s of a start."""
        return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


class _PartLibrary(JITCodeLibrary):
    """Code that other code is linked with: it is made small, and neither optimized for itself nor made machine code.

    Both come with the kernel that it becomes a part of. Done for each part they took a third of the time to compile.
    """

    def _optimize_final_module(self) -> None:
        codegen = self._codegen
        passes, builder = codegen._module_pass_manager(  # type: ignore[no-untyped-call]
            loop_vectorize=False, opt=codegen._opt_level, cost="cheap"
        )
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()  # type: ignore[no-untyped-call]
        self._verify_declare_only_symbols()  # type: ignore[no-untyped-call]
        self._finalized = True

    @property
    def codegen(self) -> _PartLibrary:
        """What numba asks for nothing but `set_env`."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """There is no machine code to set it in. What makes Python's objects looks at it: a wrapper, or a print."""


class _PartCompiler(Compiler):
    """Numba's own, but for the library that its code goes into."""

    def define_pipelines(self) -> Any:
        state = self.state
        name = state.func_id.func_qualname
        state.library = _PartLibrary(state.targetctx.codegen(), name)  # type: ignore[no-untyped-call]
        return super().define_pipelines()  # type: ignore[no-untyped-call]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls; it runs without the interpreter's lock, so that others may go on beside it.

    Kernels allocate nothing, so numba's reference counts are off: a call that hands on a plan of sixty arrays would
    count each of them up and down, which is fifty times the kernel's own work.
    """
    compiled = numba.njit(**OPTIONS)(function)
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return compiled


INNER: Final[dict[str, Any]] = OPTIONS | {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _PartCompiler,
}


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
    return numba.njit(**INNER, inline="always")(function)
