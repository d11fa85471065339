"""The inner loops of HALS over a list of problems: compiled on the CPU, by Triton on a GPU, else in torch operations.

A problem is one rank on one batch of matrices; its tensors have a leading batch axis, and their rows are contiguous. The problems
of a list differ only in rank. Each loop is prepared once for its memory, and then called in each iteration. The implementations differ
only in the order of additions.
"""

from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from nmfdiag.factorize.llvm_compile import Kernels, kernels
from nmfdiag.factorize.llvm_source import ALIVE

SCALARS = {torch.float32: "float", torch.float64: "double"}


class Sweep:
    """Coordinate descent in place on ``||A - Y X||`` over X >= 0, a component at a time.

    Each component has its exact minimiser given the others: ``X_j <- max(0, X_j + (B_j - G_j X) / G_jj)``. A component whose
    partner is zero (``G_jj = 0``) is left unchanged. It is called with the number of updates of all components.

    Args:
        Xs: The factors (batch, k, columns), updated in place.
        Bs: ``Y^T A`` (batch, k, columns). **Overwritten with the new X**: the stack of all ranks' B thereby becomes the stack of
            all ranks' W, from which the next product reads.
        Gs: ``Y^T Y`` (batch, k, k), contiguous.

    References:
        N. Gillis, F. Glineur, Accelerated multiplicative updates and hierarchical ALS algorithms for NMF, 2012.
    """

    def __init__(self, Xs: Sequence[Tensor], Bs: Sequence[Tensor], Gs: Sequence[Tensor]):
        self.problems = list(zip(Xs, Bs, Gs, strict=True))  # also keeps the memory alive that the table points to
        self.compiled = _compiled(Xs[0])
        if self.compiled is None:
            return
        self.table = array("q")
        for X, B, G in self.problems:
            k, x_row, b_row = X.shape[1], X.stride(1), B.stride(1)
            for x, b, g in zip(_addresses(X), _addresses(B), _addresses(G), strict=True):
                self.table.extend((x, x_row, b, b_row, g, k))
        self.room = Xs[0].new_empty(max(X.shape[1] for X in Xs) * (1 + 2 * self.compiled.panel))
        self.arguments = (self.table.buffer_info()[0], len(self.table) // 6, Xs[0].shape[2])

    def __call__(self, sweeps: int) -> None:
        if self.compiled is not None:
            self.compiled.sweep(*self.arguments, sweeps, self.room.data_ptr())
            return
        for X, B, G in self.problems:
            _sweep_uncompiled(X, B, G, sweeps)


class Grams:
    """Writes ``X X^T`` of each X (batch, k, columns) to ``out`` (batch, k, k), or adds it."""

    def __init__(self, Xs: Sequence[Tensor], out: Sequence[Tensor]):
        self.problems = list(zip(Xs, out, strict=True))
        self.compiled = _compiled(Xs[0])
        if self.compiled is None:
            return
        self.table = array("q")
        for X, S in self.problems:
            for x, s in zip(_addresses(X), _addresses(S), strict=True):
                self.table.extend((x, X.stride(1), s, X.shape[1]))
        self.arguments = (self.table.buffer_info()[0], len(self.table) // 4, Xs[0].shape[2])

    def __call__(self, *, add: bool = False) -> None:
        if self.compiled is not None:
            self.compiled.gram(*self.arguments, int(add))
            return
        for X, S in self.problems:
            torch.baddbmm(S, X, X.mT, beta=int(add), out=S)


class Inner:
    """Computes ``<X, Y>`` of each pair of (batch, ...) tensors, summed in float64: (batch, problems)."""

    def __init__(self, Xs: Sequence[Tensor], Ys: Sequence[Tensor]):
        self.problems = list(zip(Xs, Ys, strict=True))
        self.compiled = _compiled(Xs[0])
        if self.compiled is None:
            return
        self.table = array("q")
        for X, Y in self.problems:
            for x, y in zip(_addresses(X), _addresses(Y), strict=True):
                self.table.extend((x, y, X.shape[1] * X.shape[2]))
        self.result = torch.empty(len(Xs), Xs[0].shape[0], dtype=torch.float64)
        self.arguments = (self.table.buffer_info()[0], len(self.table) // 3, self.result.data_ptr())

    def __call__(self) -> Tensor:
        if self.compiled is not None:
            self.compiled.inner(*self.arguments)
            return self.result.T
        return torch.stack([(X * Y).sum(dim=(1, 2), dtype=torch.float64) for X, Y in self.problems], 1)


def torch_sweep_(X: Tensor, B: Tensor, G: Tensor, sweeps: int) -> None:
    """Sweep one problem in torch operations, without waiting for a GPU."""
    diagonal = G.diagonal(dim1=1, dim2=2)
    inverse = torch.where(diagonal > ALIVE * diagonal.amax(1, keepdim=True), 1 / diagonal, 0)
    for _ in range(sweeps):
        for j in range(X.shape[1]):
            gradient = B[:, j] - (G[:, j : j + 1] @ X).squeeze(1)
            X[:, j].add_(gradient * inverse[:, j : j + 1]).clamp_(min=0)
    B.copy_(X)


def _sweep_uncompiled(X: Tensor, B: Tensor, G: Tensor, sweeps: int) -> None:
    if X.device.type == "cuda":
        from nmfdiag.factorize.triton_sweep import available, triton_sweep_

        if available():
            triton_sweep_(X, B, G, sweeps)
            return
    torch_sweep_(X, B, G, sweeps)


def _compiled(X: Tensor) -> Kernels | None:
    return kernels(SCALARS[X.dtype]) if X.device.type == "cpu" else None


def _addresses(X: Tensor) -> Sequence[int]:
    """Return the address of each matrix of a batch."""
    batch, start = X.shape[0], X.data_ptr()
    if batch == 1:
        return (start,)
    step = X.stride(0) * X.element_size()
    return range(start, start + batch * step, step)
