"""Batch norm whose statistics lag behind the weights: noticed, re-estimated on a copy, and measured there."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

import nmfdiag
from nmfdiag.cli import main
from nmfdiag.data.normalization import normalizations
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.preflight.accuracy import alternative_normalizations
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.views.your_network import concerns
from nmfdiag.zoo.batch_norm import BatchNormLag, batch_norm_lag
from nmfdiag.zoo.fit_inputs import choose, compare
from nmfdiag.zoo.measured_network import network_to_measure
from nmfdiag.zoo.registry import BATCH_NORM, lookup

N = 300
Samples = tuple[Tensor, Tensor]


def digits(n: int) -> Samples:
    source = load_digits()
    rows = np.argsort(source.target[:n], kind="stable")  # class by class, as a folder of images is read
    return torch.tensor(source.images[rows] / 16, dtype=torch.float32)[:, None], torch.tensor(source.target[rows])


def trained(samples: Samples, momentum: float) -> nn.Module:
    """Train as users do: a constant rate, and a stop at the first fit."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16, momentum=momentum), nn.ReLU(), nn.Flatten(),
        nn.Linear(1024, 32), nn.BatchNorm1d(32, momentum=momentum), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip
    optimizer, (x, y) = torch.optim.Adam(model.parameters(), 0.01), samples
    for _ in range(20):
        n_right = 0
        for rows in torch.randperm(len(x)).split(100):
            logits = model(x[rows])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, y[rows]).backward()
            optimizer.step()
            n_right += int((logits.argmax(1) == y[rows]).sum())
        if n_right >= 0.98 * len(x):
            break
    optimizer.zero_grad()
    return model


@pytest.fixture(scope="module")
def samples() -> Samples:
    return digits(N)


@pytest.fixture(scope="module")
def lagging(samples: Samples) -> nn.Module:
    return trained(samples, momentum=0.01)


@pytest.fixture(scope="module")
def sound(samples: Samples) -> nn.Module:
    return trained(samples, momentum=0.5)


def accuracy(model: nn.Module, samples: Samples) -> float:
    with torch.no_grad():
        return float((copy.deepcopy(model).eval()(samples[0]).argmax(1) == samples[1]).float().mean())


def state(model: nn.Module) -> dict[str, Any]:
    values = {name: value.clone() for name, value in model.state_dict().items()}
    return values | {f"{name} in training": module.training for name, module in model.named_modules()}


