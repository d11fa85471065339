"""The support of a layer's activations and how many rectangles cover it (figure 1): how non-linear the layer is on a batch.

Notation: ``A`` (rows, channels) >= 0 are the activations, ``S = A > 0`` is their support, what the ReLU threshold decided. A
rectangle is a set of rows times a set of columns, all of whose entries are in the support. The **rectangle cover number**
(Boolean rank) of ``S`` is the least number of rectangles that cover it. Each direction of an exact non-negative factorisation
``A = W H`` has a rectangle for its support, so the cover number is at most the non-negative rank of ``A``. If all rows share one
support, one rectangle covers it: the layer is linear on the batch. Finding the number is NP-hard; here it is bounded.
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
BLOCKS = 4
"""Biclusters at most; each has at least as many distinct rows and columns."""


@dataclass(frozen=True)
class SupportCover:
    """A support, or a sample of it, with a cover, and bounds of its rectangle cover number.

    Attributes:
        support: One string of 0 and 1 a row, rows and columns ordered by biclustering: distinct rows that are not empty, and
            the channels that are positive somewhere in them.
        channels: The channel of each column.
        times: How many rows of the batch have each row's support.
        row_blocks: Bicluster of each row, ascending.
        column_blocks: Bicluster of each column, ascending.
        rectangles: The greedy cover, in the order in which its rectangles were found; positions in ``support``.
        fooling_set: Entries (row, column) no two of which fit into one rectangle.
        lower_bound: Of the cover number of ``support``, and so of the whole batch's, and of the non-negative rank.
        upper_bound: Of the cover number of ``support``; that of the whole batch's where :attr:`whole`. It may be less than the number
            of rectangles of the greedy cover, which is improved upon.
        coverage: The largest share of ``support`` found to be covered by 1, 2, ... ``upper_bound`` rectangles.
        n_rows: Rows of the activation matrix.
        n_channels: Its channels.
        n_distinct_rows: Distinct supports among all its rows, an empty one included.
        n_dead: Channels that are zero in all rows.
        n_always_on: Channels that are positive in all rows.
        density: Share of the entries that are positive.
        whole: Whether ``support`` holds every distinct row and every live channel of the batch.
        provenance: What it was computed with.
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
        """The fewest rectangles found that cover this share of ``support``: an upper bound, as ``upper_bound`` is for all of it."""
        return next((i for i, covered in enumerate(self.coverage, 1) if covered >= share), self.upper_bound)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "SupportCover":
        of_tuples: dict[str, Any] = {
            "rectangles": tuple(Rectangle(tuple(rows), tuple(columns)) for rows, columns in record["rectangles"]),
            "fooling_set": tuple((i, j) for i, j in record["fooling_set"]),
        }
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        return cls(**(record | lists | of_tuples))


def support_cover(
    A: "Tensor | np.ndarray", *, rows: int = ROWS, channels: int = CHANNELS, seed: int = 0
) -> SupportCover:
    """Cover the support of an activation matrix by rectangles and bound the least number that it takes.

    Rows with the same support count once. Where there are more distinct ones than ``rows``, or more live channels than
    ``channels``, a random part is taken: its cover number is at most the whole's, so that the lower bound holds for the
    whole, and the upper bound for the part alone.

    Args:
        A: (rows, channels), non-negative. A matrix that is zero everywhere needs no rectangle.
        rows: Distinct rows at most.
        channels: Channels at most.
        seed: Of the part taken and of both searches.

    Raises:
        NmfdiagError: If A is no matrix, is empty, or holds a negative or no number; or a size is less than 1.

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
    distinct, times = np.unique(S, axis=0, return_counts=True)
    filled = distinct.any(1)
    kept, kept_times = distinct[filled], times[filled]
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(len(kept))[:rows])
    live = np.flatnonzero(S.any(0))
    columns = np.sort(rng.permutation(live)[:channels])
    part, part_times = kept[some][:, columns], kept_times[some]
    held, seen = part.any(1), part.any(0)
    part, columns, part_times = part[np.ix_(held, seen)], columns[seen], part_times[held]
    row_order, row_blocks, column_order, column_blocks = bicluster(part)
    part = part[np.ix_(row_order, column_order)]
    found, apart = greedy_cover(part), fooling_set(part, seed=seed)
    fewest = by_gain(part, smaller_cover(part, found, seed=seed))
    shares = zip(shares_covered(part, found)[: len(fewest)], shares_covered(part, fewest), strict=True)
    return SupportCover(
        support=tuple("".join("01"[entry] for entry in row) for row in part.astype(int)),
        channels=tuple(columns[column_order].tolist()),
        times=tuple(part_times[row_order].tolist()),
        row_blocks=tuple(row_blocks),
        column_blocks=tuple(column_blocks),
        rectangles=tuple(found),
        fooling_set=tuple(apart),
        lower_bound=max(len(apart), antichain_bound(part)),
        upper_bound=len(fewest),
        coverage=tuple(max(pair) for pair in shares),
        n_rows=len(S),
        n_channels=S.shape[1],
        n_distinct_rows=len(distinct),
        n_dead=int((~S).all(0).sum()),
        n_always_on=int(S.all(0).sum()),
        density=float(S.mean()),
        whole=len(kept) <= rows and len(live) <= channels,
    )


def bicluster(S: np.ndarray) -> tuple[np.ndarray, list[int], np.ndarray, list[int]]:
    """Order rows and columns so that those which are positive together lie together.

    Spectral co-clustering (scikit-learn's ``SpectralCoclustering``) splits rows and columns into blocks; these are put along
    the second singular vectors of the support divided by the roots of its row and column sums, on which the clustering rests,
    and so are the rows and columns of a block.

    Args:
        S: (rows, columns) boolean, no row and no column empty.

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
    both, labels = np.concatenate([by_row, by_column]), np.concatenate([row_labels, column_labels])
    place = {b: i for i, b in enumerate(sorted(set(labels.tolist()), key=lambda b: float(both[labels == b].mean())))}
    orders = []
    for along, of in ((by_row, row_labels), (by_column, column_labels)):
        rank = np.array([place[b] for b in of.tolist()], int)
        order = np.lexsort((along, rank))
        orders += [order, rank[order].tolist()]
    return orders[0], orders[1], orders[2], orders[3]


def by_rectangles(cover: SupportCover, rectangles: Sequence[Rectangle]) -> tuple[list[int], list[int]]:
    """Order rows and columns by the rectangles that they are in, the first before the second: the first one is in one piece."""

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
    """The first rectangle that covers each entry, from 1 on (rows, columns); 0 outside the support."""
    first = np.zeros(cover.matrix.shape, int)
    for number, rectangle in reversed(list(enumerate(cover.rectangles, 1))):
        first[np.ix_(rectangle.rows, rectangle.columns)] = number
    return first
