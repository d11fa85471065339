"""Curves of networks whose activations can be negative, by signed NMF: against the network's own forward, and beside the other methods."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer
from torchvision.ops import Permute

import nmfdiag
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import nmf, signed_nmf
from nmfdiag.measures import methods
from nmfdiag.measures.ablation import ablation_auc
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.tail import _complement
from nmfdiag.monitor.epoch_probe import Probe
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup


class ConvNeXtBlock(nn.Sequential):
    """As torchvision has it: (n, c, h, w) outside, (n, h, w, c) inside."""

    def __init__(self, width: int):
        super().__init__(
            nn.Conv2d(width, width, 3, padding=1, groups=width), Permute([0, 2, 3, 1]), nn.LayerNorm(width),
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), Permute([0, 3, 1, 2]),
        )  # fmt: skip


def lively(model: nn.Module) -> nn.Module:
    """Draw weights so that every layer shows in the logits: as they come, heads and layer scales are (nearly) zero."""
    for name, value in model.named_parameters():
        if value.ndim < 2 or "layer_scale" in name:
            nn.init.uniform_(value, -0.5 if name.endswith("bias") else 0.5, 0.9)
        else:
            nn.init.normal_(value, std=1.5 * value[0].numel() ** -0.5)
    return model.eval()


def networks() -> dict[str, tuple[nn.Module, str]]:
    """Return small networks with random weights, and a layer of each."""
    torch.manual_seed(0)
    models = {
        "vit": (VisionTransformer(16, 8, 2, 2, 12, 24, num_classes=4), "encoder.layers.encoder_layer_0.mlp.1"),
        "convnext": (
            nn.Sequential(nn.Conv2d(3, 6, 4, 4), ConvNeXtBlock(6), nn.Flatten(), nn.Linear(96, 4)), "1.4"
        ),
        "hardswish": (
            nn.Sequential(
                nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.Hardswish(inplace=True), nn.Conv2d(8, 8, 3), nn.ReLU(),
                nn.Flatten(), nn.Linear(200, 4),
            ), "2",
        ),
    }  # fmt: skip
    return {name: (lively(model), layer) for name, (model, layer) in models.items()}


@pytest.fixture(scope="module")
def samples() -> Tensor:
    return torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("operation", [nmfdiag.compression_curve, nmfdiag.ablation_curve])
@pytest.mark.parametrize("name", ["vit", "convnext", "hardswish"])
def test_accuracy_by_the_networks_own_forward(name: str, operation: Any, samples: Tensor) -> None:
    """Compare with an oracle that puts each approximation into the unmodified network by a hook."""
    model, layer = networks()[name]
    model.eval()
    labels = model(samples).argmax(1)
    module, activation = model.get_submodule(layer), []
    handle = module.register_forward_hook(lambda _module, _inputs, output: activation.append(output.clone()))
    model(samples)
    handle.remove()
    last = activation[0].detach().movedim(1, -1) if name == "hardswish" else activation[0].detach()
    A = last.reshape(-1, last.shape[-1])

    def accuracy(X: Tensor) -> float:
        rows = X.view(last.shape)
        put = rows.movedim(-1, 1) if name == "hardswish" else rows
        handle = module.register_forward_hook(lambda *_: put)
        answers = model(samples).argmax(1)
        handle.remove()
        return float((answers == labels).double().mean())

    grid = [1, 4, 12, min(len(A), 2 * A.shape[1])]
    solved = signed_nmf(A, grid, n_starts=2)
    expected = []
    for k in grid:
        X = solved.reconstruct(k)
        if operation is nmfdiag.ablation_curve:
            _, S, Vh = torch.linalg.svd(solved.factors(k)[1].double(), full_matrices=False)
            Q = Vh[S / S.max() > 1e-9]
            X = (A.double() - A.double() @ Q.T @ Q).float()
        expected.append(accuracy(X))
    curve = operation(model, layer, samples, labels, method="signed", ranks=grid)
    assert curve.accuracy == pytest.approx(expected, abs=1 / 20 + 1e-9)  # rounding may turn one near tie
    assert curve.full_rank == grid[-1] and curve.method == "signed" and curve.baseline_accuracy == 1
    assert curve.relative_error == pytest.approx(solved.relative_error, abs=1e-5)
    if operation is nmfdiag.compression_curve:
        assert curve.accuracy[-1] == expected[-1] == 1 and min(*curve.accuracy, curve.zero_accuracy) < 1
        assert nmfdiag.compression_curve(model, layer, samples, labels, method="signed").ranks[-1] == grid[-1]


def test_on_a_relu_network_it_is_nmf() -> None:
    entry = lookup("digits-cnn-p1-s0")
    pool = entry.load_pool()
    of_class = pool.given_labels == 3
    batch = pool.inputs[of_class][:10], pool.given_labels[of_class][:10]
    for operation in (nmfdiag.compression_curve, nmfdiag.ablation_curve):
        signed, plain = (
            operation(entry.load_model(), "conv2_1", *batch, method=m, ranks=[1, 3, 8]) for m in ("signed", "nmf")
        )
        assert signed.accuracy == plain.accuracy and signed.relative_error == plain.relative_error
        assert signed.full_rank == plain.full_rank and signed.provenance["tol"] == plain.provenance["tol"]


def test_the_other_methods_take_any_sign_and_nmf_says_so(samples: Tensor) -> None:
    model, layer = networks()["vit"]
    labels = model.eval()(samples).argmax(1)
    for method in ("pca", "random"):
        curve = nmfdiag.compression_curve(model, layer, samples, labels, method=method, activations="all")
        assert curve.accuracy[-1] == curve.baseline_accuracy and curve.full_rank == 24
    with pytest.raises(NmfdiagError, match=r"negative values.*\"signed\""):
        nmfdiag.compression_curve(model, layer, samples, labels, activations="all")
    for method in ("nmf", "pca", "random"):
        with pytest.raises(NmfdiagError, match=r"no ReLU layer \(found: 2 GELU\)"):
            nmfdiag.compression_curve(model, layer, samples, labels, method=method)
    with pytest.raises(NmfdiagError, match="accepted are nmf, signed, pca, random"):
        nmfdiag.compression_curve(model, layer, samples, labels, method="semi")


def test_a_profile_of_mixed_layers(samples: Tensor) -> None:
    """Measure by plain NMF where possible and by signed NMF everywhere, with the reason where plain NMF can't."""
    model, _ = networks()["hardswish"]
    labels = torch.arange(20) % 2
    profile = nmfdiag.layer_profile(model, samples, labels, methods=("nmf", "signed"), ranks=[1, 2, 4])
    assert profile.layers == ("2", "4")
    assert list(profile.auc_by_layer("nmf")) == ["4"] and list(profile.auc_by_layer("signed")) == ["2", "4"]
    assert profile.auc_by_layer("nmf")["4"] == profile.auc_by_layer("signed")["4"]
    assert "Hardswish" in profile.skipped["2, nmf"] and '"signed"' in profile.skipped["2, nmf"]
    assert nmfdiag.layer_profile(model, samples, labels, ranks=[1]).layers == ("4",)
    with_signed = nmfdiag.layer_profile(model, samples, labels, methods=("pca",), ranks=[1], activations="all")
    assert with_signed.layers == ("2", "4") and not with_signed.skipped
    with pytest.raises(NmfdiagError, match=r"No curve.*Hardswish.*\"signed\""):
        nmfdiag.layer_profile(model, samples, labels, layers=["2"], activations="all")
    diagnosis = nmfdiag.diagnose(model, samples, labels, methods=("pca", "signed"), ranks=[1, 2, 4])
    assert diagnosis.method == "signed"


