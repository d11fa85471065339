"""Random ablation: keep k randomly chosen channels and zero the others (after Morcos et al. 2018)."""

import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.matrix import ROWS_AT_ONCE, activation_matrix, check_ranks, check_seed, frobenius


@dataclass(frozen=True)
class RandomAblation:
    """Channel masks for every rank and draw; ``relative_error`` is the mean over draws. Fields as in Factorization.

    ``full_rank`` is the number of channels: random ablation keeps channels, so only all of them are exact.
    """

    ranks: list[int]
    relative_error: list[float]
    norm: float
    full_rank: int
    draws: int
    _A: Tensor = field(repr=False)
    _orders: Tensor = field(repr=False)
    method: str = "random"

    @property
    def n_iter(self) -> list[int]:
        return [0] * len(self.ranks)

    @property
    def converged(self) -> list[bool]:
        return [True] * len(self.ranks)

    @property
    def absolute_error(self) -> list[float]:
        """Return ``||A - A_k||`` for each rank."""
        return [e * self.norm for e in self.relative_error]

    def masks(self, k: int) -> Tensor:
        """Return the mask of the kept channels, (draws, channels) bool; within a draw, those of rank k are among those of k + 1."""
        if k not in self.ranks:
            raise NmfdiagError(f"Rank {k} was not computed; computed are {self.ranks}.")
        return self._orders < k

    def reconstructions(self, k: int) -> Iterator[Tensor]:
        """Yield A with the other channels zeroed, for each draw; A itself, once, if all are kept."""
        if k == self.full_rank:
            yield self._A
            return
        for mask in self.masks(k):
            yield self._A * mask


def random_ablation(A: Tensor | np.ndarray, ranks: Sequence[int], *, draws: int = 10, seed: int = 0) -> RandomAblation:
    """Choose the channels to keep, for every rank.

    Args:
        A: Activation matrix (rows, channels).
        ranks: Numbers of channels kept, in ``1 .. channels``.
        draws: Number of independent choices, over which results are averaged.
        seed: Seed of the choices.

    Raises:
        NmfdiagError: If A is not finite or all zero, or ``ranks`` or ``draws`` are out of range.

    References:
        Morcos et al., On the importance of single directions for generalization, 2018; Collins et al. 2018, figure 5.
    """
    matrix = activation_matrix(A)
    channels = matrix.shape[1]
    distinct_ranks = check_ranks(ranks, channels)
    if not isinstance(draws, numbers.Integral) or draws < 1:
        raise NmfdiagError(f"Random ablation needs at least 1 draw, got {draws!r}.")
    rng = np.random.Generator(np.random.PCG64(check_seed(seed)))
    orders = torch.from_numpy(np.stack([rng.permutation(channels) for _ in range(draws)])).to(matrix.device)
    norm = frobenius(matrix)
    energy = torch.zeros(channels, dtype=torch.float64, device=matrix.device)
    for chunk in matrix.split(ROWS_AT_ONCE):
        energy += (chunk.double() / norm).square().sum(dim=0)
    errors = [float(((orders >= k) * energy).sum(dim=1).clamp_min(0).sqrt().mean()) for k in distinct_ranks]
    return RandomAblation(distinct_ranks, errors, norm, channels, draws, matrix, orders)
