"""Compile the three inner loops of HALS to machine code for this processor.

llvmlite is a wheel: no compiler is needed. The code is written out rather than left to numba, because its speed depends on what stays
in registers. The **sweep** copies a panel of columns to a small buffer that stays in the cache; four components at a time
gather ``B_j - sum_i G_ji X_i`` over all ``i``, as a matrix product does, before they are updated one after the other, each seeing
the change of those before it: the plain sweep, a component at a time, in another order of additions.

Each function takes a table of 64-bit numbers, one row per problem, so that one call serves all ranks. Calls release the GIL.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nmfdiag.factorize.llvm_source import Writer


@dataclass(frozen=True)
class Kernels:
    """Compiled functions; all arguments are addresses and whole numbers.

    Attributes:
        sweep: ``(table, problems, columns, sweeps, room)``; a row is X, stride of X, B, stride of B, G, k; see
            :class:`nmfdiag.factorize.kernels.Sweep`. ``room`` holds ``k * (1 + 2 * panel)`` numbers for the largest k.
        gram: ``(table, problems, columns, add)``; a row is X, stride of X, S, k: ``S = X X^T``, or added to it.
        inner: ``(table, problems, result)``; a row is X, Y, length: their inner products, summed in float64.
        panel: Number of columns of a panel.
        engine: Owns the code.
    """

    sweep: Callable[[int, int, int, int, int], None]
    gram: Callable[[int, int, int, int], None]
    inner: Callable[[int, int, int], None]
    panel: int
    engine: Any


@lru_cache(maxsize=2)
def kernels(scalar: str) -> Kernels | None:
    """Compile for ``"float"`` or ``"double"``; None without llvmlite, or without permission to run generated code."""
    try:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features()
        register_bits, vectors = (512, 4) if features.get("avx512f") else (256, 2)
        writer = Writer(scalar, register_bits, vectors)
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
        )
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(writer.text()), machine)
        engine.finalize_object()
        addresses = {name: engine.get_function_address(name) for name in ("sweep_all", "gram_all", "inner_all")}
    except (ImportError, RuntimeError, OSError):
        return None

    def function(name: str, n_arguments: int) -> Any:
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n_arguments)(addresses[name])

    return Kernels(function("sweep_all", 5), function("gram_all", 4), function("inner_all", 3), writer.panel, engine)
