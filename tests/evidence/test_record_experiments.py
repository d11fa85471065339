"""Recording trains and measures tiny runs: watched, resumed and unfinished ones; watching doesn't change training."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nmfdiag.data.datasets import load
from nmfdiag.data.probe import single_class_batches
from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence import record_experiments
from nmfdiag.evidence.record_experiments import WATCHED, measure, record
from nmfdiag.evidence.records import histories
from nmfdiag.zoo.experiments import EXPERIMENTS, FEW_SHOT, experiment
from nmfdiag.zoo.recipes import Recipe
from nmfdiag.zoo.training import train, training_set

TINY = Recipe("digits", "mlp", 0.4, 0, 100, {"width": 16, "depth": 2}, fitted_at=2.0, cool_down=1, max_epochs=3)
WATCHING = ("early-stopping", "few-shot")


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """Shorten the recipes to two runs of three epochs for each experiment that watches training."""
    short = replace(FEW_SHOT["digits-mlp2-s0"], max_epochs=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPERIMENTS, "early-stopping", {"tiny-s0": TINY, "tiny-s1": replace(TINY, seed=1)})
        patch.setitem(EXPERIMENTS, "few-shot", {"tiny-s0": short, "other-s0": replace(short, seed=1)})
        yield


@dataclass(frozen=True)
class Recorded:
    """A folder with the recorded first run of an experiment, the recorded names and the progress messages."""

    folder: Path
    names: list[str]
    messages: list[tuple[str, float]]


@pytest.fixture(scope="module")
def recorded(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recorded]:
    """Record the first run of an experiment, once; tests must not change the folder."""

    @cache
    def record_once(name: str) -> Recorded:
        folder, messages = tmp_path_factory.mktemp("recorded"), []
        names = record(name, folder, only=["tiny-s0"], on_step=lambda *message: messages.append(message))
        return Recorded(folder, names, messages)

    return record_once


def batches_of(recipe: Recipe) -> list[tuple[Tensor, Tensor]]:
    training_data = training_set(recipe, load(recipe.dataset))
    inputs = training_data.normalization(training_data.inputs)
    return [(b.inputs, b.given_labels) for b in single_class_batches(inputs, training_data.labels.given, size=10)]


@pytest.mark.parametrize("name", WATCHING)
def test_a_run_is_recorded_epoch_by_epoch(name: str, recorded: Callable[[str], Recorded]) -> None:
    recording = recorded(name)
    assert recording.names == ["tiny-s0"]
    run = histories(name, recording.folder)["tiny-s0"]
    assert run.finished and run.experiment == name and run.recipe == experiment(name)["tiny-s0"]
    assert run.probe == WATCHED[name] and run.layers == ["fc1", "fc2"]
    assert run.series("epoch") == [1, 2, 3]
    assert run.result["test_accuracy"] == pytest.approx(
        run.series("test_accuracy")[-1], abs=1e-5
    )  # digits: the same samples
    assert [share for _, share in recording.messages] == [pytest.approx(e / 3) for e in (1, 2, 3)]
    for measure_name in run.probe["measures"]:
        values = {v for line in run.epochs for layer in run.layers for v in line["curves"][measure_name][layer]}
        assert values == ({"first", "baseline"} if name == "few-shot" else set(run.epochs[0]["curves"]["nmf"]["fc1"]))
    auc = run.layer_values("nmf", "fc2")
    if name == "early-stopping":
        assert all(value is not None and 0 < value <= 1 for value in auc)
        assert {run.layer_values("nmf on fitted", "fc1", "baseline")[e] for e in range(3)} == {1.0}
        assert run.layer_values("random", "fc1") != run.layer_values("nmf", "fc1")
    else:
        assert auc == [None, None, None] and all(v is not None for v in run.layer_values("nmf", "fc2", "first"))


@pytest.mark.parametrize("name", [pytest.param("early-stopping", marks=pytest.mark.soak), "few-shot"])
def test_what_is_recorded_is_not_run_again(name: str, recorded: Callable[[str], Recorded], tmp_path: Path) -> None:
    shutil.copytree(recorded(name).folder, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / name / "tiny-s0.jsonl").read_bytes()
    assert set(record(name, tmp_path)) == set(experiment(name)) - {"tiny-s0"}
    assert (tmp_path / name / "tiny-s0.jsonl").read_bytes() == before
    assert record(name, tmp_path) == [] and set(histories(name, tmp_path)) == set(experiment(name))


def test_a_killed_run_stays_readable_counts_as_unfinished_and_starts_again(
    recorded: Callable[[str], Recorded], tmp_path: Path
) -> None:
    """Compare the second record with that of an uninterrupted run."""

    def killed(_step: str, share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record("early-stopping", tmp_path, only=["tiny-s0"], on_step=killed)
    path = tmp_path / "early-stopping" / "tiny-s0.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write('{"epoch": 3, "trai')  # the machine stopped while writing
    run = histories("early-stopping", tmp_path)["tiny-s0"]
    assert not run.finished and run.series("epoch") == [1, 2]
    assert record("early-stopping", tmp_path, only=["tiny-s0"]) == ["tiny-s0"]
    run = histories("early-stopping", tmp_path)["tiny-s0"]
    assert run.finished and run.series("epoch") == [1, 2, 3]
    assert sum("recipe" in json.loads(line) for line in path.read_text().splitlines()) == 1
    whole = histories("early-stopping", recorded("early-stopping").folder)["tiny-s0"]
    assert run.epochs == whole.epochs and run.result["test_accuracy"] == whole.result["test_accuracy"]


def test_unknown_names_are_reported_with_those_available(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"Unknown experiment 'late-stopping': accepted are .*few-shot"):
        record("late-stopping", tmp_path)
    with pytest.raises(NmfdiagError, match=r"No network of 'few-shot' has a name that begins with mnist"):
        record("few-shot", tmp_path, only=["mnist"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arch", "precision"),
    [
        ("mlp", "float32"), ("mlp", "bfloat16"), ("cnn", "bfloat16"),
        pytest.param("cnn", "float32", marks=pytest.mark.soak),
    ],
)  # fmt: skip
def test_watching_leaves_the_training_bit_identical(arch: str, precision: str) -> None:
    sizes = {"width": 16, "depth": 2} if arch == "mlp" else {"width": 4}
    recipe = replace(TINY, arch=arch, arch_options=sizes, precision=precision, shift=1)
    batches, measurements = batches_of(recipe)[:1], []

    def watch(model: torch.nn.Module) -> dict:
        measurements.append(measure(model, batches, WATCHED["early-stopping"]["measures"], "coarse", precision))
        return {"curves": measurements[-1]}

    alone, watched = train(recipe), train(recipe, watch=watch)
    assert len(measurements) == 3 and all(values["nmf"] and values["random"] for values in measurements)
    assert [{k: v for k, v in line.items() if k != "curves"} for line in watched.log] == alone.log
    assert (watched.train_accuracy, watched.test_accuracy) == (alone.train_accuracy, alone.test_accuracy)
    weights = alone.model.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in watched.model.state_dict().items())


def test_fitted_samples_alone_are_measured_and_too_few_leave_a_gap() -> None:
    batches = batches_of(TINY)
    model = train(TINY).model
    values = measure(model, batches, ["nmf", "nmf on fitted"], "1")
    assert {layer["baseline"] for layer in values["nmf on fitted"].values()} == {1.0}
    assert all(layer["baseline"] < 1 for layer in values["nmf"].values())  # three epochs don't fit noisy labels
    with torch.no_grad():  # it always answers class 0, so all other classes are wrong
        last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
        last.weight.mul_(1e-3)
        last.bias.copy_(torch.arange(10.0).flip(0))
    assert set(measure(model, batches[1:], ["nmf", "nmf on fitted"], "1")) == {"nmf"}


def test_measures_are_those_that_are_declared() -> None:
    for probe in WATCHED.values():
        assert set(probe["measures"]) <= set(record_experiments.WATCH_MEASURES) and probe["ranks"] in ("1", "coarse")
