"""The jury's recipe is what it says; one of its networks is trained and opened again."""

import importlib
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

JURY = Path(__file__).parents[1] / "benchmarks" / "jury"
FILES = ("recipe", "architectures", "samples", "train", "open_network", "controls", "before")


@pytest.fixture
def jury(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the benchmark's modules; other benchmarks have files of the same names."""
    monkeypatch.syspath_prepend(str(JURY))
    for name in FILES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    modules = {name: importlib.import_module(name) for name in FILES}
    for name in FILES:
        monkeypatch.delitem(sys.modules, name)
    return modules


def test_the_recipe_is_what_it_says(jury: dict[str, Any]) -> None:
    recipe = jury["recipe"]
    networks = recipe.networks()
    assert (
        len(networks)
        == len({network.name for network in networks})
        == len({network.seed for network in networks})
        == 142
    )
    halves = {half: [network for network in networks if network.half == half] for half in recipe.HALVES}
    pairs = {half: {(network.dataset, network.arch) for network in members} for half, members in halves.items()}
    assert pairs["development"].isdisjoint(pairs["judged"])
    for members in halves.values():
        assert len(members) >= 70
        assert {network.dataset for network in members} == set(recipe.DATA)
        assert {network.arch for network in members} == set(recipe.ARCHITECTURES)
        assert {network.training for network in members} == set(recipe.STYLES)
        shares = Counter(network.p for network in members)
        assert set(shares) == set(recipe.SHARES)
        assert 0.3 < (shares[0] + shares[0.05]) / len(members) < 0.36 and shares[0] >= 16
        assert {network.kind for network in members if 0 < network.p <= 0.4} == set(recipe.KINDS[1:])


def test_each_network_can_be_trained(jury: dict[str, Any]) -> None:
    recipe = jury["recipe"]
    for network in recipe.networks():
        data, style = recipe.DATA[network.dataset], network.style
        assert (network.kind == recipe.CLEAN) == (network.p == 0)
        assert network.kind == recipe.UNIFORM or network.p <= 0.4
        assert network.n * (1.2 if style.patience else 1) <= data.pool
        assert not (style.is_augmented and data.is_table)
        assert network.p < 1 or network.training not in ("under_fitted", "early_stopped", "augmented")


def test_the_order_is_balanced_and_cheap_first(jury: dict[str, Any]) -> None:
    recipe = jury["recipe"]
    networks = recipe.networks()
    tiers = [recipe.DATA[network.dataset].tier for network in networks]
    assert tiers == sorted(tiers)
    for n in range(1, len(networks)):
        counts = Counter(network.half for network in networks[:n])
        assert abs(counts["development"] - counts["judged"]) <= 6
    for tier in (0, 1):
        members = [network for network in networks if recipe.DATA[network.dataset].tier == tier]
        first_shares = [network.p for network in members[: len(members) // 2]]
        assert 0.25 < sum(p <= 0.05 for p in first_shares) / len(first_shares) < 0.45
        assert sum(p >= 0.4 for p in first_shares) / len(first_shares) > 0.25


@pytest.mark.parametrize("arch", ["mlp", "cnn", "residual", "depthwise", "no_norm", "group_norm", "conv1d", "gelu"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (13,)])
def test_each_architecture_takes_its_inputs(jury: dict[str, Any], arch: str, shape: tuple[int, ...]) -> None:
    if len(shape) == 1 and arch not in ("mlp", "conv1d", "gelu"):
        return
    assert jury["architectures"].build(arch, shape, 4, 0.1)(torch.zeros(2, *shape)).shape == (2, 4)


def test_a_network_is_trained_and_opened_again(
    jury: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "wine-conv1d-n120-look_alike-0.4-first_fit"
    for _ in range(2):
        jury["train"].main(tmp_path, [name])
    assert capsys.readouterr().out.count(f" {name}:") == 1  # what is there isn't trained again
    network = next(network for network in jury["recipe"].networks() if network.name == name)
    model, inputs, given_labels, record = jury["open_network"].opened(tmp_path, network)
    assert float((given_labels.numpy() != record["true"]).mean()) == pytest.approx(0.4)
    with torch.no_grad():
        accuracy = (model(inputs).argmax(1) == given_labels).float().mean()
    assert float(accuracy) == pytest.approx(float(record["eval_mode"])) and accuracy > 0.9


@pytest.mark.parametrize(("kind", "p"), [("uniform", 0.1), ("pair_flip", 0.4), ("look_alike", 0.2), ("uniform", 1.0)])
def test_label_errors_are_of_their_kind(jury: dict[str, Any], kind: str, p: float) -> None:
    network = jury["recipe"].JuryNetwork("digits", "mlp", 900, kind, p, "early_stopped")
    rows, held_out_rows = jury["samples"].drawn_rows(network)
    assert len(rows) == 900 and len(held_out_rows) == 180 and not set(rows.tolist()) & set(held_out_rows.tolist())
    true = jury["samples"].dataset("digits", "train").labels[rows]
    confusions = torch.zeros(len(true), 10)
    confusions[::2, 7] = 1.0  # every second sample looks like a 7
    noisy = jury["samples"].given_labels(network, true, 10, confusions)
    is_wrong = noisy != true
    if p == 1:
        assert 0.85 < float(is_wrong.float().mean()) < 0.95  # one of ten is right by chance
        return
    assert int(is_wrong.sum()) == round(p * 900)
    if kind == "pair_flip":
        assert torch.equal(noisy[is_wrong], (true[is_wrong] + 1) % 10)
    if kind == "look_alike":
        assert set(noisy[is_wrong].tolist()) == {7} and not is_wrong[1::2].any()
    if kind == "uniform":
        assert set(((noisy - true) % 10).tolist()) == set(range(10))


def test_spectrograms_move_in_time_only(jury: dict[str, Any]) -> None:
    image = torch.zeros(50, 1, 16, 16)
    image[:, 0, 8, 8] = 1.0
    generator = torch.Generator().manual_seed(0)
    for name, rows in (("spoken_digits", {8}), ("mnist", {6, 7, 8, 9, 10})):
        places = torch.nonzero(jury["train"].augmented(image, name, generator))
        assert set(places[:, 2].tolist()) == rows and set(places[:, 3].tolist()) == {6, 7, 8, 9, 10}


def test_an_unknown_name_is_refused(jury: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no network 'digits'"):
        jury["train"].main(tmp_path, ["digits"])


def test_the_controls_are_of_the_development_half(jury: dict[str, Any]) -> None:
    members = jury["controls"].members()
    assert {network.half for network in members} == {"development"} and len(members) == 40
    names = {network.name for network in members}
    for network in jury["recipe"].networks():
        is_small = network.n <= 2000 and network.arch != "resnet18"
        if network.half == "development" and network.p == 0:
            assert (network.name in names) == is_small


def test_the_controls_batches_are_as_declared(jury: dict[str, Any]) -> None:
    controls, generator = jury["controls"], np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [101, 40, 7])
    score, places = generator.random(len(labels)), generator.permutation(len(labels))
    trusted, suspected = controls.half_batches(labels, score, places)
    for c, size in ((0, 30), (1, 20), (2, 3)):  # the sample in the middle of an odd class is in neither
        middle = np.median(score[labels == c])
        assert len(trusted[c]) == len(suspected[c]) == size
        assert (score[trusted[c]] < middle + 1e-12).all() and (score[suspected[c]] > middle - 1e-12).all()
        assert (labels[trusted[c]] == c).all() and (labels[suspected[c]] == c).all()

    margin = np.where(np.arange(len(labels)) % 4 == 0, 1.0, -1.0) * (1 + generator.random(len(labels)))
    result = SimpleNamespace(
        given=labels,
        suggested=(labels + 1) % 3,
        components={"probe": margin.argsort().argsort() / len(labels)},
        accuracies={"probe of all layers": float((margin < 0).mean())},
    )
    answered = controls.answers(result)
    assert (answered == np.where(margin < 0, labels, (labels + 1) % 3)).all()
    by_label, by_answer = controls.answer_batches(labels, answered, places)
    assert [len(by_label[c]) for c in range(3)] == [len(by_answer[c]) for c in range(3)] == [30, 30, 7]
    for c in range(3):
        assert (labels[by_label[c]] == c).all() and (answered[by_answer[c]] == c).all()
    by_label, by_answer = controls.answer_batches(
        labels, labels, places
    )  # one random order: the same samples, the same batch
    assert all((by_label[c] == by_answer[c]).all() for c in range(3))


def test_the_verdict_before_is_judged_by_its_rule(jury: dict[str, Any]) -> None:
    lines = [
        {"p": p, "finding": verdict, "half": "judged", "reason": ""}
        for p, verdict in (
            *((0.0, "clean"), (0.05, "undecided"), (0.1, "clean"), (0.2, "partly")),
            *((0.2, "clean"), (0.4, "memorising"), (1.0, "refused"), (1.0, "skipped")),
        )
    ]
    table = jury["before"].confusion(lines).splitlines()
    right = {row.split(" | ")[0].strip("| "): row.split(" | ")[-1].strip("| ") for row in table[2:]}
    assert right == {
        **{"0": "1 of 1", "0.05": "0 of 1", "0.1": "-", "0.2": "1 of 2"},
        **{"0.4": "1 of 1", "0.6": "-", "1": "0 of 2", "all": "3 of 7"},
    }
