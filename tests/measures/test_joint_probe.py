"""The probe of all layers together: exactly what refits without each sample would say, on features averaged over moved copies."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nmfdiag
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects import kernel_probe, noise_rate, sure_samples, swap_control, views
from nmfdiag.measures.suspects.features import pooled
from nmfdiag.measures.suspects.kernel_probe import KernelMoments, landmark_rows
from nmfdiag.measures.suspects.moved_copies import moves_of, with_mirror
from nmfdiag.zoo.registry import lookup


def test_the_value_of_a_sample_is_that_of_a_fit_without_it() -> None:
    pool = lookup("digits-mlp-p0.2-s0").load_pool()
    z, labels = pool.inputs[:120].flatten(1), pool.given_labels[:120]
    landmarks = z[landmark_rows(120, 0)]
    moments = KernelMoments(landmarks, torch.bincount(labels))
    moments.add(z[:50], labels[:50])
    moments.add(z[50:], labels[50:])
    probe = moments.fit()
    k = kernel_probe._kernel(probe.standardised(z), probe.landmarks)
    gram = kernel_probe._kernel(probe.landmarks, probe.landmarks) + kernel_probe.JITTER * torch.eye(90).double()
    features = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), k.T, upper=False).T
    ridge = kernel_probe.STRONGEST * float((features.T @ features).trace()) / 90 * torch.eye(90).double()
    targets = torch.nn.functional.one_hot(labels).double()
    values = probe.values(z, labels)
    for i in (0, 60, 119):
        other_rows = torch.arange(120) != i
        weights = torch.linalg.solve(
            features[other_rows].T @ features[other_rows] + ridge, features[other_rows].T @ targets[other_rows]
        )
        torch.testing.assert_close(values[i], features[i] @ weights, rtol=1e-4, atol=1e-5)


def test_features_of_maps_vectors_and_constants() -> None:
    activation = torch.arange(16.0).reshape(1, 1, 4, 4)
    mean, deviation, *quarters = pooled(activation, 1)[0].tolist()
    assert (mean, quarters) == (7.5, [2.5, 4.5, 10.5, 12.5]) and deviation == pytest.approx(np.arange(16).std())
    assert torch.equal(pooled(activation.movedim(1, -1), 3), pooled(activation, 1))
    assert pooled(torch.full((2, 3, 5, 5), 1e4), 1)[:, 3:6].abs().max() == 0
    assert torch.equal(pooled(torch.eye(3), 1), torch.eye(3))
    assert pooled(torch.rand(2, 3, 8), 1).shape == (2, 12) and pooled(torch.rand(2, 3, 4, 4, 4), 1).shape == (2, 30)


@pytest.mark.parametrize(("name", "is_mirrored"), [("cifar10-cnn-p0.2-s0", True), ("fashion_mnist-mlp-p0.4-s0", False)])
def test_images_are_mirrored_where_a_mirror_keeps_the_class(name: str, is_mirrored: bool) -> None:
    entry = lookup(name)
    pool = entry.load_pool()
    suspects = nmfdiag.suspects(entry.load_model(), pool.inputs[:150], pool.given_labels[:150])
    assert ("mirrored" in suspects.provenance["moves"]) == is_mirrored


def test_many_images_are_copied_less_often() -> None:
    image = torch.rand(1, 3, 16, 16)
    moves = moves_of(image)
    assert len(with_mirror(moves, 100)) == 9 and len(with_mirror(moves, 10_000)) == 3
    copy = with_mirror(moves, 10_000)["up and mirrored"](image)
    assert torch.equal(copy, moves["up"](image.flip(-1)))


def test_steps_are_not_taken_for_features() -> None:
    """Of (n, steps, features) the last axis has no order: it is not moved."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 6, 3))
    inputs, labels = torch.rand(90, 6, 20), torch.arange(90) % 3
    assert "shift" not in nmfdiag.suspects(model, inputs, labels).components


