"""One k-vs-accuracy curve: the unit of work, of caching and of drawing."""

from dataclasses import asdict, dataclass, field
from typing import Any

from nmfdiag.measures.auc import auc


@dataclass(frozen=True)
class CompressionCurve:
    """Accuracy of a network whose layer is replaced by a rank-k approximation, on one batch.

    Attributes:
        layer: The layer's name.
        method: ``"nmf"``, ``"pca"`` or ``"random"``.
        ranks: Ranks, ascending; the last one is usually ``full_rank``.
        accuracy: Share of the samples put into their given class, one a rank (mean over draws for random ablation).
        relative_error: ``||A - A_k|| / ||A||``, one a rank.
        absolute_error: ``||A - A_k||``, in the units of the activations.
        converged: Whether the solver reached its tolerance, one a rank.
        baseline_accuracy: The uncompressed network's, on the same batch.
        zero_accuracy: Rank 0: every channel zero. A constant answer scores 1 on one class.
        mean_accuracy: Every row replaced by the mean row.
        full_rank: Rank at which the approximation is exact.
        shape: Rows and channels of the activation matrix.
        n_samples: Samples in the batch.
        operation: ``"compress"``, or ``"ablate"`` where the k leading directions were projected out.
        provenance: What it was computed with: versions, device, threads, seconds, solver, seed.
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

    @property
    def auc(self) -> float:
        """Area under the curve over linear k; :func:`nmfdiag.measures.auc.auc` has the other definitions."""
        return auc(self.ranks, self.accuracy)

    def auc_over(self, axis: str) -> float:
        """Area under the curve over ``"linear"`` or ``"log"`` k."""
        return auc(self.ranks, self.accuracy, axis=axis)

    @property
    def accuracy_beyond(self) -> float:
        """Accuracy from the full rank on: the baseline, or nothing but zeros where the directions were removed."""
        return self.zero_accuracy if self.operation == "ablate" else self.baseline_accuracy

    def error_near(self, k: int, *, relative: bool = True) -> float:
        """Reconstruction error at the largest computed rank that does not exceed k (the smallest one if none does)."""
        position = max((i for i, rank in enumerate(self.ranks) if rank <= k), default=0)
        return (self.relative_error if relative else self.absolute_error)[position]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "CompressionCurve":
        return cls(**(record | {"shape": tuple(record["shape"])}))
