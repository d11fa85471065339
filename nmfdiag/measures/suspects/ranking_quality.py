"""How well a score finds wrong labels where the true ones are known: AUROC with its interval, precision and recall."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 200
SEED = 0
MOST_VALUES = 2**22
"""Numbers that are resampled at once."""


@dataclass(frozen=True)
class RankingQuality:
    """How well a score finds wrong labels.

    Attributes:
        auroc: Share of pairs of a wrong and a right label in which the wrong one has the higher score; ties count half.
        low: Lower end of the 95 % interval (bootstrap over samples).
        high: Its upper end.
        average_precision: Mean precision over the wrong labels.
        precision_at_number: Share of wrong labels among as many of the most suspicious samples as there are wrong labels.
        n_wrong: Wrong labels.
    """

    auroc: float
    low: float
    high: float
    average_precision: float
    precision_at_number: float
    n_wrong: int


def ranking_quality(score: np.ndarray, wrong: np.ndarray) -> RankingQuality | None:
    """Return how well a score (n,) finds wrong labels (n,) bool; None where all labels are right, or all wrong."""
    n, n_wrong = len(wrong), int(wrong.sum())
    if n_wrong in (0, n):
        return None
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.nan) != 0)
    generator = np.random.default_rng(SEED)
    draws: list[float] = []
    while len(draws) < RESAMPLES:
        size = min(RESAMPLES - len(draws), max(1, MOST_VALUES // n))
        draws += _auroc(generator.multinomial(n, np.full(n, 1 / n), size)[:, order], wrong[order], starts).tolist()
    low, high = np.nanquantile(draws, [0.025, 0.975])
    precision, recall = precision_recall(score, wrong)
    auroc = float(_auroc(np.ones((1, n), int), wrong[order], starts)[0])
    return RankingQuality(
        auroc,
        float(min(low, auroc)),
        float(max(high, auroc)),
        float((np.diff(recall, prepend=0) * precision).sum()),
        float(wrong[np.lexsort((np.arange(n), -score))[:n_wrong]].mean()),
        n_wrong,
    )


def precision_recall(score: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall (t,) for each threshold, the highest first: samples of equal score are counted together."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    n_found = np.cumsum(wrong[order])[ends]
    return n_found / (ends + 1), n_found / max(1, int(wrong.sum()))


def _auroc(weights: np.ndarray, wrong: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return AUROC (b,) of weighted samples (b, n) in ascending order of score, whose groups of equal score begin at ``starts``."""
    n_wrong = np.add.reduceat(weights * wrong, starts, axis=1)
    n_right = np.add.reduceat(weights * ~wrong, starts, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = (n_wrong * (np.cumsum(n_right, 1) - n_right / 2)).sum(1)
        return pairs / (n_wrong.sum(1) * n_right.sum(1))
