"""What a network loses with k directions of a layer removed (figure 7), and which level of label noise loses more.

Leading directions carry most of a layer's activation, random channels their share of it. So what removing NMF or PCA
directions does is read against random ablation on the same batch: :func:`cost` is the difference of the two areas.
"""

from collections.abc import Mapping

from nmfdiag.measures.auc import auc
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread, spread

CLEAR_ERRORS = 2.0
SMALLEST_DIFFERENCE = 0.02

ByClass = Mapping[int, CompressionCurve]


def ablation_auc(curve: CompressionCurve, axis: str = "linear") -> float:
    """Area under accuracy over the number of directions removed, from one to as many as there are channels.

    A batch of fewer rows than channels has no more directions than rows: with all of them removed nothing is left, and the
    accuracy stays that of zeros. Signed NMF has more ranks than there are channels: nothing is left beyond these. Only so does
    the area of every method stand over the same axis.

    References:
        Collins et al. 2018, figure 7.
    """
    channels = curve.shape[1]
    ranks = [k for k in curve.ranks if k <= channels]
    accuracy = curve.accuracy[: len(ranks)]
    if not ranks or ranks[-1] < channels:
        ranks, accuracy = [*ranks, channels], [*accuracy, curve.accuracy_beyond]
    return auc(ranks, accuracy, axis=axis)


def ablation_spread(curves: ByClass, axis: str = "linear") -> Spread:
    """The area's mean and spread over classes."""
    return spread([ablation_auc(curve, axis) for curve in curves.values()])


def cost(random: ByClass, leading: ByClass, axis: str = "linear") -> Spread | None:
    """How much lower the area is without leading directions than without random channels, class by class.

    Returns:
        Mean and spread of the differences over the classes that both have; None if there is none.
    """
    both = [c for c in leading if c in random]
    differences = [ablation_auc(random[c], axis) - ablation_auc(leading[c], axis) for c in both]
    return spread(differences) if differences else None


def clearly_above(a: Spread, b: Spread) -> bool:
    """Whether a exceeds b by over two standard errors and by 0.02."""
    return a.mean - b.mean > max(CLEAR_ERRORS * (a.sem**2 + b.sem**2) ** 0.5, SMALLEST_DIFFERENCE)
