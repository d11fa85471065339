"""A command computes the results of a user's own network once, and again after a change of anything that they depend on."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_network import MODULE_CODE, Stranger
from safetensors.torch import load_file, save_file

from nmfdiag.cli import MISTAKE, OK, main
from nmfdiag.commands.outcome import WRONG
from nmfdiag.jobs import own_results, requests
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.weights_digest import weights_digest
from nmfdiag.measures.preflight.network_check import Preflight, preflight

Capture = pytest.CaptureFixture[str]
N_CURVES = 9  # three layers, three classes
N_RESULTS = N_CURVES + 2  # and the check, and the labels' scores


@pytest.fixture
def folder(stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with copies of the stranger's files and an empty cache."""
    monkeypatch.setenv("NMFDIAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("weights.safetensors", "samples.npz", "activations.npz", "network.pt2", "stranger_code.py"):
        (tmp_path / name).write_bytes((stranger.folder / name).read_bytes())
    return tmp_path


WAY = ["--arch", "mlp", "--weights", "weights.safetensors", "--data", "samples.npz", "--normalization", "none"]


def record_of(capsys: Capture, *command: str) -> dict[str, Any]:
    assert main([*command, "--json"]) == OK, capsys.readouterr().err
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return record


def n_reused(capsys: Capture, *command: str) -> tuple[int, int]:
    """Return how many results of a diagnosis came from the cache, and how many there are."""
    counts = record_of(capsys, "diagnose", *command)["provenance"]["results"]
    reused, n_results = counts.removesuffix(" from the cache").split(" of ")
    return int(reused), int(n_results)


def without_origin(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("provenance", "preflight", "files")}


def forbid_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("it is computed again")

    for name in ("compression_curves", "suspects", "preflight"):
        monkeypatch.setattr(own_results, name, fail)


@pytest.mark.parametrize(
    "way",
    [WAY, ["--activations", "activations.npz"], ["--exported", "network.pt2", "--trust", *WAY[4:]]],
    ids=["weights", "activations", "exported"],
)
def test_diagnose_check_and_report_compute_once(
    way: list[str], folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncached = record_of(capsys, "diagnose", *way, "--no-cache")
    first = record_of(capsys, "diagnose", *way)
    assert first["provenance"]["results"].startswith("0 of ")
    forbid_computing(monkeypatch)
    second = record_of(capsys, "diagnose", *way)
    assert without_origin(first) == without_origin(second) == without_origin(uncached)
    reused, n_results = n_reused(capsys, *way)
    assert reused == n_results
    report = record_of(capsys, "report", *way, "--suspects", "0")
    assert report["answers"] == first["answers"] and report["comparison"] == first["comparison"]
    assert {row["layer"] for row in report["layers"]} == {row["layer"] for row in first["layers"]}
    record_of(capsys, "check", *way, "--below", "0.01")


def test_the_check_is_not_timed_again(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    first = record_of(capsys, "diagnose", *WAY, "--preflight")
    monkeypatch.setattr(own_results, "preflight", None)
    assert record_of(capsys, "diagnose", *WAY, "--preflight") == first
    assert n_reused(capsys, *WAY) == (1, N_RESULTS)


def test_the_check_is_about_all_draws(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    draws: list[int] = []

    def check(*network: Any, n_draws: int, **options: Any) -> Preflight:
        draws.append(n_draws)
        return preflight(*network, n_draws=n_draws, **options)

    monkeypatch.setattr(own_results, "preflight", check)
    for option in ([], ["--draws", "3"], ["--draws", "3"]):  # the last one is cached
        record_of(capsys, "diagnose", *WAY, "--preflight", *option)
    assert draws == [1, 3]


def test_suspects_are_scored_once(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    first = record_of(capsys, "suspects", *WAY)
    with monkeypatch.context() as patch:
        forbid_computing(patch)
        assert record_of(capsys, "suspects", *WAY) == first
        for option in (["--layers", "fc1"], ["--per-class", "5"], ["--nmf-ratio"]):
            with pytest.raises(AssertionError, match="computed again"):
                main(["suspects", *WAY, *option])
    assert len(record_of(capsys, "suspects", *WAY, "--per-class", "5")["suspects"]) == 15
    page = record_of(capsys, "report", *WAY)
    forbid_computing(monkeypatch)
    assert record_of(capsys, "report", *WAY)["answers"] == page["answers"]


def change_weight(folder: Path) -> None:
    state = load_file(folder / "weights.safetensors")
    next(value for value in state.values() if value.is_floating_point()).view(-1)[0] += 1e-6
    save_file(state, folder / "weights.safetensors")


def change_bias_sign(folder: Path) -> None:
    state = load_file(folder / "weights.safetensors")
    name = [name for name in state if name.endswith("bias")][-1]
    state[name] = -state[name]
    save_file(state, folder / "weights.safetensors")


def change_samples(folder: Path, change: Callable[[np.ndarray, np.ndarray], None]) -> None:
    with np.load(folder / "samples.npz") as file:
        images, labels = file["x"].copy(), file["y"].copy()
    change(images, labels)
    np.savez(folder / "samples.npz", x=images, y=labels)


def change_pixel(folder: Path) -> None:
    def change(images: np.ndarray, labels: np.ndarray) -> None:
        images.reshape(-1)[-1] ^= 1

    change_samples(folder, change)


def swap_labels(folder: Path) -> None:
    def change(images: np.ndarray, labels: np.ndarray) -> None:
        labels[[0, -1]] = labels[[-1, 0]]

    change_samples(folder, change)


def swap_samples(folder: Path) -> None:
    def change(images: np.ndarray, labels: np.ndarray) -> None:
        images[[0, -1]] = images[[-1, 0]]

    change_samples(folder, change)


@pytest.mark.parametrize("change", [change_weight, change_bias_sign, change_pixel, swap_labels, swap_samples])
def test_other_weights_samples_or_labels_are_computed(
    change: Callable[[Path], None], folder: Path, capsys: Capture
) -> None:
    assert n_reused(capsys, *WAY) == (0, N_RESULTS)
    change(folder)
    assert n_reused(capsys, *WAY) == (0, N_RESULTS)


@pytest.mark.parametrize(
    ("options", "reusable"),
    [
        (["--classes", "0", "1"], 0),  # other samples
        (["--normalization", "half"], 0),
        (["--per-class", "6"], 0),
        (["--methods", "pca"], 1),  # the labels' scores
        (["--methods", "nmf", "pca"], N_CURVES + 1),
        (["--layers", "fc2"], 4),
        (["--draws", "2"], N_CURVES + 1),  # the check is of two draws
    ],
)
def test_other_options_reuse_only_what_they_do_not_change(
    options: list[str], reusable: int, folder: Path, capsys: Capture
) -> None:
    n_reused(capsys, *WAY)
    way = WAY[: -2 * ("--normalization" in options)] or WAY
    reused = n_reused(capsys, *way, *options)[0]
    assert reused == reusable
    cached = record_of(capsys, "diagnose", *way, *options)
    assert without_origin(cached) == without_origin(record_of(capsys, "diagnose", *way, *options, "--no-cache"))


@pytest.mark.parametrize("change", ["nmfdiag", "torch", "curves", "labels", "check"])
def test_another_version_computes(change: str, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    n_reused(capsys, *WAY)
    if change == "nmfdiag":
        monkeypatch.setattr(requests, "__version__", "999")
    elif change == "torch":
        monkeypatch.setattr(requests, "version", lambda package: "999")
    else:
        monkeypatch.setitem(requests.OWN_SCHEMAS, {"curves": "curve"}.get(change, change), 999)
    requests._key.cache_clear()
    expected = {"curves": 2, "labels": N_CURVES + 1, "check": N_CURVES + 1}.get(change, 0)
    assert n_reused(capsys, *WAY) == (expected, N_RESULTS)
    requests._key.cache_clear()


def test_own_code_is_computed_each_time(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    way = ["--model", "stranger_code:make", *WAY[2:]]
    for code in (MODULE_CODE, MODULE_CODE + "\n"):
        (folder / "stranger_code.py").write_text(code)
        assert n_reused(capsys, *way) == (0, N_RESULTS)
    assert CurveCache().stats()["curves"] == 0


@pytest.mark.parametrize("way", [WAY, ["digits-mlp-p0-s1", "--layers", "fc1", "--classes", "0", "--per-class", "5"]])
def test_without_the_cache_nothing_is_read_or_kept(way: list[str], folder: Path, capsys: Capture) -> None:
    record_of(capsys, "diagnose", *way)
    n_results = CurveCache().stats()["curves"]
    assert n_results
    record_of(capsys, "diagnose", *way, "--no-cache")
    assert CurveCache().stats()["curves"] == n_results
    CurveCache().clear()
    record_of(capsys, "diagnose", *way, "--no-cache")
    assert CurveCache().stats()["curves"] == 0


def test_a_damaged_or_misplaced_result_is_computed(folder: Path, capsys: Capture) -> None:
    record_of(capsys, "diagnose", *WAY)
    cache = CurveCache()
    rows = cache._on_disk(lambda disk: disk.read(None), [])
    (key, _), (_, content) = rows[0], rows[1]
    cache._on_disk(lambda disk: disk.set(key, content), None)
    assert n_reused(capsys, *WAY) == (N_RESULTS - 1, N_RESULTS)


def test_the_digest_sees_form_and_type_and_code() -> None:
    results = own_results.OwnResults(CurveCache(), "mlp")
    inputs, labels = torch.rand(4, 6), torch.tensor([0, 1, 0, 1])
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
    digest = results.digest(model, inputs, labels)
    assert results.digest(model, inputs.clone(), labels.clone()) == digest
    leaky = torch.nn.Sequential(model[0], torch.nn.LeakyReLU(), model[2])
    other_digests = [
        results.digest(leaky, inputs, labels),
        results.digest(model.double(), inputs, labels),
        results.digest(model.float(), inputs.reshape(4, 2, 3), labels),
        results.digest(model, inputs, labels.int()),
        results.digest(model, inputs.double(), labels),
        own_results.OwnResults(CurveCache(), "other").digest(model, inputs, labels),
    ]
    assert len({digest, *other_digests}) == 7


def test_the_digest_sees_the_type_of_the_weights() -> None:
    results = own_results.OwnResults(CurveCache(), "mlp")
    inputs, labels = torch.rand(4, 6), torch.tensor([0, 1, 0, 1])
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).half()
    same_bytes = copy.deepcopy(model)
    for parameter in same_bytes.parameters():
        parameter.data = parameter.data.view(torch.bfloat16)
    assert weights_digest(model) == weights_digest(same_bytes)
    assert results.digest(model, inputs, labels) != results.digest(same_bytes, inputs, labels)


def test_the_training_set_size_changes_what_is_said_and_no_number(folder: Path, capsys: Capture) -> None:
    first = record_of(capsys, "diagnose", *WAY)
    assert first["training_set"]["size"] is None
    sized = record_of(capsys, "diagnose", *WAY, "--train-size", "50000")
    assert sized["training_set"] == first["training_set"] | {"size": 50_000}
    assert sized["provenance"]["results"] == f"{N_RESULTS} of {N_RESULTS} from the cache"
    assert sized["answers"] == first["answers"] and sized["layers"] == first["layers"]
    assert any(remark.startswith("Judged by 36 of its 50,000 training samples") for remark in sized["remarks"])
    for size in (None, 50_000):
        option = [] if size is None else ["--train-size", str(size)]
        assert record_of(capsys, "suspects", *WAY, *option)["train_size"] == size
    assert main(["suspects", *WAY, "--train-size", "40"]) == OK
    assert "Judged by 36 of its 40 training samples" in capsys.readouterr().out
    for command in ("diagnose", "suspects"):
        assert main([command, *WAY, "--train-size", "35"]) == MISTAKE
        assert "expected a whole number of at least 36, the number of samples given" in capsys.readouterr().err
    assert main(["diagnose", "digits-mlp-p0-s0", "--train-size", "1200"]) == MISTAKE
    assert "--train-size goes with --weights, --model or --exported, not with NAME." in capsys.readouterr().err


@pytest.mark.parametrize("command", ["diagnose", "check", "report", "suspects"])
def test_the_training_set_has_at_least_all_samples_of_the_data(command: str, folder: Path, capsys: Capture) -> None:
    part = ["--per-class", "4"]  # 12 of 36 samples
    assert main([command, *WAY, *part, "--train-size", "35"]) == MISTAKE
    assert "expected a whole number of at least 36, the number of samples given" in capsys.readouterr().err
    assert main([command, *WAY, *part, "--train-size", "36", "--json"]) in (OK, WRONG)


def test_answers_on_selected_classes_are_about_these(folder: Path, capsys: Capture) -> None:
    for option in ([], ["--train-size", "400"]):
        remarks = record_of(capsys, "diagnose", *WAY, "--classes", "2", "0", "2", *option)["remarks"]
        [extent] = [remark for remark in remarks if remark.startswith("Judged by")]
        assert extent.endswith(
            " 24 of its training samples, from classes 0 and 2 alone: the answers are about these classes."
        )
    remarks = record_of(capsys, "diagnose", *WAY, "--classes", "0", "1", "2", "--train-size", "36")["remarks"]
    assert "Judged by all of its 36 training samples." in remarks


def test_an_opened_network_keeps_the_size_of_its_training_set(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMFDIAG_ZOO", str(folder / "zoo"))
    record_of(capsys, "zoo", "open", "mine", *WAY, "--train-size", "1000")
    diagnosis = record_of(capsys, "diagnose", "mine", "--per-class", "5")
    assert diagnosis["training_set"]["size"] == 1000 and diagnosis["training_set"]["samples"] == 36
    assert main(["zoo", "open", "other", *WAY, "--train-size", "35"]) == MISTAKE
