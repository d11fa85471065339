"""A curve of any activations is correct or refused with a reason, and independent of irrelevant conditions."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nmfdiag import ablation_curve, compression_curve, layer_profile
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import coarse_ranks, nmf, pca, random_ablation
from nmfdiag.jobs.compute import probe_batch
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures import compression
from nmfdiag.measures.ablation import ablation_auc
from nmfdiag.measures.auc import AXES, auc
from nmfdiag.measures.compression import STARTS
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks import split
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup

KINDS = ("uniform", "constant", "one-hot", "one entry", "rank 1", "zero", "wide range")
SCALES = (1.0, 65000.0, 1e30, 1e37, 1e-30, 1e-41)
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
NAMED = r"all zero|at least 2 samples|NaN or infinite|logits hold NaN|logits do not depend on it"
SAME_AREA = 0.02
FEW: dict[str, Any] = {"ranks": coarse_ranks, "draws": 2}
properties = settings(max_examples=12)


def values(kind: str, n: int, m: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    A = rng.random((n, m))
    if kind == "constant":
        A[:] = 3.0
    elif kind == "one-hot":
        A = np.eye(m)[rng.integers(0, m, n)]
    elif kind in ("one entry", "zero"):
        A[:] = 0
        A[0, -1] = 2.0 * (kind == "one entry")
    elif kind == "rank 1":
        A = np.outer(rng.random(n) + 0.01, rng.random(m) + 0.01)
    elif kind == "wide range":
        A = 10.0 ** rng.uniform(-30, 0, (n, m))
    return A


def network(m: int, n_classes: int, dtype: torch.dtype = torch.float32, *, bias: bool = True) -> nn.Sequential:
    """Return a network whose layer ``0`` returns non-negative inputs unchanged."""
    torch.manual_seed(0)
    return nn.Sequential(nn.ReLU(), nn.Linear(m, n_classes, bias=bias)).to(dtype)


@pytest.mark.parametrize("method", ["nmf", "mu", "pca", "random"])
@pytest.mark.parametrize("curve_of", [compression_curve, ablation_curve])
@properties
@given(
    n=st.integers(1, 20), m=st.integers(1, 12), n_classes=st.sampled_from((2, 7, 1000)), kind=st.sampled_from(KINDS),
    scale=st.sampled_from(SCALES), dtype=st.sampled_from(TYPES), seed=st.integers(0, 3),
)  # fmt: skip
def test_a_curve_is_whole_or_refused_by_name(
    curve_of: Callable[..., CompressionCurve], method: str, n: int, m: int, n_classes: int, kind: str, scale: float,
    dtype: torch.dtype, seed: int,
) -> None:  # fmt: skip
    inputs = torch.from_numpy(values(kind, n, m, seed) * scale).to(dtype)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, n_classes, n))
    options = {"method": "nmf", "solver": "mu", "max_iter": 30} if method == "mu" else {"method": method}
    try:
        curve = curve_of(network(m, n_classes, dtype), "0", inputs, labels, **options)
    except NmfdiagError as error:
        wrong = n < 2 or not bool(inputs.any()) or not bool(torch.isfinite(inputs.float()).all())
        logits = network(m, n_classes, dtype)(inputs)
        without = network(m, n_classes, dtype)(torch.zeros_like(inputs))
        rounded_away = torch.equal(logits, without)  # a small activation beside a bias
        assert wrong or bool(logits.isnan().any()) or rounded_away, str(error)
        assert re.search(NAMED, str(error))
        return
    assert CompressionCurve.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve
    assert all(map(math.isfinite, [*curve.relative_error, *curve.absolute_error]))
    assert curve.full_rank == (m if method == "random" else min(n, m)) and curve.ranks[-1] == curve.full_rank
    for axis in AXES:
        area = ablation_auc(curve, axis) if curve_of is ablation_curve else curve.auc_over(axis)
        assert 0 <= area <= 1
    if curve_of is compression_curve:
        assert curve.accuracy[-1] == curve.baseline_accuracy and curve.relative_error[-1] < 2e-3
    elif method == "random":
        assert curve.accuracy[-1] == pytest.approx(curve.zero_accuracy)


@pytest.mark.parametrize("method", ["nmf", "pca", "random"])
@properties
@given(
    n=st.integers(2, 20), m=st.integers(1, 12), n_classes=st.integers(2, 5),
    kind=st.sampled_from(("uniform", "one-hot", "rank 1")), seed=st.integers(0, 3),
)  # fmt: skip
def test_accuracies_are_those_of_the_network_on_the_reconstructions(
    method: str, n: int, m: int, n_classes: int, kind: str, seed: int
) -> None:
    A = torch.from_numpy(values(kind, n, m, seed))
    model = network(m, n_classes, torch.float64)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, n_classes, n))
    curve = compression_curve(model, "0", A, labels, method=method)
    ranks = curve.ranks
    solved = {
        "nmf": lambda: nmf(A, ranks, n_starts=STARTS),
        "pca": lambda: pca(A, ranks),
        "random": lambda: random_ablation(A, ranks),
    }[method]()
    for k, accuracy in zip(ranks, curve.accuracy, strict=True):
        shares, clear = [], True
        for B in solved.reconstructions(k):
            logits = model[1](B).detach()
            best = logits.topk(2, dim=1).values
            clear &= bool((best[:, 0] - best[:, 1] > 1e-9).all())
            shares.append(float((logits.argmax(1) == labels).double().mean()))
        assert not clear or accuracy == pytest.approx(np.mean(shares))


@properties
@given(
    n=st.integers(2, 16), m=st.integers(1, 8), power=st.integers(-100, 100),
    method=st.sampled_from(("nmf", "pca", "random")), seed=st.integers(0, 3),
)  # fmt: skip
def test_a_network_without_biases_gives_the_same_curve_at_every_scale(
    n: int, m: int, power: int, method: str, seed: int
) -> None:
    A = torch.from_numpy(values("uniform", n, m, seed))
    labels, model = torch.zeros(n, dtype=torch.int64), network(m, 3, torch.float64, bias=False)
    unscaled, scaled = (compression_curve(model, "0", X, labels, method=method) for X in (A, A * 2.0**power))
    assert scaled.accuracy == unscaled.accuracy
    assert scaled.relative_error == pytest.approx(unscaled.relative_error, abs=1e-6)
    assert scaled.absolute_error == pytest.approx([e * 2.0**power for e in unscaled.absolute_error], rel=1e-4, abs=1e-6 * 2.0**power)  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> tuple[SplitNetwork, Tensor, Tensor]:
    """Return a shipped network and 20 samples of one class."""
    entry = lookup("digits-cnn-p1-s0")
    pool = entry.load_pool()
    batch = probe_batch(pool, CurveRequest(entry.name, "conv1_2", 3, per_class=20))
    return SplitNetwork(entry.load_model(), pool.inputs[:2]), batch.inputs, batch.given_labels


def spread_of(curves: list[CompressionCurve]) -> float:
    return max(c.auc for c in curves) - min(c.auc for c in curves)


@pytest.mark.parametrize("method", ["nmf", "pca", "random"])
@pytest.mark.parametrize("curve_of", [compression_curve, ablation_curve])
def test_the_order_of_samples_changes_no_curve(
    trained: tuple[SplitNetwork, Tensor, Tensor], method: str, curve_of: Callable[..., CompressionCurve]
) -> None:
    model, inputs, labels = trained
    orders = [
        torch.arange(20),
        torch.arange(19, -1, -1),
        torch.randperm(20, generator=torch.Generator().manual_seed(0)),
    ]
    curves = [curve_of(model, "conv1_2", inputs[o], labels[o], method=method, **FEW) for o in orders]
    assert spread_of(curves) <= (SAME_AREA if method == "nmf" else 1e-9)
    assert len({c.baseline_accuracy for c in curves}) == len({c.zero_accuracy for c in curves}) == 1


@pytest.mark.parametrize("method", ["nmf", "pca", pytest.param("random", marks=pytest.mark.soak)])
def test_neither_threads_nor_the_size_of_pieces_change_a_curve(
    trained: tuple[SplitNetwork, Tensor, Tensor], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs, labels = trained
    single_thread = compression_curve(model, "conv1_2", inputs, labels, method=method, **FEW)
    torch.set_num_threads(2)
    try:
        two_threads = compression_curve(model, "conv1_2", inputs, labels, method=method, **FEW)
    finally:
        torch.set_num_threads(1)
    pieces = SplitNetwork.pieces
    monkeypatch.setattr(SplitNetwork, "pieces", lambda self, cut: pieces(self, cut, max_bytes=50_000))
    third = compression_curve(model, "conv1_2", inputs, labels, method=method, **FEW)
    assert split.PIECE_BYTES > 50_000 and spread_of([single_thread, two_threads, third]) <= (
        SAME_AREA if method == "nmf" else 1e-9
    )
    assert two_threads.relative_error == pytest.approx(single_thread.relative_error, rel=5e-3, abs=1e-6)
    assert third.relative_error == single_thread.relative_error


@properties
@given(labels=st.lists(st.integers(0, 999), min_size=2, max_size=30), by_class=st.booleans())
def test_a_profile_takes_the_classes_that_there_are(labels: list[int], by_class: bool) -> None:
    """Profile a network of 1,000 classes, most without samples, and some with a single one."""
    labels = [label if label % 2 else labels[0] for label in labels]  # so that some class often has several
    inputs = torch.from_numpy(values("uniform", len(labels), 5, 0)).float()
    counts = {c: labels.count(c) for c in labels}
    several = sorted(c for c, n in counts.items() if n > 1)
    try:
        profile = layer_profile(network(5, 1000), inputs, torch.tensor(labels), by_class=by_class, per_class=4)
    except NmfdiagError as error:
        assert (by_class and not several) or (not by_class and len(labels) < 2), str(error)
        return
    frame = profile.to_frame()
    assert sorted(frame.class_idx) == (several if by_class else [-1])
    assert not frame.isna().any().any() and frame.auc.between(0, 1).all()
    assert {f"class {c}" for c, n in counts.items() if n == 1} == set(profile.skipped) or not by_class


@pytest.mark.parametrize(
    ("ranks", "full"), [([1], 6), ([6], 6), ([1, 6], 6), (lambda full: [full], 6)], ids=["one", "full", "both", "function"]
)  # fmt: skip
@pytest.mark.parametrize("method", ["nmf", "pca", "random"])
def test_the_smallest_and_the_largest_rank_can_be_asked_for_alone(method: str, ranks: object, full: int) -> None:
    A = torch.from_numpy(values("uniform", 9, full, 0)).float()
    curve = compression_curve(network(full, 3), "0", A, torch.zeros(9, dtype=torch.int64), method=method, ranks=ranks)
    assert set(curve.ranks) <= {1, full} and 0 <= curve.auc <= 1
    with pytest.raises(NmfdiagError, match=r"1 \.\. 6"):
        compression_curve(network(full, 3), "0", A, torch.zeros(9, dtype=torch.int64), method=method, ranks=[7])


def test_a_network_that_answers_nan_is_named_and_an_approximation_that_makes_it_is_wrong() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(x)
            return torch.stack([(x[:, 0] - 1).sqrt(), x[:, 1]], 1)

    inputs = torch.tensor([[1.0, 3.0], [2.0, 0.5], [5.0, 0.1]])
    curve = compression_curve(Root(), "relu", inputs, torch.tensor([0, 0, 0]), method="random", ranks=[1, 2], draws=9)
    assert curve.baseline_accuracy == pytest.approx(2 / 3) and curve.zero_accuracy == 0
    # A draw that keeps the first channel gets all but the first sample right; one that zeroes it makes NaN of every sample.
    assert curve.accuracy[0] == pytest.approx(
        float(random_ablation(inputs, [1], draws=9).masks(1)[:, 0].double().mean())
    )
    with pytest.raises(NmfdiagError, match="logits hold NaN"):
        compression_curve(Root(), "relu", inputs - 0.5, torch.tensor([0, 0, 0]))


@properties
@given(
    heights=st.lists(st.floats(0, 1), min_size=1, max_size=12), axis=st.sampled_from(AXES), seed=st.integers(0, 9)
)  # fmt: skip
def test_an_area_lies_between_its_accuracies_and_falls_with_them(heights: list[float], axis: str, seed: int) -> None:
    ranks = np.cumsum(np.random.default_rng(seed).integers(1, 9, len(heights))).tolist()
    area = auc(ranks, heights, axis=axis)
    assert min(heights) - 1e-12 <= area <= max(heights) + 1e-12
    assert auc(ranks, [0.5 * h for h in heights], axis=axis) == pytest.approx(area / 2)
    assert auc(ranks, heights, axis=axis, baseline=1.0, clip=True) == pytest.approx(area)


@pytest.mark.parametrize(
    ("ranks", "accuracy", "message"),
    [
        ([3, 3], [1, 1], "ascend"), ([2, 1], [1, 1], "ascend"), ([0, 1], [1, 1], "ascend"), ([1], [float("nan")], "finite"),
        ([1, 2], [1], "one accuracy per rank"), ([], [], "one accuracy per rank"),
    ],
)  # fmt: skip
def test_what_has_no_area_is_named(ranks: list[int], accuracy: list[float], message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        auc(ranks, accuracy)


CURVE = CompressionCurve(
    "a", "nmf", [1, 2, 4], [0.1, 0.2, 1.0], [0.5, 0.2, 0.0], [5.0, 2.0, 0.0], [True] * 3, 1.0, 0.0, 0.1, 4, (9, 4), 9
)  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy": [0.1, 0.2]}, {"accuracy": [0.1, 0.2, 1.5]}, {"accuracy": [0.1, 0.2, float("nan")]}, {"ranks": [1, 4, 2]},
        {"ranks": [1, 2, 5]}, {"ranks": [0, 2, 4]}, {"ranks": []}, {"relative_error": [0.5, -0.2, 0.0]}, {"converged": [True]},
        {"absolute_error": [5.0, float("nan"), 0.0]}, {"baseline_accuracy": -0.1}, {"ranks": [1.5, 2, 4]}, {"shape": [9, 4.5]},
    ],
)  # fmt: skip
def test_a_record_that_is_no_curve_is_named(wrong: dict) -> None:
    assert CompressionCurve.from_dict(CURVE.to_dict()) == CURVE
    with pytest.raises(NmfdiagError, match="not a curve"):
        CompressionCurve.from_dict(CURVE.to_dict() | wrong)
    assert replace(CURVE, operation="ablate").accuracy_beyond == 0.0 and compression.STARTS > 0
