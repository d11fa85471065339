"""The HALS sweep as one GPU kernel. Each thread has its own columns, so that components follow one another without a barrier.

On the CPU the same code runs in Triton's interpreter (``TRITON_INTERPRET=1``), which is how it is tested without a GPU.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from nmfdiag.factorize.llvm_source import ALIVE

COLUMNS = 128


@lru_cache(maxsize=1)
def available() -> bool:
    """Return whether Triton is installed (it comes with torch's CUDA builds)."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


def triton_sweep_(X: Tensor, B: Tensor, G: Tensor, sweeps: int) -> None:
    """Sweep one problem, see :class:`nmfdiag.factorize.kernels.Sweep`, in one launch and without waiting."""
    batch, k, columns = X.shape
    diagonal = G.diagonal(dim1=1, dim2=2)
    inverse = torch.where(diagonal > ALIVE * diagonal.amax(1, keepdim=True), 1 / diagonal, 0).contiguous()
    programs = (-(-columns // COLUMNS), batch)
    _kernel()[programs](
        X, B, G, inverse, k, columns, X.stride(0), X.stride(1), B.stride(0), B.stride(1), sweeps, COLUMNS
    )


@lru_cache(maxsize=1)
def _kernel() -> Any:
    import triton
    import triton.language as tl

    @triton.jit
    def sweep(  # type: ignore[no-untyped-def]
        X, B, G, inverse, k, columns, x_batch, x_row, b_batch, b_row, sweeps,
        WIDTH: tl.constexpr,
    ):  # fmt: skip
        b = tl.program_id(1).to(tl.int64)
        column = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
        inside = column < columns
        x_start, b_start = X + b * x_batch + column, B + b * b_batch + column
        g_start, i_start = G + b * k * k, inverse + b * k
        for _ in range(sweeps):
            for j in range(k):
                gradient = tl.load(b_start + j * b_row, mask=inside, other=0.0)
                for i in range(k):
                    g = tl.load(g_start + j * k + i)
                    gradient -= g * tl.load(x_start + i * x_row, mask=inside, other=0.0)
                old = tl.load(x_start + j * x_row, mask=inside, other=0.0)
                new = tl.maximum(old + gradient * tl.load(i_start + j), 0.0)
                tl.store(x_start + j * x_row, new, mask=inside)
        for j in range(k):
            tl.store(b_start + j * b_row, tl.load(x_start + j * x_row, mask=inside, other=0.0), mask=inside)

    return sweep
