"""Covers of supports: planted answers, brute force on tiny matrices, and invariants of any support."""

import itertools
import json
from math import comb

import numpy as np
import pytest
import torch

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.support.cover import SupportCover, bicluster, by_rectangles, support_cover
from nmfdiag.measures.support.fooling_sets import antichain_bound, fooling_set
from nmfdiag.measures.support.rectangles import Rectangle, greedy_cover, smaller_cover

RNG = np.random.default_rng(0)


def random_support(rows: int, columns: int, density: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, columns)) < density


def crown(n: int) -> np.ndarray:
    return ~np.eye(n, dtype=bool)


def exact_cover_number(S: np.ndarray) -> int:
    """Search exhaustively: all maximal rectangles (the columns that a set of rows shares), then more and more of them."""
    rectangles = set()
    for size in range(1, len(S) + 1):
        for rows in itertools.combinations(range(len(S)), size):
            columns = S[list(rows)].all(0)
            holding = ~(columns & ~S).any(1)
            rectangles.add(sum(1 << int(position) for position in np.flatnonzero(np.outer(holding, columns))))
    uncovered = sum(1 << int(position) for position in np.flatnonzero(S))
    for k in range(len(S) + 1):
        for candidates in itertools.combinations(rectangles, k):
            covered = 0
            for rectangle in candidates:
                covered |= rectangle
            if covered == uncovered:
                return k
    raise AssertionError("a rectangle a row covers everything")


def is_cover(S: np.ndarray, rectangles: list[Rectangle] | tuple[Rectangle, ...]) -> bool:
    covered = np.zeros(S.shape, bool)
    for rectangle in rectangles:
        if not S[np.ix_(rectangle.rows, rectangle.columns)].all():
            return False
        covered[np.ix_(rectangle.rows, rectangle.columns)] = True
    return bool((covered == S).all())