def test_matrices_that_are_factorised_together(samples: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factorise as on a GPU: in one call if the full ranks agree."""
    model, layer = networks()["convnext"]
    split = SplitNetwork(model, samples[:2], "all")
    batches = [(samples[i : i + 5], torch.arange(5) % 4) for i in (0, 5, 10)]
    alone = compression_curves(split, layer, batches, method="signed", ranks=[1, 4])
    monkeypatch.setattr(methods, "solved_together", lambda matrices: True)
    together = compression_curves(split, layer, batches, method="signed", ranks=[1, 4])
    for a, b in zip(alone, together, strict=True):
        assert isinstance(a, CompressionCurve) and isinstance(b, CompressionCurve)
        assert a.accuracy == b.accuracy and a.relative_error == pytest.approx(b.relative_error, rel=1e-3)


def test_directions_that_depend_on_each_other_are_all_removed() -> None:
    """Remove a zero component, and more components than channels."""
    random = torch.Generator().manual_seed(0)
    H = torch.rand(5, 8, generator=random)
    H[1], H[3] = 0, 2 * H[0]
    assert (H.double() @ _complement(H)).norm() < 1e-9 * H.norm()
    assert round(float(_complement(H).trace())) == 5
    dependent = torch.randn(12, 8, generator=random)
    dependent[0] = 0
    assert _complement(dependent).norm() < 1e-9


def test_the_area_without_directions_ends_at_the_channels() -> None:
    record = {
        "layer": "a", "method": "signed", "ranks": [1, 2, 4, 6, 8], "accuracy": [1.0, 1.0, 0.5, 0.5, 0.5],
        "relative_error": [0.0] * 5, "absolute_error": [0.0] * 5, "converged": [True] * 5, "baseline_accuracy": 1.0,
        "zero_accuracy": 0.5, "mean_accuracy": 0.5, "full_rank": 8, "shape": (100, 4), "n_samples": 4, "operation": "ablate",
    }  # fmt: skip
    curve = CompressionCurve(**record)  # type: ignore[arg-type]
    of_channels = CompressionCurve(**(record | {"ranks": [1, 2, 4], "accuracy": [1.0, 1.0, 0.5]}))  # type: ignore[arg-type]
    assert ablation_auc(curve) == ablation_auc(of_channels) == pytest.approx((1 + 0.75 * 2) / 3)


def test_the_probe_of_a_transformer(samples: Tensor) -> None:
    """Probe every layer by signed NMF; a second probe starts from the first one's components, and agrees with whole curves."""
    model, layer = networks()["vit"]
    labels = model.eval()(samples).argmax(1)
    common = int(labels.mode().values)
    batch = samples[labels == common][:8], labels[labels == common][:8]
    probe = Probe([batch], activations="all")
    assert probe.methods == ("signed", "random")
    whole = nmfdiag.compression_curve(model, layer, *batch, method="signed", ranks=nmfdiag.factorize.coarse_ranks)
    for look in (probe.measure(model), probe.measure(model)):
        assert set(look) == {"signed", "random"} and len(look["signed"]) == 2
        assert look["signed"][layer]["auc"] == pytest.approx(whole.auc, abs=0.06)
    assert {key[0] for key in probe._components} == {"signed"}
    mixed = networks()["hardswish"][0]
    look = Probe([batch], methods=["nmf", "signed"]).measure(mixed)
    assert set(look["nmf"]) == {"4"} and set(look["signed"]) == {"2", "4"}
    assert set(Probe([batch]).measure(mixed)["nmf"]) == {"4"}
    with pytest.raises(NmfdiagError, match="Unknown activations"):
        Probe([batch], activations="gelu")


def test_plain_nmf_is_not_asked_for_more_ranks() -> None:
    A = torch.rand(30, 6, generator=torch.Generator().manual_seed(0))
    with pytest.raises(NmfdiagError, match=r"1 \.\. 6"):
        signed_nmf(A, [7])
    assert nmf(A, [6]).full_rank == 6
