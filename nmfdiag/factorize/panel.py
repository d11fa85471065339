"""The inner loop of HALS: a few sweeps over the components of one factor, compiled on the CPU."""

from functools import lru_cache
from typing import Any

from torch import Tensor

ALIVE = 1e-12
PANEL = 64


def sweep_(X: Tensor, B: Tensor, G: Tensor, sweeps: int) -> None:
    """Coordinate descent in place on ``||A - Y X||`` over X >= 0, a component at a time.

    Each component has its exact minimiser given the others: ``X_j <- max(0, X_j + (B_j - G_j X) / G_jj)``. A component whose
    partner is zero (``G_jj = 0``) is left as it is. On the CPU this runs compiled, over panels of columns that stay in the
    cache; elsewhere, and where numba is missing, through torch.

    Args:
        X: The factor (k, columns), contiguous, updated in place.
        B: ``Y^T A`` (k, columns).
        G: ``Y^T Y`` (k, k).
        sweeps: How often all components are updated.
    """
    kernel = compiled_sweep() if X.device.type == "cpu" else None
    if kernel is None:
        torch_sweep_(X, B, G, sweeps)
    else:
        kernel(X.numpy(), B.numpy(), G.numpy(), sweeps)


def torch_sweep_(X: Tensor, B: Tensor, G: Tensor, sweeps: int) -> None:
    """The sweep of :func:`sweep_` in torch operations, for any device."""
    diagonal = G.diagonal().tolist()
    floor = max(diagonal) * ALIVE
    alive = [j for j, d in enumerate(diagonal) if d > floor]
    for _ in range(sweeps):
        for j in alive:
            X[j].add_(B[j] - G[j] @ X, alpha=1 / diagonal[j]).clamp_min_(0)


@lru_cache(maxsize=1)
def compiled_sweep() -> Any | None:
    """The sweep compiled by numba, or None where numba is missing. Releases the GIL; compiled once a process."""
    try:
        import numba
    except ImportError:
        return None

    import numpy as np

    def sweep(X: Any, B: Any, G: Any, sweeps: int) -> None:
        k, columns = X.shape
        floor = 0.0
        for j in range(k):
            floor = max(floor, G[j, j])
        floor *= ALIVE
        panel = np.empty((k, PANEL), X.dtype)
        step = np.empty(PANEL, X.dtype)
        for begin in range(0, columns, PANEL):
            width = min(PANEL, columns - begin)
            for j in range(k):
                for c in range(width):
                    panel[j, c] = X[j, begin + c]
            for _ in range(sweeps):
                for j in range(k):
                    if G[j, j] <= floor:
                        continue
                    for c in range(width):
                        step[c] = B[j, begin + c]
                    i = 0
                    while i + 4 <= k:
                        g0, g1, g2, g3 = G[j, i], G[j, i + 1], G[j, i + 2], G[j, i + 3]
                        for c in range(width):
                            step[c] -= (
                                g0 * panel[i, c] + g1 * panel[i + 1, c] + g2 * panel[i + 2, c] + g3 * panel[i + 3, c]
                            )
                        i += 4
                    while i < k:
                        g = G[j, i]
                        for c in range(width):
                            step[c] -= g * panel[i, c]
                        i += 1
                    scale = X.dtype.type(1) / G[j, j]
                    for c in range(width):
                        panel[j, c] = max(panel[j, c] + step[c] * scale, X.dtype.type(0))
            for j in range(k):
                for c in range(width):
                    X[j, begin + c] = panel[j, c]

    options: dict[str, Any] = {"fastmath": {"contract", "reassoc", "nsz", "arcp"}, "nogil": True}
    try:
        return numba.njit(cache=True, **options)(sweep)
    except RuntimeError:  # no place to write the compiled code to: compile in every process
        return numba.njit(**options)(sweep)
