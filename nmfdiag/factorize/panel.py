"""The inner loop of HALS: a few sweeps over the components of one factor."""

from torch import Tensor


def sweep_(X: Tensor, B: Tensor, G: Tensor, sweeps: int) -> None:
    """Coordinate descent in place on ``||A - Y X||`` over X >= 0, a component at a time.

    Each component has its exact minimiser given the others: ``X_j <- max(0, X_j + (B_j - G_j X) / G_jj)``. A component whose
    partner is zero (``G_jj = 0``) is left as it is.

    Args:
        X: The factor (k, columns), updated in place.
        B: ``Y^T A`` (k, columns).
        G: ``Y^T Y`` (k, k).
        sweeps: How often all components are updated.
    """
    diagonal = G.diagonal().tolist()
    floor = max(diagonal) * 1e-12
    alive = [j for j, d in enumerate(diagonal) if d > floor]
    for _ in range(sweeps):
        for j in alive:
            X[j].add_(B[j] - G[j] @ X, alpha=1 / diagonal[j]).clamp_min_(0)
