"""The jury's samples: pools that networks are trained on, test samples, label errors."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from recipe import CLEAN, DATA, LOOK_ALIKE, PAIR_FLIP, JuryNetwork
from torch import Tensor

from nmfdiag.data.datasets import SPLITS, Dataset, load
from nmfdiag.data.normalization import Normalization
from nmfdiag.data.probe import stratified_subset

HELD_OUT = 0.2
"""Samples by which early stopping is decided, for each training sample."""


@cache
def dataset(name: str, split: str) -> Dataset:
    """Return the pool of a data set (split ``"train"``), from which all training samples come, or its test samples, in the order of the split."""
    data = DATA[name]
    whole = table(name, split, data.pool) if data.is_table else load(name, split)
    size = min(len(whole), data.pool if split == "train" else data.n_test)
    rows = stratified_subset(whole.labels, size, 0)
    return Dataset(name, split, whole.inputs[rows], whole.labels[rows], whole.class_names, rows=rows)


def table(name: str, split: str, n_train: int) -> Dataset:
    """Return a split of one of scikit-learn's tables: inputs (n, d)."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    bunch = getattr(datasets, f"load_{name}")()
    rows = np.arange(len(bunch.target))
    parts = train_test_split(rows, train_size=n_train, random_state=0, stratify=bunch.target)
    index = torch.from_numpy(np.sort(parts[SPLITS.index(split)]))
    inputs, labels = torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target).long()
    return Dataset(name, split, inputs[index], labels[index], tuple(map(str, bunch.target_names)))


def drawn_rows(network: JuryNetwork) -> tuple[Tensor, Tensor]:
    """Return the rows of the pool that a network is trained on, sorted, and rows held out for early stopping."""
    pool = dataset(network.dataset, "train")
    rows = stratified_subset(pool.labels, network.n, network.seed)
    other_rows = torch.from_numpy(np.setdiff1d(np.arange(len(pool)), rows.numpy()))
    n_held_out = min(len(other_rows), round(HELD_OUT * network.n))
    if not n_held_out:
        return rows, other_rows
    return rows, other_rows[stratified_subset(pool.labels[other_rows], n_held_out, network.seed)]


def prepared(network: JuryNetwork, rows: Tensor) -> tuple[Tensor, Normalization]:
    """Return training samples (n, ...) float32 as the network takes them, and their normalisation."""
    inputs = dataset(network.dataset, "train").inputs[rows]
    normalization = Normalization.measure(inputs)
    return normalization(inputs), normalization


def given_labels(network: JuryNetwork, true: Tensor, n_classes: int, confusions: Tensor | None) -> Tensor:
    """Return the labels (n,) with the network's errors.

    Args:
        network: Its kind of errors and p.
        true: True labels (n,).
        n_classes: Number of classes.
        confusions: Probabilities (n, K) of look-alike errors; needed for that kind only.
    """
    generator = torch.Generator().manual_seed(network.seed)
    if network.kind == CLEAN:
        return true.clone()
    if network.p == 1:
        return torch.randint(n_classes, (len(true),), generator=generator)
    n_wrong, noisy = round(network.p * len(true)), true.clone()
    if network.kind == LOOK_ALIKE:
        assert confusions is not None
        weights = (confusions + 1e-6).scatter(1, true[:, None], 0.0)
        rows = torch.multinomial(weights.sum(1), n_wrong, generator=generator)
        noisy[rows] = torch.multinomial(weights[rows], 1, generator=generator)[:, 0]
        return noisy
    rows = torch.randperm(len(true), generator=generator)[:n_wrong]
    steps = torch.randint(1, n_classes, (n_wrong,), generator=generator)
    noisy[rows] = (true[rows] + (1 if network.kind == PAIR_FLIP else steps)) % n_classes
    return noisy


def record(folder: Path, network: JuryNetwork) -> dict[str, np.ndarray]:
    """Return what ``train.py`` wrote about a network."""
    with np.load(folder / f"{network.name}.npz") as file:
        return dict(file)
