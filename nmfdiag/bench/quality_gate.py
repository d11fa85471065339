"""The quality gate: a faster solver counts only if its factors are at least as good, by the same measure for all."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from nmfdiag.errors import NmfdiagError

EVERY_RANK = 1.002
"""Largest ratio of errors at one rank: minima of equal merit differ by 0.1 to 0.2 % there."""
ROUNDING = 1 + 1e-6
"""Largest ratio of mean errors: 1 up to rounding."""
CHUNK = 8192
"""Rows per step of a direct error."""


@dataclass(frozen=True)
class Gate:
    """Our errors against a peer's: ``mean_ratio`` of the means over ranks, ``worst_ratio`` at one rank, and that rank."""

    mean_ratio: float
    worst_ratio: float
    worst_rank: int

    @property
    def passed(self) -> bool:
        return self.mean_ratio <= ROUNDING and self.worst_ratio <= EVERY_RANK

    @property
    def word(self) -> str:
        return "pass" if self.passed else "fail"


def direct_error(A: Tensor, W: Tensor, H: Tensor) -> float:
    """Compute ``||A - W H|| / ||A||`` from the residual, in float64, a chunk of rows at a time.

    Args:
        A: (rows, channels).
        W: (rows, k).
        H: (k, channels).
    """
    residual = total = 0.0
    H = H.double()
    for a, w in zip(A.split(CHUNK), W.split(CHUNK), strict=True):
        exact = a.double()
        residual += float((exact - w.double() @ H).square().sum())
        total += float(exact.square().sum())
    return (residual / total) ** 0.5


def judge(our_errors: Mapping[int, float], peer_errors: Mapping[int, float]) -> Gate:
    """Compare errors by rank.

    Args:
        our_errors: Our direct error by rank.
        peer_errors: The peer's, at the same ranks.

    Raises:
        NmfdiagError: If the ranks differ, or there are none.
    """
    if our_errors.keys() != peer_errors.keys() or not our_errors:
        raise NmfdiagError(f"The gate compares equal ranks, got {sorted(our_errors)} and {sorted(peer_errors)}.")
    ratios = {k: _ratio(our_errors[k], peer_errors[k]) for k in our_errors}
    worst = max(ratios, key=lambda k: ratios[k])
    return Gate(_ratio(sum(our_errors.values()), sum(peer_errors.values())), ratios[worst], worst)


def _ratio(a: float, b: float) -> float:
    return 1.0 if a == b else float("inf") if b == 0 else a / b
