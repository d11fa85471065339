"""Curves of shipped networks: exact at full rank, right by hand at rank 0, and clear words for wrong input."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nmfdiag
from nmfdiag import factorize
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import nmf, nmf_batch, pca, random_ablation
from nmfdiag.measures import methods
from nmfdiag.measures.auc import auc
from nmfdiag.measures.compression import compression_curve, compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup


@pytest.fixture(scope="module")
def memoriser() -> tuple:
    entry = lookup("digits-cnn-p1-s0")
    pool = entry.load_pool()
    of_class = pool.given_labels == 3
    return entry.load_model(), pool.inputs[of_class][:20], pool.given_labels[of_class][:20]


@pytest.mark.parametrize("method", ["nmf", "pca", "random"])
@pytest.mark.parametrize("layer", ["conv1_2", "conv3_1"])
def test_full_rank_gives_the_baseline_exactly(memoriser: tuple, method: str, layer: str) -> None:
    model, inputs, labels = memoriser
    before = inputs.clone()
    curve = nmfdiag.compression_curve(model, layer, inputs, labels, method=method)
    assert curve.ranks[-1] == curve.full_rank
    assert curve.accuracy[-1] == curve.baseline_accuracy == 1.0
    assert curve.relative_error[-1] == pytest.approx(0, abs=1e-6)
    assert 0 <= curve.auc <= 1
    assert torch.equal(inputs, before) and not model.training


def test_rank_zero_is_what_zeros_give(memoriser: tuple) -> None:
    model, inputs, labels = memoriser
    curve = nmfdiag.compression_curve(model, "conv3_3", inputs, labels, ranks=[1])
    constant = int(model.classifier(torch.zeros(1, 128)).argmax())
    assert curve.zero_accuracy == float(constant == 3)


def test_memorising_is_less_linear_than_generalising() -> None:
    auc_by_entry = {}
    for p in ("0", "1"):
        entry = lookup(f"digits-cnn-p{p}-s0")
        pool = entry.load_pool()
        profile = nmfdiag.layer_profile(
            entry.load_model(), pool.inputs, pool.given_labels, layers=["conv1_2"], per_class=20
        )
        assert set(profile.to_frame().columns) >= {
            "layer", "depth", "class_idx", "method", "auc", "baseline_accuracy", "relative_error_at_k",
        }  # fmt: skip
        auc_by_entry[p] = profile.auc_by_layer()["conv1_2"]
    assert auc_by_entry["0"].mean - auc_by_entry["1"].mean > 0.15


def test_ablating_everything_leaves_nothing(memoriser: tuple) -> None:
    model, inputs, labels = memoriser
    curve = nmfdiag.ablation_curve(model, "conv2_1", inputs, labels, method="pca")
    assert curve.accuracy[-1] == curve.zero_accuracy
    assert curve.operation == "ablate"


def test_wrong_input(memoriser: tuple) -> None:
    model, inputs, labels = memoriser
    cases = [
        ({"layer": "conv9_9"}, "ReLU layers"),
        ({"inputs": inputs[:1], "labels": labels[:1]}, "at least 2 samples"),
        ({"labels": labels + 90}, "must lie in"),
        ({"labels": labels[:4]}, "labels"),
        ({"method": "svd"}, "Unknown method"),
        ({"ranks": [10_000]}, "Ranks must be"),
        ({"inputs": torch.zeros(4, 3, 8, 8), "labels": labels[:4]}, "shape"),
        ({"inputs": inputs * float("nan")}, "NaN"),
    ]
    for change, message in cases:
        arguments = {"layer": "conv1_2", "inputs": inputs, "labels": labels} | change
        with pytest.raises(NmfdiagError, match=message):
            nmfdiag.compression_curve(model, **arguments)


def test_a_dead_layer_is_named() -> None:
    dead = nn.Linear(4, 3)
    nn.init.constant_(dead.weight, 0)
    nn.init.constant_(dead.bias, -1)
    model = nn.Sequential(dead, nn.ReLU(), nn.Linear(3, 2)).train()
    with pytest.raises(NmfdiagError, match=r"'1'.*all zero"):
        nmfdiag.compression_curve(model, "1", torch.rand(5, 4), torch.zeros(5, dtype=torch.long))
    assert model.training


def test_auc_by_hand() -> None:
    assert auc([1, 3, 5], [0.0, 0.5, 1.0]) == 0.5
    assert auc([1, 2, 4], [0.0, 1.0, 1.0], axis="log") == pytest.approx(0.75)
    assert auc([1, 2], [1.0, 0.5], baseline=0.5, clip=True) == 1.0
    assert auc([1, 2], [1.0, 0.5], baseline=0.5) == 1.5
    with pytest.raises(NmfdiagError, match="axis"):
        auc([1], [1.0], axis="cubic")


@pytest.mark.parametrize("operation", [nmfdiag.compression_curve, nmfdiag.ablation_curve])
@pytest.mark.parametrize(
    ("method", "options"), [("nmf", {}), ("pca", {}), ("pca", {"centered": True}), ("random", {"draws": 2})]
)
@pytest.mark.parametrize("layer", ["conv1_1", pytest.param("conv1_2", marks=pytest.mark.soak), "conv3_3"])
def test_accuracy_by_the_networks_own_forward(
    memoriser: tuple, operation: Any, method: str, options: dict, layer: str
) -> None:
    """Compare with an oracle that puts each approximation into the unmodified network by a hook."""
    model, inputs, labels = memoriser
    block, activation = model.get_submodule(layer), []
    handle = block.register_forward_hook(lambda _module, _inputs, output: activation.append(output))
    model(inputs)
    handle.remove()
    rows = activation[0].detach().permute(0, 2, 3, 1)
    A = rows.reshape(-1, rows.shape[-1])

    def accuracy(X: Tensor) -> float:
        handle = block.register_forward_hook(lambda *_: X.view(rows.shape).permute(0, 3, 1, 2))
        answers = model(inputs).argmax(1)
        handle.remove()
        return float((answers == labels).double().mean())

    grid = [1, 4, 8, A.shape[1] if method == "random" else min(A.shape)]
    solved: Any = {"nmf": nmf, "pca": pca, "random": random_ablation}[method](A, grid, **options)
    expected = []
    for k in grid:
        approximations = list(solved.reconstructions(k))
        if operation is nmfdiag.ablation_curve and method == "random":
            approximations = [A - X for X in approximations]
        elif operation is nmfdiag.ablation_curve:
            Q = torch.linalg.svd(solved.factors(k)[1].double(), full_matrices=False).Vh
            approximations = [(A.double() - A.double() @ Q.T @ Q).float()]
        expected.append(sum(map(accuracy, approximations)) / len(approximations))
    curve = operation(model, layer, inputs, labels, method=method, ranks=grid, **options)
    assert curve.accuracy == pytest.approx(expected, abs=1 / 20 + 1e-9)  # rounding may turn one near tie
    assert curve.accuracy[-1] == expected[-1]
    assert curve.zero_accuracy == accuracy(torch.zeros_like(A))
    assert curve.mean_accuracy == accuracy(A.mean(dim=0).expand_as(A).contiguous())
    assert curve.baseline_accuracy == accuracy(A)


def test_a_layer_too_large_for_one_piece(memoriser: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, labels = memoriser
    whole = nmfdiag.compression_curve(model, "conv1_1", inputs, labels, ranks=[1, 3, 8])
    pieces = SplitNetwork.pieces
    monkeypatch.setattr(SplitNetwork, "pieces", lambda self, cut: pieces(self, cut, 3 * cut.activation[0].nbytes))
    divided = nmfdiag.compression_curve(model, "conv1_1", inputs, labels, ranks=[1, 3, 8])
    assert divided.to_dict() | {"provenance": {}} == whole.to_dict() | {"provenance": {}}


@pytest.mark.parametrize("layer", ["conv1_1", pytest.param("conv2_1", marks=pytest.mark.soak), "conv3_1"])
def test_a_tail_in_bfloat16_gives_nearly_the_same_answers(memoriser: tuple, layer: str) -> None:
    model, inputs, labels = memoriser
    plain = nmfdiag.compression_curve(model, layer, inputs, labels, method="pca")
    fast = nmfdiag.compression_curve(model, layer, inputs, labels, method="pca", tail_dtype="bfloat16")
    assert fast.provenance["tail_dtype"] == "bfloat16" and "tail_dtype" not in plain.provenance
    assert fast.relative_error == plain.relative_error
    differ = [abs(a - b) for a, b in zip(fast.accuracy, plain.accuracy, strict=True)]
    assert max(differ) <= 0.101 and sum(differ) / len(differ) <= 0.02
    assert fast.accuracy[-1] == fast.baseline_accuracy
    split = SplitNetwork(model, inputs)
    cut = split.cut(layer, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        answers = split.resume(cut, cut.activation).argmax(1)
    assert float((answers == split.resume(cut, cut.activation).argmax(1)).double().mean()) >= 0.95
    profile = nmfdiag.layer_profile(
        model, inputs, labels, layers=[layer], by_class=False, ranks=[2], tail_dtype="bfloat16"
    )
    assert profile.measured[0].curve.provenance["tail_dtype"] == "bfloat16"
    with pytest.raises(NmfdiagError, match="tail_dtype 'half'"):
        nmfdiag.compression_curve(model, layer, inputs, labels, tail_dtype="half")


def test_several_batches_are_measured_as_each_alone(memoriser: tuple) -> None:
    model, inputs, labels = memoriser[:3]
    halves = [(inputs[::2], labels[::2]), (inputs[1::2], labels[1::2]), (inputs[:1], labels[:1])]
    first, second, third = compression_curves(model, "conv1_2", halves, ranks=[2, 8])
    for curve, (x, y) in ((first, halves[0]), (second, halves[1])):
        assert isinstance(curve, CompressionCurve)
        assert curve.accuracy == compression_curve(model, "conv1_2", x, y, ranks=[2, 8]).accuracy
    assert isinstance(third, NmfdiagError) and "at least 2 samples" in str(third)


def test_matrices_of_one_shape_can_be_factorised_in_one_call(memoriser: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check on the CPU what a GPU does: results are as accurate as one by one."""
    model, inputs, labels = memoriser[:3]
    n = len(inputs) // 2
    halves = [(inputs[:n], labels[:n]), (inputs[n : 2 * n], labels[n : 2 * n])]
    one_by_one = compression_curves(model, "conv1_2", halves)
    calls = []
    monkeypatch.setattr(methods, "solved_together", lambda matrices: True)
    monkeypatch.setattr(factorize, "nmf_batch", lambda *a, **k: calls.append(1) or nmf_batch(*a, **k))
    for curve, separate in zip(compression_curves(model, "conv1_2", halves), one_by_one, strict=True):
        assert isinstance(curve, CompressionCurve) and isinstance(separate, CompressionCurve)
        assert curve.auc == pytest.approx(separate.auc, abs=0.02)
    assert calls == [1]
