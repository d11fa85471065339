"""Areas and costs of planted ablation curves, by hand."""

from dataclasses import replace

import pytest

from nmfdiag.measures.ablation import ablation_auc, ablation_spread, cost
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread, clearly_above, mean_curve

CURVE = CompressionCurve(
    "conv1_1", "nmf", [1, 2, 4], [1.0, 0.5, 0.0], [0.0] * 3, [0.0] * 3, [True] * 3, 1.0, 0.0, 0.1, 4, (4, 8), 20, "ablate"
)  # fmt: skip


def test_every_methods_area_is_over_all_channels() -> None:
    assert ablation_auc(CURVE) == pytest.approx((0.75 + 0.5) / 7)
    assert ablation_auc(replace(CURVE, zero_accuracy=1.0, accuracy=[1.0] * 3)) == 1.0
    wide = replace(CURVE, method="random", ranks=[1, 2, 4, 8], accuracy=[1.0, 0.5, 0.0, 0.0], full_rank=8)
    assert ablation_auc(wide) == ablation_auc(CURVE) and ablation_auc(wide, "log") == ablation_auc(CURVE, "log")


def test_beyond_the_full_rank_zeros_are_left() -> None:
    small = replace(CURVE, ranks=[1, 2], accuracy=[0.8, 0.4], full_rank=2, zero_accuracy=0.4)
    area = mean_curve([CURVE, small])
    assert (
        area[4].mean == pytest.approx(0.2) and mean_curve([replace(small, operation="compress"), CURVE])[4].mean == 0.5
    )


def test_cost_is_class_by_class() -> None:
    same = [replace(CURVE, ranks=[1, 8], accuracy=[a, a]) for a in (0.9, 0.5, 0.2, 0.1)]
    spread = cost({0: same[0], 1: same[1], 7: same[0]}, {0: same[2], 1: same[3], 8: same[0]})
    assert spread is not None and (spread.mean, spread.n) == (pytest.approx(0.55), 2)
    assert cost({0: CURVE}, {1: CURVE}) is None
    assert ablation_spread(dict(enumerate(same))).mean == pytest.approx(0.425)


def test_clearly_above() -> None:
    assert clearly_above(Spread(0.6, 0.1, 0.03, 10), Spread(0.5, 0.1, 0.03, 10))
    assert not clearly_above(Spread(0.6, 0.1, 0.04, 10), Spread(0.5, 0.1, 0.04, 10))
    assert not clearly_above(Spread(0.51, 0, 0, 1), Spread(0.5, 0, 0, 1))
