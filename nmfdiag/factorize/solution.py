"""What a solver hands back for one rank, of one matrix or of a batch."""

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


@dataclass(frozen=True)
class Result:
    """A rank that has left the stack, on the whole batch: the error was measured at these factors.

    Attributes:
        W: For each matrix (rows, k).
        H: (batch, k, channels).
        relative_error: (batch,); so are ``n_iter`` and ``converged``.
        trace: Seconds since the start and relative errors (batch,), whenever they were looked at.
    """

    W: list[Tensor]
    H: Tensor
    relative_error: Tensor
    n_iter: Tensor
    converged: Tensor
    trace: list[tuple[float, Tensor]]

    def solution(self, b: int) -> Solution:
        """The b-th matrix's."""
        trace = [(seconds, float(error[b])) for seconds, error in self.trace]
        error, n_iter, converged = float(self.relative_error[b]), int(self.n_iter[b]), bool(self.converged[b])
        return Solution(self.W[b], self.H[b], error, n_iter, converged, trace)
