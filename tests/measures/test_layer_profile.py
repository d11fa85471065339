"""Draws: averaged within a class before classes are compared, each a separate run with the next seed."""

import pytest
import torch
from planted_references import curve, profile
from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compute_profile import layer_profile
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve


def test_classes_spread_after_the_mean_over_draws() -> None:
    auc = {(0, 0): 0.5, (0, 1): 0.7, (1, 0): 0.8, (1, 1): 0.8}  # (class, draw)
    curves = tuple(ProfileCurve(0, c, curve(value), draw) for (c, draw), value in auc.items())
    profile = LayerProfile(("conv1",), curves, {})
    by_layer = profile.auc_by_layer()["conv1"]
    assert (by_layer.mean, by_layer.n) == (pytest.approx(0.7), 2) and by_layer.sem == pytest.approx(
        0.1
    )  # of 0.6 and 0.8
    assert profile.n_draws == 2 and profile.auc_by_class()["conv1"][0].sem == pytest.approx(0.1)
    assert profile.to_frame()["draw"].tolist() == [0, 1, 0, 1]


def test_one_class_or_a_mixture_has_the_spread_over_its_draws() -> None:
    for c in (3, None):
        profile = LayerProfile(("conv1",), tuple(ProfileCurve(0, c, curve(v), d) for d, v in enumerate((0.4, 0.6))), {})
        auc = profile.auc_by_layer()["conv1"]
        assert (auc.mean, auc.sem, auc.n) == (pytest.approx(0.5), pytest.approx(0.1), 2)


def test_half_the_interval_is_students() -> None:
    spread_of_three = profile(0.8, n_classes=3).auc_by_layer()["conv1"]
    assert spread_of_three.half_width == pytest.approx(4.3027 * spread_of_three.sem, rel=1e-4)


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    return model, torch.randn(60, 6), torch.arange(60) % 3


def test_a_draw_is_the_run_of_its_own_seed(network: tuple[nn.Module, torch.Tensor, torch.Tensor]) -> None:
    two_draws = layer_profile(*network, per_class=8, seed=5, n_draws=2)
    alone = [layer_profile(*network, per_class=8, seed=seed) for seed in (5, 6)]
    for draw, run in enumerate(alone):
        curves_of_draw = [m.curve.accuracy for m in two_draws.measured if m.draw == draw]
        assert curves_of_draw == [m.curve.accuracy for m in run.measured]
    assert two_draws.network_layers == two_draws.layers and two_draws.class_sizes == {0: 20, 1: 20, 2: 20}
    assert len({tuple(m.curve.relative_error) for m in two_draws.measured}) == len(two_draws.measured)  # other samples


def test_progress_goes_over_all_draws(network: tuple[nn.Module, torch.Tensor, torch.Tensor]) -> None:
    reports: list[tuple[float, str]] = []
    layer_profile(
        *network, per_class=4, ranks=[1], n_draws=3, on_progress=lambda share, text: reports.append((share, text))
    )
    shares = [share for share, _ in reports]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1 and len(set(shares)) == 18
    assert reports[-1][1].endswith("draw 3 of 3")


def test_nothing_drawn_is_no_profile(network: tuple[nn.Module, torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(NmfdiagError, match="got 0"):
        layer_profile(*network, n_draws=0)