def same(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return [name for name in first if np.array_equal(first[name], second[name])]


def test_statistics_are_those_of_one_pass_in_training_mode_and_nothing_else_changes(
    lagging: nn.Module, samples: Samples
) -> None:
    before, random = state(lagging), torch.get_rng_state()
    re_estimated = nmfdiag.re_estimate_batch_norm(lagging, samples[0])
    assert same(before, state(lagging)) == list(before) and torch.equal(random, torch.get_rng_state())
    by_torch = copy.deepcopy(lagging).train()
    for module in by_torch.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a cumulative average
    with torch.no_grad():
        by_torch(samples[0])
    after, expected = state(re_estimated), state(by_torch)
    statistics = [name for name in before if "running_" in name]
    for name in statistics:
        torch.testing.assert_close(after[name], expected[name], rtol=1e-4, atol=1e-5)
    assert same(before, after) == [name for name in before if name not in statistics] and len(statistics) == 6
    assert re_estimated[1].momentum == 0.01 and not any(m._forward_pre_hooks for m in re_estimated.modules())  # type: ignore[index]


@pytest.mark.parametrize(
    "norm, shape",
    [(nn.BatchNorm1d(64), (64,)), (nn.SyncBatchNorm(8), (8, 8)), (nn.BatchNorm2d(4), (4, 4, 4)), (nn.BatchNorm3d(4), (4, 4, 2, 2))],
)  # fmt: skip
def test_statistics_are_exact_over_several_batches_of_sorted_samples(norm: Any, shape: tuple[int, ...]) -> None:
    x = digits(1300)[0].reshape(-1, *shape) + 3
    model = nn.Sequential(nn.Dropout(0.5), norm).train()  # dropout stays in evaluation mode
    re_estimated: Any = nmfdiag.re_estimate_batch_norm(model, x)[1]  # type: ignore[index]
    by_channel = x.double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(re_estimated.running_mean.double(), by_channel.mean(1), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(re_estimated.running_var.double(), by_channel.var(1), rtol=1e-5, atol=1e-7)


def test_wrappers_are_removed(lagging: nn.Module, samples: Samples) -> None:
    expected = state(nmfdiag.re_estimate_batch_norm(lagging, samples[0]))
    for wrapped in (nn.DataParallel(lagging), torch.optim.swa_utils.AveragedModel(lagging)):
        assert same(expected, state(nmfdiag.re_estimate_batch_norm(wrapped, samples))) == list(expected)


class _Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(1))
        self.register_buffer("running_var", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, self.running_mean, self.running_var).flatten(1)  # type: ignore[arg-type]


class _Uncopyable(nn.BatchNorm2d):
    def __deepcopy__(self, memo: object) -> nn.Module:
        raise TypeError("it holds a lock")


def test_what_can_not_be_re_estimated_is_said(samples: Samples) -> None:
    x, y = samples
    for model in (_Functional(), nn.Linear(8, 8), nn.BatchNorm2d(1, track_running_stats=False)):
        with pytest.raises(
            NmfdiagError, match=r"no batch norm with stored .*functional.batch_norm or in TorchScript is out of reach"
        ):
            nmfdiag.re_estimate_batch_norm(model, x)
    with pytest.raises(NmfdiagError, match="at least 2 samples, got 1"):
        nmfdiag.re_estimate_batch_norm(nn.BatchNorm2d(1), x[:1])
    with pytest.raises(NmfdiagError, match=r"BatchNorm2d can't take inputs of shape \(300, 1, 8, 8\)"):
        nmfdiag.re_estimate_batch_norm(nn.BatchNorm2d(3), x)
    uncopyable = nn.Sequential(_Uncopyable(1), nn.Flatten())
    with pytest.raises(NmfdiagError, match="can't be copied: TypeError: it holds a lock"):
        nmfdiag.re_estimate_batch_norm(uncopyable, x)
    model, remark = network_to_measure(uncopyable, x, y)
    assert model is uncopyable and "not checked" in remark and "it holds a lock" in remark


@pytest.mark.parametrize(
    "evaluation, re_estimated, p_value, lags",
    [(0.36, 0.97, 0.0, True), (0.95, 0.971, 0.004, True), (0.955, 0.97, 0.0, False), (0.9, 0.94, 0.02, False), (0.97, 0.36, 1.0, False)],
)  # fmt: skip
def test_a_lag_is_a_clear_gain(evaluation: float, re_estimated: float, p_value: float, lags: bool) -> None:
    assert BatchNormLag(evaluation, 1.0, re_estimated, p_value, N, 10, 10).lags is lags


def test_the_lag_is_measured(lagging: nn.Module, samples: Samples) -> None:
    lag = batch_norm_lag(lagging, *samples)
    assert lag is not None and lag.lags and lag.n_samples == N and lag.p_value < 1e-6
    with torch.no_grad():
        in_training = float((copy.deepcopy(lagging).train()(samples[0]).argmax(1) == samples[1]).float().mean())
    assert lag.evaluation == pytest.approx(accuracy(lagging, samples), abs=0.004) and lag.evaluation < 0.8
    assert lag.batch == pytest.approx(in_training, abs=0.004) and lag.batch > 0.97
    assert lag.re_estimated == pytest.approx(lag.batch, abs=0.01)


def test_a_lagging_network_is_diagnosed_by_its_re_estimated_copy(lagging: nn.Module, samples: Samples) -> None:
    before = state(lagging)
    options: dict[str, Any] = {"per_class": 10, "methods": ["pca"]}
    diagnosis = nmfdiag.diagnose(nn.DataParallel(lagging), *samples, **options)
    assert same(before, state(lagging)) == list(before)
    by_hand = nmfdiag.diagnose(nmfdiag.re_estimate_batch_norm(lagging, samples[0]), *samples, **options)
    assert diagnosis.profile.to_frame().equals(by_hand.profile.to_frame())
    lag = batch_norm_lag(lagging, *samples)
    assert lag is not None
    for figure in (lag.evaluation, lag.batch, lag.re_estimated):
        assert f"{figure:.1%}" in diagnosis.remarks[0]
    assert diagnosis.remarks[0].endswith("model = nmfdiag.re_estimate_batch_norm(model, inputs)")
    assert diagnosis.remarks[1:] == by_hand.remarks and diagnosis.provenance["network"] == "DataParallel"
    assert diagnosis.provenance["weights (sha256)"] == by_hand.provenance["weights (sha256)"]
    check = preflight(lagging, *samples, methods=["pca"])
    assert check.remarks == (f"{lag.text} To mend that: model = nmfdiag.re_estimate_batch_norm(model, inputs)",)
    assert not check.better  # another normalisation does better than this one, but not as well as the copy


def test_a_network_that_does_not_lag_is_measured_itself(sound: nn.Module, samples: Samples) -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert accuracy(sound, samples) > 0.98 and accuracy(plain, samples) < 0.3
    for model in (sound, plain):
        assert network_to_measure(model, *samples) == (model, "")
    untrained = copy.deepcopy(sound)
    nn.init.normal_(untrained[-1].weight)  # type: ignore[index, arg-type]
    assert accuracy(untrained, samples) < 0.5 and network_to_measure(untrained, *samples) == (untrained, "")


def test_samples_prepared_otherwise_are_no_lag(sound: nn.Module, samples: Samples) -> None:
    x, y = samples[0] * 255, samples[1]
    lag = batch_norm_lag(sound, x, y)
    assert lag is not None and lag.lags  # re-estimation hides the wrong scale
    model, remark = network_to_measure(sound, x, y, alternatives=lambda: (x, alternative_normalizations(x)))
    assert model is sound and "normalised as 'none'" in remark and "lag" not in remark


def test_the_normalisation_of_a_lagging_network_is_found_by_copies(lagging: nn.Module, samples: Samples) -> None:
    x, y = samples
    by_evaluation, _ = compare(lagging, x, y, normalizations(x))
    scaling, text = choose(lagging, x, y, "auto", x)
    assert by_evaluation == "bytes" and text.startswith("none: ") and "batch norm is re-estimated" in text
    assert scaling == normalizations(x)["none"]


def test_statistics_of_some_classes_are_said_to_be_that(lagging: nn.Module, samples: Samples) -> None:
    x, y = samples
    _, remark = network_to_measure(lagging, x[y < 4], y[y < 4])
    assert "With samples of all 10 classes, not of 4, they would be others" in remark
    assert "With samples of all" not in network_to_measure(lagging, x, y)[1]


def test_a_copy_made_in_inference_mode_can_be_trained(lagging: nn.Module, samples: Samples) -> None:
    with torch.inference_mode():
        re_estimated = nmfdiag.re_estimate_batch_norm(lagging, samples[0])
    re_estimated(samples[0]).sum().backward()
    assert all(parameter.grad is not None for parameter in re_estimated.parameters())


def test_many_samples_are_compared_in_part_and_all_re_estimate(lagging: nn.Module) -> None:
    x, y = digits(1300)
    model, remark = network_to_measure(lagging, x, y)
    expected = state(nmfdiag.re_estimate_batch_norm(lagging, x))
    assert same(expected, state(model)) == list(expected) and "of 1,000 samples" in remark


def test_an_opened_network_is_the_re_estimated_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = lookup("digits-mlp-p0-s0")
    pool, weights = entry.load_pool(), entry.load_model().state_dict()
    lagging = {name: torch.zeros_like(v) if "running_mean" in name else v.clone() for name, v in weights.items()}
    save_file(lagging, tmp_path / "w.safetensors")
    stored = pool.inputs * torch.tensor(entry.std)[:, None, None] + torch.tensor(entry.mean)[:, None, None]
    np.savez(tmp_path / "train.npz", x=stored[:N].numpy(), y=pool.given_labels[:N].numpy())
    files = ["--weights", str(tmp_path / "w.safetensors"), "--data", str(tmp_path / "train.npz")]
    small = ["--layers", "fc1", "--methods", "pca", "--classes", "0", "1"]

    assert main(["diagnose", *files, *small, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    remark = record["remarks"][0]
    assert record["train_accuracy"] > 0.97 and "Measured is a re-estimated copy" in remark
    assert record["provenance"][BATCH_NORM] == remark
    assert main(["zoo", "open", "mine", *files, "--json", "--out", str(tmp_path / "zoo")]) == 0
    opened = json.loads(capsys.readouterr().out)
    assert opened["pool_accuracy"] > 0.97 and not opened["problems"] and BATCH_NORM in opened["provenance"]
    assert json.loads((tmp_path / "zoo" / "mine" / "entry.json").read_text())["trained_with"][BATCH_NORM]
    assert "re-estimated copy" in concerns(1.0, opened)[0] and not concerns(1.0, {"preflight": {}})
