"""A leave-one-out linear probe in closed form: what a layer's features say about each sample's class without the sample itself.

Linear discriminant analysis on the given labels. With ``N_c`` samples and mean ``mu_c`` of class ``c``, within-class scatter ``S`` (shrunk by
a tenth towards a multiple of the identity) and ``d_ic = (z_i - mu_c)' inv(S) (z_i - mu_c)``, the probe's value of class ``c`` for sample ``i`` is
``V_ic = -d_ic / 2 + log(N_c / n)``. The distance to the sample's own class is multiplied by ``(N_c / (N_c - 1))^2``: that is its distance to the
mean of the others.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

SHRINKAGE = 0.1
"""Weight of the identity in the within-class scatter."""
FLAT = 1e-7
"""Columns whose standard deviation is below this, relative to the largest, say nothing and are left out."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe of one layer.

    Attributes:
        centre: Mean of each column (d,).
        whiten: Matrix (d', d) that makes the within-class scatter the identity.
        means: Whitened means of the classes (K, d').
        counts: Samples of each class (K,).
    """

    centre: Tensor
    whiten: Tensor
    means: Tensor
    counts: Tensor

    def values(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return the values (m, K) of each class for samples that the probe was fitted on; minus infinity for empty classes.

        Args:
            z: Features (m, d).
            labels: Given labels (m,).
        """
        w = (z.double() - self.centre) @ self.whiten.T
        distances = (w * w).sum(1, keepdim=True) + (self.means * self.means).sum(1) - 2 * w @ self.means.T
        own = self.counts[labels]
        rows = torch.arange(len(z), device=z.device)
        distances[rows, labels] *= (own / (own - 1).clamp(min=0.5)) ** 2
        values = -distances.clamp(min=0) / 2 + torch.log(self.counts / self.counts.sum())
        values[:, self.counts == 0] = -math.inf
        return values


class Moments:
    """Sums over samples that a probe is fitted from, so that no more than one batch of features is needed at a time."""

    def __init__(self, n_classes: int):
        self.n_classes = n_classes
        self._origin: Tensor | None = None

    def add(self, z: Tensor, labels: Tensor) -> None:
        """Take features (m, d) with their given labels (m,)."""
        z = z.double()
        if self._origin is None:  # near the mean: sums of squares lose no digits
            d = z.shape[1]
            self._origin = z.mean(0)
            self._counts = z.new_zeros(self.n_classes)
            self._sums = z.new_zeros(self.n_classes, d)
            self._squares = z.new_zeros(d, d)
        z = z - self._origin
        self._counts += torch.bincount(labels, minlength=self.n_classes)
        self._sums.index_add_(0, labels, z)
        self._squares += z.T @ z

    @property
    def count(self) -> int:
        """Number of samples taken."""
        return 0 if self._origin is None else round(float(self._counts.sum()))

    def fit(self) -> Probe:
        """Return the probe.

        Raises:
            NmfdiagError: If features are infinite.
        """
        assert self._origin is not None
        if not bool(torch.isfinite(self._squares).all()):
            raise NmfdiagError(
                "A layer's activations are infinite, or too large to be squared: nothing can be read from them."
            )
        n = self._counts.sum()
        total = self._sums.sum(0) / n
        variance = (self._squares.diagonal() / n - total**2).clamp(min=0)
        deviation = variance.sqrt()
        varies = deviation > FLAT * deviation.max().clamp(min=1e-30)
        if not bool(varies.any()):
            varies[0] = True
        scale = torch.where(varies, deviation, deviation.new_ones(()))[varies].clamp(min=1e-30)
        means = self._sums / self._counts.clamp(min=1)[:, None]
        within = (self._squares - (means * self._counts[:, None]).T @ means)[varies][:, varies] / n
        within = within / scale[:, None] / scale
        d = len(within)
        ridge = SHRINKAGE * within.trace() / d + 1e-12
        scatter = (1 - SHRINKAGE) * within + ridge * torch.eye(d, dtype=within.dtype, device=within.device)
        root = torch.linalg.cholesky(scatter)
        whiten = within.new_zeros(d, len(varies))
        whiten[:, varies] = torch.linalg.solve_triangular(root, torch.diag(1 / scale), upper=False)
        return Probe(self._origin + total, whiten, (means - total) @ whiten.T, self._counts)


def fit_probe(batches: Iterable[tuple[Tensor, Tensor]], n_classes: int) -> Probe:
    """Fit a probe on batches of features (m, d) and given labels (m,)."""
    moments = Moments(n_classes)
    for z, labels in batches:
        moments.add(z, labels)
    return moments.fit()


def margins(values: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the best other class lies above each sample's own (m,), from values of classes (m, K)."""
    rows = torch.arange(len(values), device=values.device)
    other_values = values.clone()
    other_values[rows, labels] = -math.inf
    return other_values.amax(1) - values[rows, labels]


def with_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """Return logits with columns of minus infinity for labels that the network has no output for."""
    n_missing = int(labels.max()) + 1 - logits.shape[1]
    return torch.nn.functional.pad(logits, (0, n_missing), value=-torch.inf) if n_missing > 0 else logits


def finite(values: Tensor) -> Tensor:
    """Return values with a very low one in place of minus infinity, which has no product with zero."""
    return values.clamp(min=-1e30)


def temperature(values: Tensor, labels: Tensor) -> float:
    """Return the factor that makes ``softmax(t * values)`` most likely to give the labels, between .001 and 10."""
    from scipy.optimize import minimize_scalar

    def loss(exponent: float) -> float:
        return float(torch.nn.functional.cross_entropy(finite(values) * 10**exponent, labels))

    return float(10 ** minimize_scalar(loss, bounds=(-3, 1), method="bounded").x)
