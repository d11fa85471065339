"""Which ranks a compression curve is drawn at when the caller names none."""

from nmfdiag.errors import NmfdiagError

_TOO_CLOSE = 0.9


def default_ranks(full_rank: int, n_points: int | None = None) -> list[int]:
    """Return a geometric grid of ranks: 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, ... and the full rank.

    A rank within a tenth of the full rank is left out: NMF never converges there and would take most of the time,
    while the full rank itself is exact and free.

    Args:
        full_rank: the largest rank of the matrix, `min(rows, channels)`.
        n_points: at most this many ranks, spread evenly over the grid, its two ends kept; None for all of them.

    Returns:
        Ranks in rising order, the last one being `full_rank`.

    Raises:
        NmfdiagError: if `full_rank` is below 1 or `n_points` below 1.

    Example:
        >>> default_ranks(64)
        [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
        >>> default_ranks(64, n_points=4)
        [1, 4, 16, 64]
    """
    if full_rank < 1:
        raise NmfdiagError(f"The full rank must be at least 1, got {full_rank}.")
    if n_points is not None and n_points < 1:
        raise NmfdiagError(f"A grid needs at least one point, got n_points = {n_points}.")
    grid = [1, 2, 3]
    while grid[-1] < full_rank:
        grid.append(grid[-2] * 2)
    ranks = [k for k in grid if k < full_rank and (k < 4 or k <= _TOO_CLOSE * full_rank)] + [full_rank]
    if n_points is None or n_points >= len(ranks):
        return ranks
    if n_points == 1:
        return [full_rank]
    step = (len(ranks) - 1) / (n_points - 1)
    return [ranks[round(i * step)] for i in range(n_points)]
