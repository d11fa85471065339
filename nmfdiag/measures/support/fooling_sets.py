"""Lower bounds of the rectangle cover number of a support: fooling sets and antichains.

Notation: ``S`` (rows, columns) is the support, boolean; rectangles are defined in :mod:`nmfdiag.measures.support.rectangles`.
"""

from math import comb

import numpy as np

STEPS = 400
"""Perturbations of the fooling set that the local search tries."""
CANDIDATES = 2500
"""Entries searched for a fooling set; of a larger support a random part, whose bound also holds for the whole."""


def fooling_set(S: np.ndarray, *, seed: int = 0, steps: int = STEPS) -> list[tuple[int, int]]:
    """Find many entries of the support no two of which fit into one rectangle: each needs its own rectangle.

    Entries (i, j) and (k, l) fit into one rectangle if (i, l) and (k, j) are in the support too. The set is an independent
    set in the graph of pairs that fit: built greedily (the entry that fits with the fewest others first), then improved by
    iterated local search: a random entry is inserted, those that fit with it removed, free entries added, and one entry
    exchanged for two where possible.

    Args:
        S: (rows, columns) boolean.
        seed: Seed of the local search, and of the part of a large support.
        steps: Number of perturbations.

    Returns:
        The entries (row, column), ascending by row; each row and column occurs at most once.

    References:
        Dietzfelbinger, Hromkovic, Schnitger 1996, A comparison of two lower-bound methods for communication complexity.
        Andrade, Resende, Werneck 2012, Fast local search for the maximum independent set problem.

    >>> fooling_set(np.eye(3) > 0)
    [(0, 0), (1, 1), (2, 2)]
    """
    rows, columns = np.nonzero(S)
    rng = np.random.default_rng(seed)
    if len(rows) > CANDIDATES:
        part = np.sort(rng.permutation(len(rows))[:CANDIDATES])
        rows, columns = rows[part], columns[part]
    if len(rows) == 0:
        return []
    row_has_column = np.asarray(S, bool)[np.ix_(rows, columns)]  # [a, b]: the row of a has the column of b
    fits = row_has_column & row_has_column.T
    np.fill_diagonal(fits, False)
    best = members = _exchange_one_for_two(fits, _greedy(fits))
    largest = min(len(np.unique(rows)), len(np.unique(columns)))
    for _ in range(steps):
        if best.sum() == largest:
            break
        trial = members.copy()
        insertion = rng.choice(np.flatnonzero(~trial))
        trial[fits[insertion]] = False
        trial[insertion] = True
        trial = _exchange_one_for_two(fits, _add_free_entries(fits, trial, rng))
        if trial.sum() >= members.sum():
            members = trial
            best = members if members.sum() > best.sum() else best
        elif rng.random() < 1 / (1 + (members.sum() - trial.sum()) * (best.sum() - trial.sum())):
            members = trial  # a step down now and then leaves a local maximum, as Andrade et al. do
    return [(int(rows[a]), int(columns[a])) for a in np.flatnonzero(best)]


def antichain_bound(S: np.ndarray) -> int:
    """Bound the cover number from below by the largest set of rows, or of columns, none of which holds another.

    In a cover by k rectangles a row's support is the union of its rectangles' columns, so that incomparable rows lie in
    incomparable sets of rectangles, and k rectangles have at most ``comb(k, k // 2)`` of those (Sperner). Exact for the crown
    (the complement of the identity).

    Args:
        S: (rows, columns) boolean.

    References:
        de Caen, Gregory, Pullman 1981, The Boolean rank of zero-one matrices.

    >>> [antichain_bound(~np.eye(n, dtype=bool)) for n in (3, 6, 7)]
    [3, 4, 5]
    """
    S = np.asarray(S, bool)
    if not S.any():
        return 0
    width = max(_largest_antichain(S), _largest_antichain(S.T))
    return next(k for k in range(1, width + 1) if comb(k, k // 2) >= width)


def _largest_antichain(S: np.ndarray) -> int:
    """Return the largest number of distinct non-empty rows none of which holds another (Dilworth, by a maximum matching)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    distinct_rows = np.unique(S[S.any(1)], axis=0).astype(np.float32)
    is_subset = distinct_rows @ (1 - distinct_rows).T == 0  # [a, b]: row b holds row a
    np.fill_diagonal(is_subset, False)
    return len(distinct_rows) - int((maximum_bipartite_matching(csr_array(is_subset)) >= 0).sum())


def _greedy(fits: np.ndarray) -> np.ndarray:
    """Repeatedly take the entry that fits with the fewest remaining ones, and drop those."""
    free, members = np.ones(len(fits), bool), np.zeros(len(fits), bool)
    degree = fits.sum(1)
    while free.any():
        pick = int(np.where(free, degree, len(fits)).argmin())
        members[pick] = True
        dropped = free & fits[pick]
        dropped[pick] = True
        free &= ~dropped
        degree = degree - fits[dropped].sum(0)
    return members


def _add_free_entries(fits: np.ndarray, members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add entries in random order while any fits with none inside."""
    free = ~members & ~fits[members].any(0)
    while free.any():
        pick = rng.choice(np.flatnonzero(free))
        members[pick] = True
        free &= ~fits[pick]
        free[pick] = False
    return members


def _exchange_one_for_two(fits: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Exchange an entry for two that fit with it alone and not with each other, while possible."""
    has_improved = True
    while has_improved:
        has_improved = False
        fits_one_member = ~members & (fits[members].sum(0) == 1)
        for entry in np.flatnonzero(members):
            pair = np.flatnonzero(fits_one_member & fits[entry])
            if len(pair) < 2:
                continue
            separable = ~fits[np.ix_(pair, pair)]
            np.fill_diagonal(separable, False)
            if separable.any():
                a, b = np.argwhere(separable)[0]
                members = members.copy()
                members[entry], members[pair[a]], members[pair[b]] = False, True, True
                has_improved = True
                break
    return members
