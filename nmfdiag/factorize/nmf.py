"""Non-negative matrix factorisation at a whole grid of ranks.

Notation, here and everywhere: the activation matrix ``A`` (rows, channels) >= 0; rank ``k``; ``A ~ W @ H`` with ``W``
(rows, k) >= 0 and ``H`` (k, channels) >= 0. This is scikit-learn's order and that of Deep Feature Factorization;
torchnmf calls our ``W`` H and our ``H`` W. A convolution layer's ``n c h w`` is folded to ``(n h w) c``.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.factorization import Factorization
from nmfdiag.factorize.hals import hals
from nmfdiag.factorize.matrix import activation_matrix, check_ranks, frobenius, full_rank_of
from nmfdiag.factorize.mu import multiplicative_updates
from nmfdiag.factorize.progress import Progress

SOLVERS = {"hals": hals, "mu": multiplicative_updates}


def nmf(
    A: Tensor | np.ndarray,
    ranks: Sequence[int],
    *,
    solver: str = "hals",
    tol: float = 1e-4,
    max_iter: int = 200,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Factorization:
    """Minimise ``||A - W H||`` (Frobenius) over non-negative W and H, for every rank.

    The full rank ``min(rows, channels)`` is exact by itself and is not iterated.

    Args:
        A: Non-negative activation matrix (rows, channels); torch or numpy, any float dtype, any device. Not modified.
        ranks: Ranks in ``1 .. min(rows, channels)``.
        solver: ``"hals"``: hierarchical alternating least squares, all ranks together (fast); ``"mu"``: multiplicative
            updates from a random start, as the paper used them.
        tol: A rank stops when the squared error falls by less than this share in an iteration.
        max_iter: Iterations at most; a rank that needs more is marked as not converged.
        seed: Seeds the row sample of ``"hals"`` and the start of ``"mu"``.
        on_progress: Called each iteration with the share done and a few words; may raise to cancel.

    Returns:
        Factors, errors and convergence at each rank, on A's device; float64 if A is, else float32.

    Raises:
        NmfdiagError: If A is no non-negative finite matrix with a positive entry, or a rank or option is out of range.

    References:
        Collins, Bigdeli, Suesstrunk, Detecting Memorization in ReLU Networks, 2018, section 3.
        Gillis, Glineur, Accelerated multiplicative updates and hierarchical ALS algorithms for NMF, 2012.

    >>> import torch
    >>> A = torch.rand(20, 2, generator=torch.Generator().manual_seed(0)) @ torch.eye(2, 6)
    >>> nmf(A, [2]).relative_error[0] < 1e-3
    True
    """
    if solver not in SOLVERS:
        raise NmfdiagError(f"Unknown NMF solver {solver!r}: accepted are {', '.join(SOLVERS)}.")
    if not tol > 0 or max_iter < 1:
        raise NmfdiagError(f"tol and max_iter must be positive, got {tol} and {max_iter}.")
    matrix = activation_matrix(A, non_negative=True)
    full_rank = full_rank_of(matrix)
    wanted = check_ranks(ranks, full_rank)
    iterated = [k for k in wanted if k < full_rank]
    scale = float(matrix.max())
    scaled = matrix / scale if not 1e-6 < scale < 1e6 else matrix
    solved = SOLVERS[solver](scaled, iterated, tol, max_iter, seed, on_progress) if iterated else {}
    if on_progress is not None:
        on_progress(1.0, "NMF done")
    rescale = 1.0 if scaled is matrix else scale
    return Factorization(
        method="nmf",
        ranks=wanted,
        relative_error=[solved[k].relative_error if k in solved else 0.0 for k in wanted],
        n_iter=[solved[k].n_iter if k in solved else 0 for k in wanted],
        converged=[solved[k].converged if k in solved else True for k in wanted],
        norm=frobenius(matrix),
        full_rank=full_rank,
        _A=matrix,
        _factors={k: (s.W * rescale if rescale != 1.0 else s.W, s.H) for k, s in solved.items()},
    )