def is_fooling(S: np.ndarray, entries: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> bool:
    return all(S[i, j] for i, j in entries) and not any(
        S[i, m] and S[k, j] for (i, j), (k, m) in itertools.combinations(entries, 2)
    )


@pytest.mark.parametrize("b", [1, 2, 3, 5, 8])
def test_a_block_diagonal_support_takes_one_rectangle_a_block(b: int) -> None:
    A = np.kron(np.eye(b), np.ones((3, 4))) * RNG.uniform(0.1, 2, (3 * b, 4 * b))
    cover = support_cover(A[RNG.permutation(3 * b)][:, RNG.permutation(4 * b)])
    assert cover.lower_bound == cover.upper_bound == len(cover.rectangles) == b
    assert cover.n_distinct_rows == b and cover.linear == (b == 1) and cover.whole
    assert sorted(cover.times) == [3] * b  # three rows share each support, and count once


def test_planted_block_diagonals_are_biclustered() -> None:
    rng = np.random.default_rng(0)  # independent of the order of tests: not every draw keeps the blocks apart
    S = np.kron(np.eye(4), np.ones((8, 6))) > 0
    S &= rng.random(S.shape) < 0.9
    rows, columns = rng.permutation(32), rng.permutation(24)
    order, row_blocks, column_order, column_blocks = bicluster(S[rows][:, columns])
    for block in range(4):
        own = {int(rows[i]) // 8 for i, b in zip(order, row_blocks, strict=True) if b == block}
        theirs = {int(columns[j]) // 6 for j, b in zip(column_order, column_blocks, strict=True) if b == block}
        assert len(own) == 1 and own == theirs


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_the_identity_takes_one_rectangle_a_row(n: int) -> None:
    cover = support_cover(np.eye(n))
    assert (cover.lower_bound, cover.upper_bound) == (n, n)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (40, 30)])
def test_a_full_matrix_takes_one_rectangle(shape: tuple[int, int]) -> None:
    cover = support_cover(np.ones(shape))
    assert (cover.lower_bound, cover.upper_bound) == (1, 1) and cover.linear and not cover.dead
    assert cover.n_always_on == shape[1] and cover.density == 1 and len(cover.support) == 1


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 10, 20, 35])
def test_bounds_of_the_crown_hold_its_known_number(n: int) -> None:
    """Compare with the least k whose middle binomial coefficient is at least n (de Caen, Gregory, Pullman 1981)."""
    cover_number = next(k for k in range(1, n + 1) if comb(k, k // 2) >= n)
    cover = support_cover(crown(n).astype(float))
    assert antichain_bound(crown(n)) == cover.lower_bound == cover_number <= cover.upper_bound
    assert len(fooling_set(crown(n))) == min(n, 3)
    assert cover.upper_bound <= min(n, 1.5 * cover_number + 1)  # greedy set cover is not exact here


@pytest.mark.parametrize("seed", range(12))
def test_bounds_bracket_what_trying_all_covers_gives(seed: int) -> None:
    S = random_support(5, 6, (0.3, 0.5, 0.7, 0.85)[seed % 4], seed)
    cover = support_cover(S.astype(float))
    exact = exact_cover_number(S)
    assert cover.lower_bound <= exact <= cover.upper_bound <= exact + 1
    assert cover.whole


def test_the_oracle_knows_what_is_known() -> None:
    cover_number = {4: crown(4), 1: np.ones((3, 4), bool), 3: np.eye(3, dtype=bool), 0: np.zeros((2, 2), bool)}
    assert {exact_cover_number(S) for S in cover_number.values()} == set(cover_number)
    assert exact_cover_number(crown(5)) == 4


@pytest.mark.parametrize(
    ("rows", "columns", "density"),
    [
        (30, 20, 0.2), (20, 32, 0.5), (60, 16, 0.85), pytest.param(40, 64, 0.5, marks=pytest.mark.soak),
        pytest.param(20, 128, 0.6, marks=pytest.mark.soak),
    ],
)  # fmt: skip
def test_rectangles_lie_within_the_support_and_cover_it(rows: int, columns: int, density: float) -> None:
    S = random_support(rows, columns, density, 1)
    cover = support_cover(S.astype(np.float32))
    assert is_cover(cover.matrix, cover.rectangles) and is_fooling(cover.matrix, cover.fooling_set)
    maximal = greedy_cover(S)
    assert is_cover(S, better := smaller_cover(S, maximal)) and len(better) <= min(S.shape)
    assert len(cover.fooling_set) <= cover.lower_bound <= cover.upper_bound <= len(cover.rectangles)
    for rectangle in maximal:
        covered = ~(np.isin(np.arange(columns), rectangle.columns) & ~S).any(1)
        assert tuple(np.flatnonzero(covered)) == rectangle.rows
        assert tuple(np.flatnonzero(S[list(rectangle.rows)].all(0))) == rectangle.columns


def test_a_part_of_the_support_never_takes_more_than_all_of_it() -> None:
    for seed in range(4):
        cover = support_cover(random_support(25, 20, 0.35 + 0.1 * seed, seed).astype(float))
        assert len(cover.coverage) == cover.upper_bound == cover.rectangles_for(1.0)
        assert list(cover.coverage) == sorted(cover.coverage) and cover.coverage[-1] == 1
        assert 1 <= cover.rectangles_for(0.5) <= cover.rectangles_for(0.9) <= cover.upper_bound
        assert cover.coverage[0] >= max(r.size for r in cover.rectangles) / cover.matrix.sum() - 1e-9
    blocks = support_cover(np.kron(np.eye(4), np.ones((2, 3))))
    assert blocks.coverage == (0.25, 0.5, 0.75, 1.0) and blocks.rectangles_for(0.5) == 2


def test_local_search_improves_the_fooling_set() -> None:
    support = [random_support(40, 40, 0.5, seed) for seed in range(4)]
    greedy, searched = ([len(fooling_set(S, steps=steps)) for S in support] for steps in (0, 400))
    assert all(b >= a for a, b in zip(greedy, searched, strict=True)) and sum(searched) > sum(greedy)
    assert all(is_fooling(S, fooling_set(S)) for S in support)


def test_bounds_of_permuted_rows_and_columns_agree() -> None:
    S = random_support(40, 30, 0.3, 3)
    covers = [support_cover(S[RNG.permutation(40)][:, RNG.permutation(30)].astype(float)) for _ in range(4)]
    for bound in ("lower_bound", "upper_bound"):
        values = [getattr(cover, bound) for cover in covers]
        assert max(values) - min(values) <= 3
    assert len({cover.density for cover in covers}) == 1


def test_rows_that_share_a_support_count_once_and_a_sample_says_so() -> None:
    A = np.repeat(random_support(50, 24, 0.4, 5).astype(float), 3, axis=0)
    whole, part = support_cover(A), support_cover(A, rows=20, channels=10)
    assert (whole.n_rows, whole.n_distinct_rows, len(whole.support)) == (150, 50, 50) and whole.whole
    assert len(part.support) <= 20 and len(part.channels) <= 10 and not part.whole
    assert part.upper_bound <= whole.upper_bound and part.n_distinct_rows == 50
    assert part == support_cover(A, rows=20, channels=10)  # seeded
    assert part.support != support_cover(A, rows=20, channels=10, seed=1).support


def test_dead_and_always_on_channels_are_counted() -> None:
    A = np.zeros((6, 8))
    A[:, 2] = 1.5
    A[::2, 5] = 0.3
    cover = support_cover(A)
    assert (cover.n_dead, cover.n_always_on, cover.n_distinct_rows) == (6, 1, 2)
    assert set(cover.channels) == {2, 5} and cover.upper_bound == cover.lower_bound == 2


def test_a_dead_layer_needs_no_rectangle() -> None:
    cover = support_cover(torch.zeros(20, 8))
    assert cover.dead and (cover.lower_bound, cover.upper_bound, cover.density) == (0, 0, 0)
    assert cover.matrix.shape == (0, 0) and cover.coverage == () and cover.rectangles_for(0.9) == 0


def test_a_row_without_any_channel_is_a_support_of_its_own() -> None:
    A = np.ones((4, 3))
    A[1] = 0
    cover = support_cover(A)
    assert cover.n_distinct_rows == 2 and not cover.linear and len(cover.support) == 1 and cover.upper_bound == 1


def test_the_input_is_any_float_and_never_changed() -> None:
    S = random_support(12, 9, 0.5, 2)
    A = torch.tensor(S * 0.25, dtype=torch.float16)
    before = A.clone()
    assert support_cover(A).support == support_cover(S.astype(float)).support and torch.equal(A, before)
    activations = torch.tensor(S.astype(float), requires_grad=True)
    assert support_cover(activations).upper_bound == support_cover(A).upper_bound


def test_the_first_rectangle_is_in_one_piece_when_ordered_by_rectangles() -> None:
    cover = support_cover(random_support(40, 30, 0.6, 4).astype(float))
    rows, columns = by_rectangles(cover, cover.rectangles[:4])
    first = cover.rectangles[0]
    assert set(rows[: len(first.rows)]) == set(first.rows) and set(columns[: len(first.columns)]) == set(first.columns)
    assert sorted(rows) == list(range(len(rows)))


def test_a_cover_survives_json() -> None:
    cover = support_cover(random_support(15, 12, 0.5, 6).astype(float))
    again = SupportCover.from_dict(json.loads(json.dumps(cover.to_dict())))
    assert again == cover and isinstance(again.rectangles[0], Rectangle)


@pytest.mark.parametrize(
    ("A", "options", "message"),
    [
        (np.ones(3), {}, "shape"),
        (np.ones((0, 3)), {}, "shape"),
        (np.array([[1.0, np.nan]]), {}, "NaN or infinite"),
        (np.array([[1.0, -2.0]]), {}, "negative values"),
        (np.ones((2, 2)), {"rows": 0}, "at least 1 row"),
    ],
)
def test_bad_input_is_explained(A: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        support_cover(A, **options)
