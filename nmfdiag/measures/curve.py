"""One k-vs-accuracy curve: the unit of work, of caching and of drawing."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.auc import auc


@dataclass(frozen=True)
class CompressionCurve:
    """Accuracy of a network whose layer is replaced by a rank-k approximation, on one batch.

    Attributes:
        layer: The layer's name.
        method: ``"nmf"``, ``"pca"``, ``"random"`` or ``"signed"`` (signed NMF).
        ranks: Ranks, ascending; the last one is usually ``full_rank``.
        accuracy: Share of the samples put into their given class, per rank (mean over draws for random ablation).
        relative_error: ``||A - A_k|| / ||A||``, per rank.
        absolute_error: ``||A - A_k||``, per rank, in the units of the activations.
        converged: Whether the solver reached its tolerance, per rank.
        baseline_accuracy: The uncompressed network's accuracy on the same batch.
        zero_accuracy: Accuracy at rank 0, every channel zero. A constant answer scores 1 on one class.
        mean_accuracy: Accuracy with every row replaced by the mean row.
        full_rank: Rank at which the approximation is exact.
        shape: Rows and channels of the activation matrix.
        n_samples: Samples in the batch.
        operation: ``"compress"``, or ``"ablate"`` where the k leading directions were projected out.
        provenance: Conditions of the computation: versions, device, threads, seconds, solver, seed.
    """

    layer: str
    method: str
    ranks: list[int]
    accuracy: list[float]
    relative_error: list[float]
    absolute_error: list[float]
    converged: list[bool]
    baseline_accuracy: float
    zero_accuracy: float
    mean_accuracy: float
    full_rank: int
    shape: tuple[int, int]
    n_samples: int
    operation: str = "compress"
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def auc(self) -> float:
        """Area under the curve over linear k; :func:`nmfdiag.measures.auc.auc` has the other definitions."""
        return auc(self.ranks, self.accuracy)

    @cached_property
    def _log_auc(self) -> float:
        return auc(self.ranks, self.accuracy, axis="log")

    def auc_over(self, axis: str) -> float:
        """Return the area under the curve over ``"linear"`` or ``"log"`` k."""
        if axis == "linear":
            return self.auc
        return self._log_auc if axis == "log" else auc(self.ranks, self.accuracy, axis=axis)

    @property
    def accuracy_beyond(self) -> float:
        """Accuracy from the full rank on: the baseline's, or that of zeros where the directions were removed."""
        return self.zero_accuracy if self.operation == "ablate" else self.baseline_accuracy

    def error_near(self, k: int, *, relative: bool = True) -> float:
        """Return the reconstruction error at the largest computed rank up to k (at the smallest one if all exceed k)."""
        position = max((i for i, rank in enumerate(self.ranks) if rank <= k), default=0)
        return (self.relative_error if relative else self.absolute_error)[position]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "CompressionCurve":
        """Return the curve of a record made by :meth:`to_dict`.

        Raises:
            NmfdiagError: If its values are not those of a curve.
        """
        curve = cls(**(record | {"shape": tuple(record["shape"])}))
        if fault := _fault(curve):
            raise NmfdiagError(f"The record is not a curve: {fault}.")
        return curve


def _fault(curve: CompressionCurve) -> str:
    """Return the first fault of a curve as text; empty if there is none."""
    ranks, errors = curve.ranks, [*curve.relative_error, *curve.absolute_error]
    shares = [*curve.accuracy, curve.baseline_accuracy, curve.zero_accuracy, curve.mean_accuracy]
    values = (curve.accuracy, curve.relative_error, curve.absolute_error, curve.converged)
    if not ranks or any(len(series) != len(ranks) for series in values):
        return f"it has {len(ranks)} ranks, but {', '.join(str(len(series)) for series in values)} values of them"
    whole = all(isinstance(k, int) for k in (*ranks, *curve.shape, curve.full_rank, curve.n_samples))
    if not whole or list(ranks) != sorted(set(ranks)) or ranks[0] < 1 or ranks[-1] > curve.full_rank:
        return f"ranks must ascend in 1 .. {curve.full_rank}, got {ranks}"
    if not all(0 <= share <= 1 for share in shares):
        return "accuracies must lie in [0, 1]"
    if not all(error >= 0 for error in errors):
        return "errors must not be negative"
    return ""