class TurnsOff(nn.Module):
    """A network of which copies whose first pixel is dark take another way."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.rare, self.last = nn.ReLU(), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.first(x))
        h = self.rare(self.second(h)) if x[0, 0, 0, 0] > 0.5 else h
        return self.last(h.mean((2, 3)))


def test_a_copy_may_take_another_way_through_the_network() -> None:
    torch.manual_seed(0)
    inputs, labels = torch.rand(60, 1, 8, 8) / 2, torch.arange(60) % 3
    inputs[:, 0, 0, 0] = 1.0
    suspects = nmfdiag.suspects(TurnsOff(), inputs, labels)
    assert np.isfinite(suspects.score).all() and "shift" in suspects.components


def test_features_that_are_not_kept_give_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lookup("digits-cnn-p0.2-s1")
    pool = entry.load_pool()
    kept_result = nmfdiag.suspects(entry.load_model(), pool.inputs[:200], pool.given_labels[:200])
    monkeypatch.setattr(views, "KEPT_BYTES", 0)
    again = nmfdiag.suspects(entry.load_model(), pool.inputs[:200], pool.given_labels[:200])
    np.testing.assert_allclose(again.components["probe"], kept_result.components["probe"], atol=0.02)
    assert (again.suggested == kept_result.suggested).mean() > 0.98


def test_minus_zero_is_zero() -> None:
    pool = lookup("digits-mlp-p0.2-s0").load_pool()
    inputs = torch.cat([pool.inputs[:60], pool.inputs[:1] * 0, pool.inputs[:1] * -0.0])
    labels = torch.cat([pool.given_labels[:60], torch.tensor([1, 2])])
    suspects = nmfdiag.suspects(lookup("digits-mlp-p0.2-s0").load_model(), inputs, labels)
    assert suspects.duplicates[0] == (60, 61)


def test_the_rate_does_not_hang_on_which_layers_are_asked() -> None:
    """Deep layers remember the labels: asked alone they would say that none is wrong."""
    entry = lookup("digits-cnn-p0.2-s0")
    pool = entry.load_pool()
    model, inputs, labels = entry.load_model(), pool.inputs, pool.given_labels
    n_wrong = float((labels != pool.true_labels).float().mean())
    everywhere = nmfdiag.suspects(model, inputs, labels)
    deep_only = nmfdiag.suspects(model, inputs, labels, layers=["conv2_2"])
    assert all(abs(result.noise_rate.estimate - n_wrong) < 0.08 for result in (everywhere, deep_only))
    reversed_layers = nmfdiag.suspects(model, inputs, labels, layers=list(everywhere.against_by_layer)[::-1])
    assert (
        np.array_equal(reversed_layers.score, everywhere.score) and reversed_layers.noise_rate == everywhere.noise_rate
    )


def test_errors_of_one_kind_are_counted_by_the_samples_that_are_surely_of_a_class() -> None:
    """Labels of which a fifth became the next class: a probe takes that for a trait of the classes, its surest samples don't."""
    random = np.random.default_rng(0)
    true = random.integers(0, 4, 4000)
    labels = np.where(random.random(4000) < 0.2, (true + 1) % 4, true)
    probabilities = np.full((4000, 4), 0.01)
    probabilities[np.arange(4000), true], probabilities[np.arange(4000), (true + 1) % 4] = 0.79, 0.19
    log_probabilities = np.log(probabilities + 0.001 * random.random((4000, 4)))
    n_wrong, n_sure = sure_samples.sure_and_wrong(log_probabilities, labels, 0.1)
    assert n_wrong / n_sure == pytest.approx(0.2, abs=0.05) and n_sure == pytest.approx(400, abs=4)
    swap = swap_control.swap_control(log_probabilities, labels, np.bincount(labels)).rate()
    probes: dict[str, Any] = dict.fromkeys(("first", "inputs", "probed"), log_probabilities)
    rate = noise_rate.bounded_rate(swap, labels, **probes, contradicted=0.2)
    assert swap.high < 0.1 and rate.estimate == pytest.approx(0.2, abs=0.05)
    assert (
        0.1 < rate.low < rate.estimate
        and sure_samples.one_way_errors(log_probabilities, labels, 0.1).standard_errors > 5
    )
    overlapping = np.where(
        random.random(4000) < 0.1, (true + 1) % 4, np.where(random.random(4000) < 0.1, (true - 1) % 4, true)
    )
    assert (
        sure_samples.one_way_errors(log_probabilities, overlapping, 0.3).standard_errors < sure_samples.ONE_WAY
    )  # as many come back
    assert noise_rate.bounded_rate(swap, labels, **probes, contradicted=0.6).high > 0.6
    assert noise_rate.bounded_rate(swap, labels, **probes, contradicted=0.2, least=0.6).low == 0.6
    clean_swap = swap_control.swap_control(log_probabilities, true, np.bincount(true)).rate()
    clean_rate = noise_rate.bounded_rate(clean_swap, true, **probes, contradicted=0.0)
    assert clean_rate.estimate == 0 and clean_rate.high < 0.02


def test_the_same_input_with_two_labels_is_certainly_an_error() -> None:
    pool = lookup("digits-mlp-p0-s0").load_pool()
    inputs, labels = pool.inputs[:300], pool.given_labels[:300]
    suspects = nmfdiag.suspects(
        lookup("digits-mlp-p0-s0").load_model(), torch.cat([inputs, inputs]), torch.cat([labels, (labels + 1) % 10])
    )
    assert suspects.noise_rate.low >= 0.5 and any("very same input" in remark for remark in suspects.remarks)


def test_wrong_arguments_are_sentences() -> None:
    pool = lookup("digits-mlp-p0-s0").load_pool()
    inputs, labels, model = pool.inputs[:100], pool.given_labels[:100], lookup("digits-mlp-p0-s0").load_model()
    with pytest.raises(NmfdiagError, match="accepted is a torch"):
        nmfdiag.suspects(None, inputs, labels)  # type: ignore[arg-type]
    with pytest.raises(NmfdiagError, match="no option 'logit'"):
        nmfdiag.suspects(model, inputs, labels, logit=0)
    with pytest.raises(NmfdiagError, match="3 class names"):
        nmfdiag.suspects(model, inputs, labels, class_names=["a", "b", "c"])
    few_samples = nmfdiag.suspects(model, inputs[:20], labels[:20])
    assert "fewer than 5 samples" in few_samples.noise_rate.statement
    shifted_labels = nmfdiag.suspects(model, inputs, (labels + 1) % 10)
    assert any("predicts 0% of the labels as given" in remark for remark in shifted_labels.remarks)
    with torch.no_grad():
        model.classifier.bias[0] = torch.inf
    with pytest.raises(NmfdiagError, match="NaN or infinite"):
        nmfdiag.suspects(model, inputs, labels)
