"""What a solver hands back for one rank of one matrix."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """Factors ``W`` (rows, k) and ``H`` (k, channels), where the error was measured.

    ``trace`` has the seconds since the start and the relative error, whenever the solver measured it on the whole matrix.
    """

    W: Tensor
    H: Tensor
    relative_error: float
    n_iter: int
    converged: bool
    trace: list[tuple[float, float]] = field(default_factory=list)
