"""Covers of a support by rectangles: the upper bound of its rectangle cover number.

Notation: ``S`` (rows, columns) is the support, boolean. A rectangle is a set of rows times a set of columns, all of whose
entries are in the support; its rows and columns need not be neighbours.
"""

from typing import NamedTuple

import numpy as np

SEEDS = 8
"""Rows, and as many columns, to grow a rectangle from: those with the most uncovered entries."""
ROUNDS = 5
"""Number of times that a part of the cover is removed and covered again."""
REMOVED_SHARE = 0.4
"""Share of the cover that is removed in a round."""

Pair = tuple[np.ndarray, np.ndarray]


class Rectangle(NamedTuple):
    """Rows and columns: ascending positions in the matrix."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of its entries."""
        return len(self.rows) * len(self.columns)


def greedy_cover(S: np.ndarray) -> list[Rectangle]:
    """Cover a support by maximal rectangles, each time the one with the most uncovered entries among those grown.

    Args:
        S: (rows, columns) boolean.

    Returns:
        The rectangles in the order in which they were found, without redundant ones; none for an empty support. No row or
        column can be added to any of them.

    References:
        Chvatal 1979, A greedy heuristic for the set-covering problem. Collins et al. 2018, section 3 and figure 1.

    >>> [r.size for r in greedy_cover(np.kron(np.eye(2), np.ones((2, 3))) > 0)]
    [6, 6]
    """
    fit = np.asarray(S, np.float32)
    return _as_rectangles(_prune(_greedy(fit, [], SEEDS), fit))


