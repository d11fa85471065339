"""The results of a factorisation: of one rank, of a batch, and at a grid of ranks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError


@dataclass(frozen=True)
class Factorization:
    """``A ~ W @ H + offset`` for every rank of a grid (``offset`` is the mean row of centred PCA, else None).

    Attributes:
        method: ``"nmf"``, ``"signed"`` or ``"pca"``.
        ranks: The ranks, ascending.
        relative_error: ``||A - W H|| / ||A||`` (Frobenius) of each rank.
        n_iter: Iterations of each rank; 0 if none was needed.
        converged: Whether each rank reached the stopping tolerance.
        norm: ``||A||``.
        full_rank: ``min(rows, channels)``, at which the factorisation is exact; up to ``min(rows, 2 channels)`` for signed NMF.
        trace: For each iterated rank of NMF, the seconds since the start and the relative error, whenever it was measured on the
            whole matrix (HALS on the CPU: in each iteration).
    """

    method: str
    ranks: list[int]
    relative_error: list[float]
    n_iter: list[int]
    converged: list[bool]
    norm: float
    full_rank: int
    _A: Tensor = field(repr=False)
    _factors: dict[int, tuple[Tensor, Tensor]] = field(repr=False)
    offset: Tensor | None = field(default=None, repr=False)
    trace: dict[int, list[tuple[float, float]]] = field(default_factory=dict, repr=False)

    @property
    def absolute_error(self) -> list[float]:
        """Return ``||A - W H||`` for each rank."""
        return [e * self.norm for e in self.relative_error]

    def factors(self, k: int) -> tuple[Tensor, Tensor]:
        """Return W (rows, k) and H (k, channels): ``W @ H + offset`` is the approximation, A itself up to rounding at the full rank.

        Raises:
            NmfdiagError: If k is not one of the ranks.
        """
        if k not in self.ranks:
            raise NmfdiagError(f"Rank {k} was not computed; computed are {self.ranks}.")
        if k in self._factors:
            return self._factors[k]
        rows, channels = self._A.shape
        centred = self._A if self.offset is None else self._A - self.offset
        if channels <= rows:
            return centred, torch.eye(channels, dtype=centred.dtype, device=centred.device)
        return torch.eye(rows, dtype=centred.dtype, device=centred.device), centred

    def reconstruct(self, k: int) -> Tensor:
        """Return the approximation of rank k, (rows, channels); A itself, bit by bit, at the full rank."""
        W, H = self.factors(k)  # refuses other ranks
        if k == self.full_rank:
            return self._A
        return W @ H if self.offset is None else W @ H + self.offset

    def reconstructions(self, k: int) -> Iterator[Tensor]:
        """Yield the single approximation of rank k (random ablation has one per draw)."""
        yield self.reconstruct(k)


@dataclass(frozen=True)
class Solution:
    """A solver's factors ``W`` (rows, k) and ``H`` (k, channels), at which the error was measured.

    ``trace`` holds the seconds since the start and the relative error, whenever the solver measured it on the whole matrix.
    """

    W: Tensor
    H: Tensor
    relative_error: float
    n_iter: int
    converged: bool
    trace: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """A finished rank of a batch: the error was measured at these factors.

    Attributes:
        W: For each matrix (rows, k).
        H: (batch, k, channels).
        relative_error: (batch,); so are ``n_iter`` and ``converged``.
        trace: Seconds since the start and relative errors (batch,), whenever they were measured.
    """

    W: list[Tensor]
    H: Tensor
    relative_error: Tensor
    n_iter: Tensor
    converged: Tensor
    trace: list[tuple[float, Tensor]]

    def solution(self, b: int) -> Solution:
        """Return the solution of the b-th matrix."""
        trace = [(seconds, float(error[b])) for seconds, error in self.trace]
        error, n_iter, converged = float(self.relative_error[b]), int(self.n_iter[b]), bool(self.converged[b])
        return Solution(self.W[b], self.H[b], error, n_iter, converged, trace)
