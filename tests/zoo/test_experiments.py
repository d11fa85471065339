"""Declared experiments: factors are balanced against each other, networks are distinct, definitions pick the layers they name."""

from collections import Counter
from dataclasses import FrozenInstanceError, asdict
from itertools import combinations
from typing import Any

import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import ARCHITECTURES
from nmfdiag.zoo.experiments import (
    AXES,
    BATCHES,
    DEFINITIONS,
    EARLY_STOPPING,
    EXPERIMENTS,
    FEW_SHOT,
    FEW_SHOT_SEEDS,
    GENERALIZATION,
    LAYER_SETS,
    PRIMARY,
    Definition,
    experiment,
)
from nmfdiag.zoo.recipes import LABEL_NOISES, Recipe

DATASETS = ("digits", "fashion_mnist")
FACTORS = ("width", "convs", "n_train", "weight_decay", "batch_size", "learning_rate", "shift")


def levels(recipe: Recipe) -> dict[str, Any]:
    fields = {**asdict(recipe), **recipe.arch_options}
    return {name: fields[name] for name in (*FACTORS, "label_noise")}


def network_levels(dataset: str) -> list[dict[str, Any]]:
    return [levels(recipe) for recipe in GENERALIZATION.values() if recipe.dataset == dataset]


def test_there_are_96_distinct_networks_half_of_each_data_set() -> None:
    assert list(GENERALIZATION) == [f"g{i:02}" for i in range(96)]
    assert len({str(recipe) for recipe in GENERALIZATION.values()}) == 96
    assert {dataset: len(network_levels(dataset)) for dataset in DATASETS} == dict.fromkeys(DATASETS, 48)


def test_no_two_networks_differ_in_their_seed_alone() -> None:
    assert len({str(asdict(r) | {"seed": 0}) for r in GENERALIZATION.values()}) == 96


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("factor", FACTORS)
def test_each_factor_has_two_levels_equally_often(dataset: str, factor: str) -> None:
    assert sorted(Counter(network[factor] for network in network_levels(dataset)).values()) == [24, 24]


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("pair", list(combinations((*FACTORS, "label_noise"), 2)), ids="-".join)
def test_every_pair_of_levels_of_two_factors_is_equally_frequent(dataset: str, pair: tuple[str, str]) -> None:
    pairs = Counter((network[pair[0]], network[pair[1]]) for network in network_levels(dataset))
    sizes = [len({network[name] for network in network_levels(dataset)}) for name in pair]
    assert len(pairs) == sizes[0] * sizes[1] and len(set(pairs.values())) == 1


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_combination_comes_at_every_label_noise_with_one_seed(dataset: str) -> None:
    by_seed: dict[int, list[Recipe]] = {}
    for recipe in GENERALIZATION.values():
        if recipe.dataset == dataset:
            by_seed.setdefault(recipe.seed, []).append(recipe)
    assert len(by_seed) == 8
    for recipes in by_seed.values():
        assert [r.label_noise for r in recipes] == list(LABEL_NOISES)
        assert len({str(levels(r) | {"label_noise": None}) for r in recipes}) == 1


def test_every_architecture_and_size_is_one_that_there_is() -> None:
    for recipes in EXPERIMENTS.values():
        for recipe in recipes.values():
            assert recipe.arch in ARCHITECTURES and 0 <= recipe.label_noise <= 1 and recipe.max_epochs > 0


def test_definitions_are_all_combinations_and_the_primary_one_is_among_them() -> None:
    assert len(set(DEFINITIONS)) == len(DEFINITIONS) == len(LAYER_SETS) * len(AXES) * len(BATCHES)
    assert PRIMARY in DEFINITIONS and Definition("all layers", "linear", "single") == PRIMARY
    assert len({definition.text for definition in DEFINITIONS}) == len(DEFINITIONS)
    assert PRIMARY.text == "mean over all layers, linear k, single-class batches"
    assert Definition("last third", "log", "multi").text == "mean over last third, log k, multi-class batches"
    with pytest.raises(FrozenInstanceError):
        PRIMARY.axis = "log"  # type: ignore[misc]


@pytest.mark.parametrize("n", range(3, 17))
def test_thirds_share_the_layers_out_in_order(n: int) -> None:
    layers = [f"conv{i}" for i in range(n)]
    thirds = [Definition(part).members(layers) for part in LAYER_SETS[1:]]
    assert [layer for third in thirds for layer in third] == layers == Definition().members(layers)
    assert max(map(len, thirds)) - min(map(len, thirds)) <= 1


def test_watched_runs_compare_clean_with_noisy_labels_on_the_same_seeds() -> None:
    assert all(name == recipe.name for name, recipe in EARLY_STOPPING.items())
    runs = Counter((r.dataset, r.label_noise) for r in EARLY_STOPPING.values())
    assert len(set(runs.values())) == 1 and min(p for _, p in runs) == 0 < max(p for _, p in runs)


def test_few_shot_runs_differ_in_their_seed_alone_and_never_stop_by_themselves() -> None:
    settings = {name.rpartition("-s")[0] for name in FEW_SHOT}
    assert len(FEW_SHOT) == FEW_SHOT_SEEDS * len(settings)
    for setting in settings:
        recipes = [r for name, r in FEW_SHOT.items() if name.rpartition("-s")[0] == setting]
        assert sorted(r.seed for r in recipes) == list(range(FEW_SHOT_SEEDS))
        assert len({str(asdict(r) | {"seed": 0}) for r in recipes}) == 1
        assert recipes[0].n_train == 20 and recipes[0].fitted_at > 1


def test_experiments_are_found_by_name() -> None:
    assert experiment("generalization") is GENERALIZATION and experiment("few-shot") is FEW_SHOT
    with pytest.raises(NmfdiagError, match=r"Unknown experiment 'figure-5': accepted are generalization, .*few-shot"):
        experiment("figure-5")