def smaller_cover(S: np.ndarray, cover: list[Rectangle], *, seed: int = 0, rounds: int = ROUNDS) -> list[Rectangle]:
    """Search for a smaller cover; the number of its rectangles bounds the rectangle cover number from above.

    A random part of the cover is removed and covered again, and the result kept if it is not larger. One rectangle for each
    distinct row, or for each distinct column, is used instead if those are fewer.

    Args:
        S: (rows, columns) boolean.
        cover: Cover from :func:`greedy_cover`.
        seed: Seed of the removed parts.
        rounds: Number of rounds.

    Returns:
        A cover of at most as many rectangles.
    """
    fit = np.asarray(S, np.float32)
    if len(cover) < 3:
        return cover
    rng = np.random.default_rng(seed)
    best = min(
        (_prune(c, fit) for c in (_masks(cover, fit), _row_rectangles(fit), _transpose(_row_rectangles(fit.T)))),
        key=len,
    )
    for _ in range(rounds):
        kept_positions = rng.permutation(len(best))[: max(1, round((1 - REMOVED_SHARE) * len(best)))]
        trial = _prune(_greedy(fit, [best[i] for i in kept_positions], SEEDS // 2), fit)
        if len(trial) <= len(best):
            best = trial
    return _as_rectangles(best)


def shares_covered(S: np.ndarray, cover: list[Rectangle]) -> list[float]:
    """Return the share of a support that the first 1, 2, ... rectangles of a cover hold.

    Args:
        S: (rows, columns) boolean.
        cover: Rectangles within it.
    """
    uncovered, shares = np.array(S, bool), []
    total = int(uncovered.sum())
    for rectangle in cover:
        uncovered[np.ix_(rectangle.rows, rectangle.columns)] = False
        shares.append(float(1 - uncovered.sum() / total))
    return shares


def by_gain(S: np.ndarray, cover: list[Rectangle]) -> list[Rectangle]:
    """Order a cover so that each rectangle adds most to those before it."""
    uncovered, remaining, ordered = np.array(S, bool), list(cover), []
    while remaining:
        best = max(remaining, key=lambda rectangle: int(uncovered[np.ix_(rectangle.rows, rectangle.columns)].sum()))
        uncovered[np.ix_(best.rows, best.columns)] = False
        remaining.remove(best)
        ordered.append(best)
    return ordered


def _as_rectangles(cover: list[Pair]) -> list[Rectangle]:
    return [Rectangle(tuple(np.flatnonzero(r).tolist()), tuple(np.flatnonzero(c).tolist())) for r, c in cover]


def _masks(cover: list[Rectangle], fit: np.ndarray) -> list[Pair]:
    n, m = fit.shape
    return [(np.isin(np.arange(n), r.rows), np.isin(np.arange(m), r.columns)) for r in cover]


def _transpose(cover: list[Pair]) -> list[Pair]:
    return [(rows, columns) for columns, rows in cover]


def _greedy(fit: np.ndarray, start_cover: list[Pair], seeds: int) -> list[Pair]:
    """Add rectangles to the given ones until every entry is covered."""
    cover, uncovered = list(start_cover), fit.copy()
    for rows, columns in cover:
        uncovered[np.ix_(rows, columns)] = 0
    while uncovered.any():
        rows, columns, gain = _grow(fit, uncovered, seeds)
        other_columns, other_rows, other_gain = _grow(fit.T, uncovered.T, seeds)
        if other_gain > gain:
            rows, columns = other_rows, other_columns
        cover.append((rows, columns))
        uncovered[np.ix_(rows, columns)] = 0
    return cover


def _grow(fit: np.ndarray, uncovered: np.ndarray, seeds: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the best rectangle grown from a single row: rows are added one by one, and only their common columns kept.

    Args:
        fit: (rows, columns) 1 in the support, else 0.
        uncovered: 1 for uncovered entries, else 0.
        seeds: Number of rows to start from.

    Returns:
        Its rows and columns, boolean, and the number of uncovered entries that it covers.
    """
    n_uncovered = uncovered.sum(1)
    start_rows = np.argsort(-n_uncovered, kind="stable")[:seeds]
    start_rows = start_rows[n_uncovered[start_rows] > 0]
    columns = fit[start_rows]  # (seeds, columns): what the rectangle's rows share
    rows, gains = _rows_holding(columns, fit, uncovered)
    while True:
        common_columns = columns[:, None, :] * fit  # (seeds, rows, columns): with each row added
        more_rows, more_gains = _rows_holding(common_columns.reshape(-1, fit.shape[1]), fit, uncovered)
        more_gains = more_gains.reshape(len(start_rows), -1)
        best_rows = more_gains.argmax(1)
        seed_positions = np.arange(len(start_rows))
        improves = more_gains[seed_positions, best_rows] > gains
        if not improves.any():
            break
        gains = np.where(improves, more_gains[seed_positions, best_rows], gains)
        columns = np.where(improves[:, None], common_columns[seed_positions, best_rows], columns)
        rows = np.where(
            improves[:, None], more_rows.reshape(len(start_rows), -1, fit.shape[0])[seed_positions, best_rows], rows
        )
    best = int(gains.argmax())
    return rows[best] > 0, columns[best] > 0, float(gains[best])


def _rows_holding(columns: np.ndarray, fit: np.ndarray, uncovered: np.ndarray) -> Pair:
    """Return all rows whose support holds these columns (..., rows), and the number of uncovered entries of each rectangle (...)."""
    rows = (columns @ (1 - fit).T == 0).astype(np.float32)
    return rows, ((rows @ uncovered) * columns).sum(1)


def _row_rectangles(fit: np.ndarray) -> list[Pair]:
    """Return one rectangle for each distinct row: its support, times all rows that hold it."""
    distinct_rows = np.unique(fit[fit.any(1)], axis=0)
    rows = distinct_rows @ (1 - fit).T == 0
    return [(r, c > 0) for r, c in zip(rows, distinct_rows, strict=True)]


def _prune(cover: list[Pair], fit: np.ndarray) -> list[Pair]:
    """Return a cover without redundant rectangles, the smallest tried first, in the same order."""
    cover_counts = np.zeros(fit.shape, int)
    for rows, columns in cover:
        cover_counts[np.ix_(rows, columns)] += 1
    numbers = set()
    for number in sorted(range(len(cover)), key=lambda i: cover[i][0].sum() * cover[i][1].sum()):
        entries = np.ix_(*cover[number])
        if (cover_counts[entries] > 1).all():
            cover_counts[entries] -= 1
        else:
            numbers.add(number)
    return [pair for number, pair in enumerate(cover) if number in numbers]
