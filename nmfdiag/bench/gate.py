"""The quality gate: a faster solver counts only where its factors are at least as good, by the same measure for all."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from nmfdiag.errors import NmfdiagError

EVERY_RANK = 1.002
"""Minima of equal merit differ by 0.1 to 0.2 % at a single rank."""
ROUNDING = 1 + 1e-6
CHUNK = 8192


@dataclass(frozen=True)
class Gate:
    """Our errors against a peer's: ``mean_ratio`` of the means over ranks, ``worst_ratio`` at one rank, and which."""

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
    """Compute ``||A - W H|| / ||A||`` from the residual itself, in float64, some rows at a time.

    Args:
        A: (rows, channels).
        W: (rows, k).
        H: (k, channels).
    """
    left = total = 0.0
    H = H.double()
    for a, w in zip(A.split(CHUNK), W.split(CHUNK), strict=True):
        exact = a.double()
        left += float((exact - w.double() @ H).square().sum())
        total += float(exact.square().sum())
    return (left / total) ** 0.5


def judge(ours: Mapping[int, float], peers: Mapping[int, float]) -> Gate:
    """Compare errors by rank.

    Args:
        ours: Our direct error by rank.
        peers: The peer's, at the same ranks.

    Raises:
        NmfdiagError: If the ranks differ, or there are none.
    """
    if ours.keys() != peers.keys() or not ours:
        raise NmfdiagError(f"The gate compares equal ranks, got {sorted(ours)} and {sorted(peers)}.")
    ratios = {k: _ratio(ours[k], peers[k]) for k in ours}
    worst = max(ratios, key=lambda k: ratios[k])
    return Gate(_ratio(sum(ours.values()), sum(peers.values())), ratios[worst], worst)


def _ratio(a: float, b: float) -> float:
    return 1.0 if a == b else float("inf") if b == 0 else a / b
