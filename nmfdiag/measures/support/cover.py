"""The support of a layer's activations and the rectangles that cover it (figure 1): a measure of the layer's non-linearity on a batch.

Notation: ``A`` (rows, channels) >= 0 are the activations, ``S = A > 0`` is their support, the decisions of the ReLU. A
rectangle is a set of rows times a set of columns, all of whose entries are in the support. The **rectangle cover number**
(Boolean rank) of ``S`` is the least number of rectangles that cover it. Each direction of an exact non-negative factorisation
``A = W H`` has a rectangle for its support, so the cover number is at most the non-negative rank of ``A``. If all rows share one
support, one rectangle covers it: the layer is linear on the batch. Computing the number is NP-hard; here it is bounded.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.support.fooling_sets import antichain_bound, fooling_set
from nmfdiag.measures.support.rectangles import Rectangle, by_gain, greedy_cover, shares_covered, smaller_cover

if TYPE_CHECKING:
    from torch import Tensor

ROWS, CHANNELS = 80, 128
"""Distinct rows and channels of the sampled support, at most."""
BLOCKS = 4
"""Biclusters at most; each has at least as many distinct rows and columns."""


@dataclass(frozen=True)
class SupportCover:
    """A support, or a sample of it, with a cover, and bounds of its rectangle cover number.

    Attributes:
        support: One string of 0 and 1 per row, rows and columns ordered by biclustering: distinct non-empty rows, and the
            channels that are positive in any of them.
        channels: The channel of each column.
        times: Number of rows of the batch with each row's support.
        row_blocks: Bicluster of each row, ascending.
        column_blocks: Bicluster of each column, ascending.
        rectangles: The greedy cover, in the order in which its rectangles were found; positions in ``support``.
        fooling_set: Entries (row, column) no two of which fit into one rectangle.
        lower_bound: Lower bound of the cover number of ``support``, hence of the whole batch's, and of the non-negative rank.
        upper_bound: Upper bound of the cover number of ``support``; of the whole batch's if :attr:`whole`. It may be less than the
            number of rectangles of the greedy cover, which is improved further.
        coverage: Largest share of ``support`` found covered by 1, 2, ... ``upper_bound`` rectangles.
        n_rows: Rows of the activation matrix.
        n_channels: Number of its channels.
        n_distinct_rows: Number of distinct supports among all its rows, including an empty one.
        n_dead: Number of channels that are zero in all rows.
        n_always_on: Number of channels that are positive in all rows.
        density: Share of positive entries.
        whole: Whether ``support`` holds every distinct row and every live channel of the batch.
        provenance: Conditions of the computation.
    """

    support: tuple[str, ...]
    channels: tuple[int, ...]
    times: tuple[int, ...]
    row_blocks: tuple[int, ...]
    column_blocks: tuple[int, ...]
    rectangles: tuple[Rectangle, ...]
    fooling_set: tuple[tuple[int, int], ...]
    lower_bound: int
    upper_bound: int
    coverage: tuple[float, ...]
    n_rows: int
    n_channels: int
    n_distinct_rows: int
    n_dead: int
    n_always_on: int
    density: float
    whole: bool
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def matrix(self) -> np.ndarray:
        """``support`` as a boolean matrix (rows, columns)."""
        if not self.support:
            return np.zeros((0, 0), bool)
        return np.array([[c == "1" for c in row] for row in self.support])

    @property
    def dead(self) -> bool:
        """Whether no channel is positive anywhere."""
        return self.n_dead == self.n_channels

    @property
    def linear(self) -> bool:
        """Whether all rows of the batch share one support."""
        return self.n_distinct_rows == 1

    def rectangles_for(self, share: float) -> int:
        """Return the fewest rectangles found to cover this share of ``support``: an upper bound, like ``upper_bound`` for all of it."""
        return next((i for i, covered in enumerate(self.coverage, 1) if covered >= share), self.upper_bound)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "SupportCover":
        nested: dict[str, Any] = {
            "rectangles": tuple(Rectangle(tuple(rows), tuple(columns)) for rows, columns in record["rectangles"]),
            "fooling_set": tuple((i, j) for i, j in record["fooling_set"]),
        }
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        return cls(**(record | lists | nested))


def support_cover(
    A: "Tensor | np.ndarray", *, rows: int = ROWS, channels: int = CHANNELS, seed: int = 0
) -> SupportCover:
    """Cover the support of an activation matrix by rectangles and bound their least number.

    Rows with the same support count once. If there are more distinct ones than ``rows``, or more live channels than
    ``channels``, a random part is used: its cover number is at most the whole's, so the lower bound holds for the whole, and
    the upper bound for the part only.

    Args:
        A: (rows, channels), non-negative. A matrix that is zero everywhere needs no rectangle.
        rows: Distinct rows at most.
        channels: Channels at most.
        seed: Seed of the part and of both searches.

    Raises:
        NmfdiagError: If A is not a matrix, is empty, or holds negative or non-finite values; or a size is less than 1.

    References:
        Collins et al. 2018, section 3 and figure 1. Gregory, Pullman 1983, Semiring rank: Boolean rank and nonnegative rank
        factorizations.

    >>> cover = support_cover(np.eye(4))
    >>> cover.lower_bound, cover.upper_bound, cover.n_distinct_rows
    (4, 4, 4)
    """
    if rows < 1 or channels < 1:
        raise NmfdiagError(f"A support needs at least 1 row and 1 channel, got {rows} and {channels}.")
    S = _support(A)
    distinct_rows, times = np.unique(S, axis=0, return_counts=True)
    is_filled = distinct_rows.any(1)
    filled_rows, row_counts = distinct_rows[is_filled], times[is_filled]
    rng = np.random.default_rng(seed)
    row_sample = np.sort(rng.permutation(len(filled_rows))[:rows])
    live_channels = np.flatnonzero(S.any(0))
    columns = np.sort(rng.permutation(live_channels)[:channels])
    part, part_times = filled_rows[row_sample][:, columns], row_counts[row_sample]
    used_rows, used_columns = part.any(1), part.any(0)
    part, columns, part_times = part[np.ix_(used_rows, used_columns)], columns[used_columns], part_times[used_rows]
    row_order, row_blocks, column_order, column_blocks = bicluster(part)
    part = part[np.ix_(row_order, column_order)]
    cover, fooling = greedy_cover(part), fooling_set(part, seed=seed)
    smallest = by_gain(part, smaller_cover(part, cover, seed=seed))
    shares = zip(shares_covered(part, cover)[: len(smallest)], shares_covered(part, smallest), strict=True)
    return SupportCover(
        support=tuple("".join("01"[entry] for entry in row) for row in part.astype(int)),
        channels=tuple(columns[column_order].tolist()),
        times=tuple(part_times[row_order].tolist()),
        row_blocks=tuple(row_blocks),
        column_blocks=tuple(column_blocks),
        rectangles=tuple(cover),
        fooling_set=tuple(fooling),
        lower_bound=max(len(fooling), antichain_bound(part)),
        upper_bound=len(smallest),
        coverage=tuple(max(pair) for pair in shares),
        n_rows=len(S),
        n_channels=S.shape[1],
        n_distinct_rows=len(distinct_rows),
        n_dead=int((~S).all(0).sum()),
        n_always_on=int(S.all(0).sum()),
        density=float(S.mean()),
        whole=len(filled_rows) <= rows and len(live_channels) <= channels,
    )


def bicluster(S: np.ndarray) -> tuple[np.ndarray, list[int], np.ndarray, list[int]]:
    """Order rows and columns so that those that are positive together are adjacent.

    Spectral co-clustering (scikit-learn's ``SpectralCoclustering``) splits rows and columns into blocks. Blocks, and rows and
    columns within them, are ordered along the second singular vectors of the support divided by the roots of its row and
    column sums, which the clustering is based on.

    Args:
        S: (rows, columns) boolean, without empty rows or columns.

    Returns:
        The order of the rows, the block of each (ascending), the order of the columns, the block of each (ascending).

    References:
        Dhillon 2001, Co-clustering documents and words using bipartite spectral graph partitioning.
    """
    n, m = S.shape
    distinct = min(len(np.unique(S, axis=0)), len(np.unique(S, axis=1).T)) if S.size else 0
    blocks = min(BLOCKS, distinct // BLOCKS)
    by_row, by_column = _second_vectors(S) if distinct > 1 else (np.zeros(n), np.zeros(m))
    if blocks < 2:
        row_labels, column_labels = np.zeros(n, int), np.zeros(m, int)
    else:
        from sklearn.cluster import SpectralCoclustering

        model = SpectralCoclustering(n_clusters=blocks, random_state=0).fit(S.astype(float))
        row_labels, column_labels = model.row_labels_, model.column_labels_
    vectors, labels = np.concatenate([by_row, by_column]), np.concatenate([row_labels, column_labels])
    place = {b: i for i, b in enumerate(sorted(set(labels.tolist()), key=lambda b: float(vectors[labels == b].mean())))}
    orders = []
    for along, block_labels in ((by_row, row_labels), (by_column, column_labels)):
        rank = np.array([place[b] for b in block_labels.tolist()], int)
        order = np.lexsort((along, rank))
        orders += [order, rank[order].tolist()]
    return orders[0], orders[1], orders[2], orders[3]


def by_rectangles(cover: SupportCover, rectangles: Sequence[Rectangle]) -> tuple[list[int], list[int]]:
    """Order rows and columns by the rectangles that contain them, so that the first rectangle is contiguous."""

    def order(n: int, parts: Sequence[tuple[int, ...]]) -> list[int]:
        sets = [set(part) for part in parts]
        return sorted(range(n), key=lambda i: tuple(i not in part for part in sets))

    rows = order(len(cover.times), [r.rows for r in rectangles])
    return rows, order(len(cover.channels), [r.columns for r in rectangles])


def _support(A: "Tensor | np.ndarray") -> np.ndarray:
    values = np.asarray(A if isinstance(A, np.ndarray) else A.detach().cpu().numpy())
    if values.ndim != 2 or values.size == 0:
        raise NmfdiagError(f"An activation matrix must have the shape (rows, channels), got {values.shape}.")
    if not np.isfinite(values).all():
        raise NmfdiagError("The activations hold NaN or infinite values: only finite ones are accepted.")
    if values.min() < 0:
        raise NmfdiagError(
            f"The activations hold negative values (down to {values.min():.3g}): the output of a ReLU has none."
        )
    return values > 0


def _second_vectors(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    row_sums, column_sums = S.sum(1) ** 0.5, S.sum(0) ** 0.5
    u, _, v = np.linalg.svd(S / row_sums[:, None] / column_sums, full_matrices=False)
    sign = 1.0 if u[np.abs(u[:, 1]).argmax(), 1] > 0 else -1.0  # the sign of a singular vector is arbitrary
    return sign * u[:, 1] / row_sums, sign * v[1] / column_sums


def rectangle_of(cover: SupportCover) -> np.ndarray:
    """Return the number of the first rectangle that covers each entry, from 1 on (rows, columns); 0 outside the support."""
    first = np.zeros(cover.matrix.shape, int)
    for number, rectangle in reversed(list(enumerate(cover.rectangles, 1))):
        first[np.ix_(rectangle.rows, rectangle.columns)] = number
    return first
