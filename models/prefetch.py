"""Memory is asked for some records before a kernel works on it.

With many customers no cache holds their rows, and each line that an event touches would be waited for, one after the
other; asked for ahead, they come side by side (docs/decisions/0062). It changes no result.
"""

from __future__ import annotations

from typing import Any, Final

import numba
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

AHEAD: Final = 8  # records
WRITE, KEEP, DATA = 1, 3, 1  # of LLVM's prefetch

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def ask(cells: Any, index: int) -> None:
        """Python has no such thing."""

else:

    @intrinsic
    def ask(typing_context: Any, cells: Any, index: Any) -> Any:
        """Ask for the cache line of an element of a 1-d array, for writing; the element may lie beyond the array."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = make_array(signature.args[0])(context, builder, arguments[0])  # type: ignore[no-untyped-call]
            element = builder.gep(array.data, [arguments[1]])
            place, int32 = builder.bitcast(element, ir.PointerType(ir.IntType(8))), ir.IntType(32)
            wanted = ir.FunctionType(ir.VoidType(), [place.type, int32, int32, int32])
            function = get_or_insert_function(builder.module, wanted, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
            builder.call(function, [place, int32(WRITE), int32(KEEP), int32(DATA)])
            return context.get_dummy_value()

        return types.void(cells, types.intp), code
