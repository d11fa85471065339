"""The accuracy lost with k directions of a layer removed (figure 7).

Leading directions carry most of a layer's activation, random channels only their share. So the effect of removing NMF or PCA
directions is compared with random ablation on the same batch: :func:`cost` is the difference of the two areas.
"""

from collections.abc import Mapping

from nmfdiag.measures.auc import auc
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread, spread

ByClass = Mapping[int, CompressionCurve]


def ablation_auc(curve: CompressionCurve, axis: str = "linear") -> float:
    """Return the area under accuracy over the number of directions removed, from one to the number of channels.

    A batch with fewer rows than channels has only as many directions as rows; with all of them removed, accuracy stays that
    of zeros. Signed NMF has more ranks than channels; those beyond are left out. So all methods share one axis.

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
    """Return the area's mean and spread over classes."""
    return spread([ablation_auc(curve, axis) for curve in curves.values()])


def cost(random: ByClass, leading: ByClass, axis: str = "linear") -> Spread | None:
    """Return how much lower the area is without leading directions than without random channels, class by class.

    Returns:
        Mean and spread of the differences over the common classes; None if there are none.
    """
    differences = [ablation_auc(random[c], axis) - ablation_auc(leading[c], axis) for c in leading if c in random]
    return spread(differences) if differences else None
