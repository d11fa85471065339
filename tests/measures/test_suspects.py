"""Wrong labels are found, and counted, from one finished network without a true label: on the zoo's networks, whose true labels are known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import nmfdiag
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects import features
from nmfdiag.measures.suspects.moved_copies import moves_of, shifted
from nmfdiag.measures.suspects.probe import fit_probe, margins, temperature
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.measures.suspects.swap_control import swap_control
from nmfdiag.text import percent
from nmfdiag.zoo.registry import ProbePool, lookup

NOISY = "digits-mlp-p0.2-s0"


@pytest.fixture(scope="module")
def pool() -> ProbePool:
    return lookup(NOISY).load_pool()


@pytest.fixture(scope="module")
def result(pool: ProbePool) -> Suspects:
    return nmfdiag.suspects(lookup(NOISY).load_model(), pool.inputs, pool.given_labels)


@pytest.mark.parametrize(
    ("name", "auroc"), [(NOISY, 0.99), ("digits-cnn-p0.2-s1", 0.99), ("fashion_mnist-mlp-p0.4-s0", 0.95)]
)
def test_wrong_labels_come_first_and_the_suggestion_is_the_true_one(name: str, auroc: float) -> None:
    entry = lookup(name)
    pool = entry.load_pool()
    wrong = (pool.given_labels != pool.true_labels).numpy()
    suspects = nmfdiag.suspects(entry.load_model(), pool.inputs, pool.given_labels)
    assert roc_auc_score(wrong, suspects.score) > auroc
    by_loss = roc_auc_score(wrong, suspects.components["loss"])
    assert roc_auc_score(wrong, suspects.score) > by_loss + 0.1
    right = (suspects.suggested == pool.true_labels.numpy())[wrong].mean()
    assert right > 5 / entry.n_classes
    assert abs(suspects.noise_rate.estimate - wrong.mean()) < 0.06
    assert suspects.noise_rate.low - 0.02 <= wrong.mean() <= suspects.noise_rate.high + 0.02
    assert suspects.noise_rate.contradicted > wrong.mean() - 0.02
    n = int(wrong.sum())
    true_precision = wrong[suspects.order[:n]].mean()  # the control reads less than the score does
    assert true_precision - 0.3 < suspects.expected_precision(n) < true_precision + 0.05


@pytest.mark.parametrize("name", ["digits-mlp-p0-s0", "digits-cnn-p0-s1", "fashion_mnist-mlp-p0-s0"])
def test_a_clean_network_raises_no_alarm(name: str) -> None:
    entry = lookup(name)
    pool = entry.load_pool()
    rate = nmfdiag.suspects(entry.load_model(), pool.inputs, pool.given_labels).noise_rate
    assert rate.low <= rate.estimate <= 0.05 and 0 < rate.swapped_high < 0.1 and rate.contradicted < rate.high < 0.25
    assert (
        rate.estimate < rate.contradicted < 0.2
        and f"up to about {percent(rate.high)} where errors are" in rate.statement
    )


def test_the_probe_leaves_each_sample_out_of_its_classs_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    z = torch.randn(60, 5, generator=generator).double() + labels[:, None] * torch.tensor([1.0, -0.5, 0, 2, 0])
    probe = fit_probe([(z[:25], labels[:25]), (z[25:], labels[25:])], 3)
    scaled = (z - z.mean(0)) / z.std(0, correction=0)
    means = torch.stack([scaled[labels == c].mean(0) for c in range(3)])
    residuals = scaled - means[labels]
    within = residuals.T @ residuals / 60
    inverse = torch.linalg.inv(0.9 * within + 0.1 * within.trace() / 5 * torch.eye(5).double())
    for i in (0, 17, 59):
        others_mean = scaled[(labels == labels[i]) & (torch.arange(60) != i)].mean(0)
        for c in range(3):
            difference = scaled[i] - (others_mean if c == labels[i] else means[c])
            expected = -difference @ inverse @ difference / 2 + np.log(20 / 60)
            assert float(probe.values(z, labels)[i, c]) == pytest.approx(float(expected), rel=1e-6)


def test_margins_and_temperature() -> None:
    values = torch.tensor([[2.0, 1.0, -torch.inf], [0.0, 3.0, 1.0]]).double()
    assert margins(values, torch.tensor([0, 2])).tolist() == [-1, 2]
    sure = torch.eye(4).double().repeat(50, 1) * 8
    labels = torch.arange(200) % 4
    assert temperature(sure, labels) > 5 * temperature(
        sure, torch.where(torch.arange(200) % 3 == 0, (labels + 1) % 4, labels)
    )


def test_accuracies_of_the_network_on_moved_copies_and_of_probes(pool: ProbePool, result: Suspects) -> None:
    model, labels = lookup(NOISY).load_model(), pool.given_labels
    with torch.no_grad():
        answers = [
            model(inputs).argmax(1)
            for inputs in (pool.inputs, *(m(pool.inputs) for m in moves_of(pool.inputs).values()))
        ]
    right, *moved_right = [float((answer == labels).float().mean()) for answer in answers]
    assert result.accuracies["network"] == pytest.approx(right) and len(moved_right) == 4
    assert (
        result.accuracies["moved copies"] == pytest.approx(np.mean(moved_right), abs=1e-3)
        and moved_right[0] < 0.9 * right
    )
    assert list(result.accuracy_by_layer) == ["fc1", "fc2", "fc3", "fc4", "fc5"]
    assert result.accuracy_by_layer["fc1"] < 0.85 < 0.99 < result.accuracy_by_layer["fc5"], (
        "of .8 right labels, the last reads wrong ones"
    )
    assert json.loads(json.dumps(result.to_dict()))["accuracies"] == result.accuracies
    assert result.accuracy_by_layer["fc2"] < 0.95 and result.layers == ("fc1",), "fc2 names more labels than are right"


def test_features_are_the_same_whether_kept_or_computed_again(
    pool: ProbePool, result: Suspects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "KEPT_BYTES", 0)
    again = nmfdiag.suspects(lookup(NOISY).load_model(), pool.inputs, pool.given_labels)
    assert np.array_equal(again.score, result.score) and np.array_equal(again.suggested, result.suggested)


def test_a_shift_repeats_the_edge() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert shifted(image, (1, 0))[0, 0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]
    assert shifted(image, (0, -2))[0, 0, 0].tolist() == [0, 0, 0, 1]
    assert shifted(image[0], (1,))[0, 0].tolist() == [1, 2, 3, 3]
    assert set(moves_of(torch.zeros(2, 3, 32, 32))) == {"up", "down", "left", "right"}
    assert set(moves_of(torch.zeros(2, 1, 100))) == {"earlier", "later"}
    assert (
        moves_of(torch.zeros(2, 3, 6, 6))
        == moves_of(torch.zeros(2, 20))
        == moves_of(torch.zeros(2, 3, 9, 9, dtype=torch.long))
        == {}
    )


def test_the_swap_control_knows_how_many_labels_were_swapped() -> None:
    """Of a probe that is right in nine cases of ten, on labels of which 0, 10 and 30 % are swapped at random."""
    random = np.random.default_rng(0)
    true = random.integers(0, 5, 4000)
    log_probabilities = np.log(np.full((4000, 5), 0.05))
    named_classes = np.where(random.random(4000) < 0.9, true, random.integers(0, 5, 4000))
    log_probabilities[np.arange(4000), named_classes] = np.log(0.8)
    log_probabilities += 0.01 * random.random((4000, 5))
    for p in (0.0, 0.1, 0.3):
        given_labels = np.where(random.random(4000) < p, (true + random.integers(1, 5, 4000)) % 5, true)
        rate = swap_control(log_probabilities, given_labels, np.bincount(given_labels)).rate()
        assert p - 0.02 <= rate.estimate <= p + 0.12 and rate.low <= rate.estimate <= rate.high
    repeated = np.tile(log_probabilities, (1, 8))  # more classes than labels are swapped to
    control = swap_control(repeated, given_labels, np.bincount(given_labels, minlength=40))
    assert control.weights.shape == (4000, 20) and np.allclose(control.weights.sum(1), 1)


def test_the_result_leaves_in_every_form(result: Suspects, tmp_path: Path) -> None:
    frame = result.to_frame()
    assert list(frame.columns[:7]) == ["index", "given", "score", "rank", "suggested", "confidence", "layers_against"]
    assert frame["score"].is_monotonic_decreasing and set(frame["index"]) == set(range(len(result.given)))
    assert (frame["suggested"] != frame["given"]).all() and frame["confidence"].between(0, 1).all()
    assert frame["layers_against"].between(0, len(result.layers)).all()
    result.to_json(tmp_path / "suspects.json")
    record = json.loads((tmp_path / "suspects.json").read_text())
    assert (
        record["suspects"][0]["index"] == frame["index"][0]
        and record["noise_rate"]["estimate"] == result.noise_rate.estimate
    )
    result.to_csv(tmp_path / "suspects.csv")
    assert (tmp_path / "suspects.csv").read_text().count("\n") == len(frame) + 1
    first = int(frame["index"][0])
    assert first not in result.cleaned() and len(result.cleaned([first])) == len(frame) - 1
    relabelled = result.relabelled([first])
    assert relabelled[first] == frame["suggested"][0] and (relabelled != result.given).sum() == 1
    reasons = result.reasons(first)
    assert len(reasons.nearest_given) == len(reasons.nearest_suggested) == 5
    assert {int(result.given[i]) for i in reasons.nearest_suggested} == {reasons.suggested}


def test_the_same_input_with_two_labels_is_listed_first(pool: ProbePool) -> None:
    inputs, labels = pool.inputs.clone(), pool.given_labels.clone()
    inputs[7], inputs[30] = inputs[500], inputs[31]
    labels[7], labels[30] = (labels[500] + 1) % 10, labels[31]
    result = nmfdiag.suspects(lookup(NOISY).load_model(), inputs, labels)
    assert result.duplicates == ((7, 500), (30, 31)) and set(result.order[:2].tolist()) == {7, 500}
    assert result.reasons(7).contradicts == (500,) and result.reasons(30).contradicts == ()


def test_the_network_is_left_as_it_was(pool: ProbePool) -> None:
    model = lookup(NOISY).load_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = torch.get_rng_state()
    nmfdiag.suspects(model, pool.inputs[:200], pool.given_labels[:200])
    assert model.training and torch.equal(states, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


class Series(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 8, 5),
            nn.GELU(),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
            nn.Linear(32, 16),
            nn.ReLU(),
            nn.Linear(16, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.parametrize(
    ("model", "shape", "moved"),
    [(Series(), (1, 40), True), (nn.Sequential(nn.Linear(6, 12), nn.SiLU(), nn.Linear(12, 3)), (6,), False)],
)
def test_series_and_tables_and_activations_that_are_not_relu(
    model: nn.Module, shape: tuple[int, ...], moved: bool
) -> None:
    torch.manual_seed(0)
    labels = torch.arange(90) % 3
    inputs = torch.randn(90, *shape) + labels.reshape(-1, *[1] * len(shape))
    result = nmfdiag.suspects(model, inputs, labels)
    assert ("shift" in result.components) == moved and len(result.score) == 90
    assert moved or any("No moved copies" in remark for remark in result.remarks)


def test_a_sample_has_its_number(pool: ProbePool, result: Suspects) -> None:
    model = lookup(NOISY).load_model()
    dataset = TensorDataset(pool.inputs, pool.given_labels)
    with pytest.raises(NmfdiagError, match="shuffles"):
        nmfdiag.suspects(model, DataLoader(dataset, 50, shuffle=True))
    in_order = nmfdiag.suspects(model, DataLoader(dataset, 50))
    assert np.array_equal(in_order.score, result.score) and np.array_equal(in_order.given, pool.given_labels.numpy())
    mask = np.zeros(len(result.given), bool)
    mask[[3, 8]] = True
    assert set(np.setdiff1d(np.arange(len(mask)), result.cleaned(mask))) == {3, 8}
    for wrong_indices in ([-1], [len(mask)], [1.5], mask[:-1]):
        with pytest.raises(NmfdiagError, match="named by whole numbers"):
            result.relabelled(wrong_indices)


def test_a_part_of_the_samples_keeps_its_numbers(pool: ProbePool) -> None:
    inputs, labels = pool.inputs[100:400], pool.given_labels[100:400].clone()
    inputs = torch.cat([inputs, inputs[-1:]])  # a contradiction, with numbers 299 and 300
    labels = torch.cat([labels, (labels[-1:] + 1) % 10])
    model = lookup(NOISY).load_model()
    part = nmfdiag.suspects(model, inputs, labels, per_class=20)
    counts = np.bincount(labels[part.indices].numpy())
    assert counts.max() == 20 and np.array_equal(part.given, labels[part.indices].numpy())
    assert part.duplicates == ((299, 300),) and part.reasons(300).contradicts == (299,)
    frame = part.to_frame()
    assert set(frame["index"][:2]) == {299, 300} and set(frame["index"]) == set(part.indices)
    alone = nmfdiag.suspects(model, inputs[part.indices], labels[part.indices])
    assert np.array_equal(part.score, alone.score)
    first = int(frame["index"][5])
    assert first not in part.cleaned([first]) and len(part.cleaned([first])) == len(part.given) - 1
    assert part.relabelled([first])[part.rows([first])] == frame["suggested"][5]
    assert set(part.reasons(first).nearest_given) <= set(part.indices)
    missing = int(np.setdiff1d(np.arange(301), part.indices)[0])
    with pytest.raises(NmfdiagError, match="as far as they were scored"):
        part.reasons(missing)
    assert set(part.against_by_layer) >= set(part.layers)
    assert ((part.against_by_layer[part.layers[0]] > 0) <= (part.layers_against > 0)).all()
    for wrong_number in (0, True, 2.5):
        with pytest.raises(NmfdiagError, match="per_class"):
            nmfdiag.suspects(model, inputs, labels, per_class=wrong_number)  # type: ignore[arg-type]


def test_where_nothing_is_known_nothing_is_cleaned(pool: ProbePool) -> None:
    model = lookup(NOISY).load_model()
    result = nmfdiag.suspects(model, pool.inputs[:1].repeat(100, 1, 1, 1), pool.given_labels[:100])
    assert result.noise_rate.reason and (result.noise_rate.low, result.noise_rate.high) == (0, 1)
    assert "can't be told" in result.noise_rate.statement
    assert len(result.cleaned()) == 100 and np.array_equal(result.relabelled(), result.given)


def test_precision_falls_with_the_number(result: Suspects) -> None:
    expected = [result.expected_precision(n) for n in (1, 5, 20, 100, 200, 500, 1000)]
    assert expected == sorted(expected, reverse=True) and expected[0] > 0.8


class SometimesSkips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.relu, self.rare = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.first(x))
        return self.last(self.rare(self.second(h)) if x[0, 0] > 0 else h)


def test_a_layer_that_some_samples_miss_is_left_out() -> None:
    torch.manual_seed(0)
    inputs, labels = torch.randn(200, 6), torch.arange(200) % 3
    result = nmfdiag.suspects(SometimesSkips(), inputs, labels)
    assert set(result.layers) == {"relu"} and any("rare" in remark for remark in result.remarks)


@pytest.mark.parametrize(
    "model", [Series(), nn.Sequential(nn.Flatten(), nn.Linear(40, 12), nn.ReLU(), nn.Linear(12, 3))]
)
def test_labels_that_the_network_has_no_output_for(model: nn.Module) -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 2, 7]).repeat(40)
    result = nmfdiag.suspects(model, torch.randn(120, 1, 40) + labels[:, None, None], labels)
    assert any("3 outputs" in remark for remark in result.remarks) and np.isfinite(result.score).all()


def test_what_can_not_be_said_is_said(pool: ProbePool) -> None:
    model, inputs, labels = lookup(NOISY).load_model(), pool.inputs[:300], pool.given_labels[:300]
    broken = inputs.clone()
    broken[3] = torch.nan
    with pytest.raises(NmfdiagError, match="NaN or infinite"):
        nmfdiag.suspects(model, broken, labels)
    with pytest.raises(NmfdiagError, match="at least two classes"):
        nmfdiag.suspects(model, inputs, torch.zeros(300, dtype=torch.long))
    for strange in (labels - 1, labels + 200_000):
        with pytest.raises(NmfdiagError, match="accepted are"):
            nmfdiag.suspects(model, inputs, strange)
    with pytest.raises(NmfdiagError, match="layers is empty"):
        nmfdiag.suspects(model, inputs, labels, layers=[])
    assert nmfdiag.suspects(model, inputs, labels, layers="fc2").layers == ("fc2",)
    with pytest.raises(NmfdiagError, match="Unknown layer"):
        nmfdiag.suspects(model, inputs, labels, layers=["fc9"])
    torch.manual_seed(1)
    senseless = nmfdiag.suspects(model, inputs, torch.randint(0, 10, (300,)))
    assert any("chance" in remark for remark in senseless.remarks) or senseless.noise_rate.high > 0.5
    small_result = nmfdiag.suspects(model, inputs[:60], labels[:60])
    assert any("fewer than 50" in remark for remark in small_result.remarks)
    with pytest.raises(NmfdiagError, match="accepted are 1 to 60"):
        small_result.expected_precision(0)
    with pytest.raises(NmfdiagError, match="named by whole numbers from 0 to 59"):
        small_result.reasons(60)
