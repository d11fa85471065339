"""Draws: averaged within a class before classes are compared, each as a run of its own with the next seed."""

import pytest
import torch
from planted_references import curve, profile
from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compute_profile import layer_profile
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve


def test_classes_spread_after_the_mean_over_draws() -> None:
    auc = {(0, 0): 0.5, (0, 1): 0.7, (1, 0): 0.8, (1, 1): 0.8}  # (class, draw)
    measured = tuple(ProfileCurve(0, c, curve(value), draw) for (c, draw), value in auc.items())
    found = LayerProfile(("conv1",), measured, {})
    at = found.auc_by_layer()["conv1"]
    assert (at.mean, at.n) == (pytest.approx(0.7), 2) and at.sem == pytest.approx(0.1)  # of 0.6 and 0.8
    assert found.n_draws == 2 and found.auc_by_class()["conv1"][0].sem == pytest.approx(0.1)
    assert found.to_frame()["draw"].tolist() == [0, 1, 0, 1]


def test_one_class_or_a_mixture_has_the_spread_over_its_draws() -> None:
    for c in (3, None):
        found = LayerProfile(("conv1",), tuple(ProfileCurve(0, c, curve(v), d) for d, v in enumerate((0.4, 0.6))), {})
        at = found.auc_by_layer()["conv1"]
        assert (at.mean, at.sem, at.n) == (pytest.approx(0.5), pytest.approx(0.1), 2)


def test_half_the_interval_is_students() -> None:
    at = profile(0.8, n_classes=3).auc_by_layer()["conv1"]
    assert at.half_width == pytest.approx(4.3027 * at.sem, rel=1e-4)


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    return model, torch.randn(60, 6), torch.arange(60) % 3


def test_a_draw_is_the_run_of_its_own_seed(network: tuple[nn.Module, torch.Tensor, torch.Tensor]) -> None:
    drawn = layer_profile(*network, per_class=8, seed=5, n_draws=2)
    alone = [layer_profile(*network, per_class=8, seed=seed) for seed in (5, 6)]
    for draw, run in enumerate(alone):
        mine = [m.curve.accuracy for m in drawn.measured if m.draw == draw]
        assert mine == [m.curve.accuracy for m in run.measured]
    assert drawn.network_layers == drawn.layers and drawn.class_sizes == {0: 20, 1: 20, 2: 20}
    assert len({tuple(m.curve.relative_error) for m in drawn.measured}) == len(drawn.measured)  # other samples


def test_progress_goes_over_all_draws(network: tuple[nn.Module, torch.Tensor, torch.Tensor]) -> None:
    told: list[tuple[float, str]] = []
    layer_profile(
        *network, per_class=4, ranks=[1], n_draws=3, on_progress=lambda done, words: told.append((done, words))
    )
    shares = [done for done, _ in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1 and len(set(shares)) == 18
    assert told[-1][1].endswith("draw 3 of 3")


def test_nothing_drawn_is_no_profile(network: tuple[nn.Module, torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(NmfdiagError, match="n_draws=0"):
        layer_profile(*network, n_draws=0)
