"""The shipped networks are what their records say; damage is found; training follows the recipe."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nmfdiag.data.datasets import load
from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.recipes import RECIPES, recipe
from nmfdiag.zoo.registry import SHIPPED, entries, lookup
from nmfdiag.zoo.store import keep, verify
from nmfdiag.zoo.training import train, training_set


def test_shipped_networks_fit_their_given_labels() -> None:
    zoo = entries()
    assert set(zoo) <= set(RECIPES)
    for family in {(r.dataset, r.arch) for r in RECIPES.values()}:  # not every recipe is shipped: 60 MB in all
        shipped = {e.recipe.label_noise for e in zoo.values() if (e.recipe.dataset, e.recipe.arch) == family}
        assert {0.0, 1.0} <= shipped
    assert all(entry.train_accuracy >= 0.99 for entry in zoo.values())
    assert all(RECIPES[name] == entry.recipe for name, entry in zoo.items())


@pytest.mark.parametrize("name", ["digits-cnn-p0.4-s1", "digits-mlp-p1-s0", "fashion_mnist-mlp-p0.2-s0"])
def test_recomputed_accuracies_are_the_recorded_ones(name: str) -> None:
    assert verify(lookup(name)) == []


@pytest.mark.real_data
def test_accuracies_on_the_real_data_set(data_root: Path) -> None:
    assert verify(lookup("fashion_mnist-mlp-p0-s0"), root=str(data_root)) == []


def test_damage_is_found(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "digits-mlp-p0-s0", tmp_path / "digits-mlp-p0-s0")
    shutil.copytree(SHIPPED / "pools", tmp_path / "pools")
    entry = replace(lookup("digits-mlp-p0-s0"), folder=tmp_path / "digits-mlp-p0-s0")
    assert verify(entry) == []
    weights = entry.files["weights"]
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    assert "hash" in verify(entry)[0]
    weights.unlink()
    assert "missing" in verify(entry)[0]


def test_training_follows_the_recipe(tmp_path: Path) -> None:
    short = replace(recipe("digits-mlp-p0-s0"), n_train=200, max_epochs=12)
    dataset = load("digits")
    lines: list[dict[str, float]] = []
    trained = train(short, on_epoch=lines.append)
    again = train(short)
    assert [line["epoch"] for line in trained.log] == list(range(1, len(trained.log) + 1)) and lines == trained.log
    assert trained.test_accuracy == again.test_accuracy > 0.6
    rates = [line["learning_rate"] for line in trained.log]
    assert rates[0] == short.learning_rate and rates[-1] < rates[0] / 4
    entry = keep(short, trained, training_set(short, dataset), dataset, tmp_path)
    assert verify(entry) == []
    assert json.loads((entry.folder / "entry.json").read_text())["recipe"]["n_train"] == 200


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(NmfdiagError, match="digits-mlp-p0-s0"):
        lookup("mnist-cnn-p3-s9")
    with pytest.raises(NmfdiagError, match="No zoo network"):
        recipe("mnist-cnn-p3-s9")
