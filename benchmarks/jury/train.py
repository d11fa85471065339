"""Train the networks of the jury, each by a plain loop on one thread.

``NMFDIAG_DATA=... python benchmarks/jury/train.py OUT [NAME ...]`` writes for each network that isn't there yet

- ``OUT/NAME.pth``: the state dict, as training left it,
- ``OUT/NAME.npz``: ``index`` (n,) the samples' numbers in the data set's training split, ``given`` and ``true`` labels (n,); ``wrong``, the share of wrong labels;
  ``running``, the last epoch's accuracy as the loop saw it; ``train_mode`` and ``eval_mode``, accuracy of the finished network on the given labels in
  training mode and in evaluation mode; ``test_accuracy`` in evaluation mode; ``eval_mode_restored`` and ``test_accuracy_restored`` after the statistics of batch
  norm were estimated again on the training samples (NaN without batch norm); ``epochs``; ``cpu_seconds`` of the training.

All but the data sets' reading is deterministic on one machine. A network takes 1 to 60 CPU seconds, most below 15.
"""

import copy
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architectures import build
from recipe import DATA, FITTED, HALVES, LOOK_ALIKE, JuryNetwork, networks
from samples import dataset, drawn_rows, given_labels, prepared
from torch import Tensor, nn

import nmfdiag
from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.batch_norm import batch_norms
from nmfdiag.zoo.training import accuracy, predict, shifted

ADAM_RATE, SGD_RATE, MOMENTUM = 1e-3, 0.02, 0.9
TEACHER_EPOCHS = 6
"""Epochs of the network whose confusions are the look-alike errors."""


def augmented(x: Tensor, dataset_name: str, generator: torch.Generator) -> Tensor:
    """Return images (n, c, h, w) moved by up to an eighth of their side, the edges filled with zeros, and mirrored where the data set allows it."""
    is_spectrogram = dataset_name == "spoken_digits"  # a band is a pitch: only time moves
    moved = shifted(x, x.shape[-1] // 8, generator, only_sideways=is_spectrogram)
    if not DATA[dataset_name].is_mirrored:
        return moved
    is_mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(is_mirrored[:, None, None, None], moved.flip(-1), moved)


def faster(x: Tensor) -> Tensor:
    """Return images with the channels last in memory, which a CPU takes a third faster; other inputs as they are."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def batches(n: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Return random batches of at least ``size`` row numbers each where there are as many: batch norm can't do with a single row."""
    return list(torch.randperm(n, generator=generator).chunk(max(1, n // size)))


def epoch_accuracy(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, order: list[Tensor]
) -> float:
    """Train for one epoch; return the accuracy as the loop saw it."""
    model.train()
    n_right = 0
    for rows in order:
        with torch.autocast("cpu", torch.bfloat16, enabled=x.ndim == 4):
            logits = model(faster(x[rows]))
        loss = F.cross_entropy(logits.float(), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        n_right += int((logits.argmax(1) == y[rows]).sum())
    return n_right / len(x)


def fit(
    network: JuryNetwork, x: Tensor, y: Tensor, held_out: tuple[Tensor, Tensor] | None, n_classes: int
) -> tuple[nn.Module, int, float]:
    """Train a network; return it in evaluation mode, the number of epochs, and the last one's accuracy as the loop saw it."""
    torch.manual_seed(network.seed)
    generator, style = torch.Generator().manual_seed(network.seed), network.style
    model = build(network.arch, tuple(x.shape[1:]), n_classes, style.dropout)
    model = model.to(memory_format=torch.channels_last)
    optimizer = (
        torch.optim.SGD(model.parameters(), SGD_RATE, MOMENTUM, weight_decay=style.weight_decay)
        if style.weight_decay
        else torch.optim.Adam(model.parameters(), ADAM_RATE)
    )
    last_epoch = network.max_epochs
    is_fitted, best, best_epoch, best_state, epoch = False, -1.0, 0, {}, 0
    while epoch < last_epoch:
        epoch += 1
        images = augmented(x, network.dataset, generator) if style.is_augmented else x
        running = epoch_accuracy(model, optimizer, images, y, batches(len(x), network.batch_size, generator))
        if held_out is not None:
            share = accuracy(predict(model.eval(), held_out[0]), held_out[1])
            if share > best:
                best, best_epoch, best_state = share, epoch, copy.deepcopy(model.state_dict())
            elif epoch - best_epoch >= (style.patience or 0):
                break
        elif style.epochs is None and running >= FITTED and not is_fitted:
            is_fitted, last_epoch = True, epoch + style.further_epochs
    if best_state:
        model.load_state_dict(best_state)
    return model.eval(), epoch, running


def train_mode_accuracy(network: JuryNetwork, model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return a copy's accuracy in training mode, on random batches of the training's size."""
    torch.manual_seed(network.seed)
    model = copy.deepcopy(model).train()
    n_right = 0
    with torch.no_grad():
        for rows in batches(len(x), network.batch_size, torch.Generator().manual_seed(network.seed)):
            n_right += int((model(x[rows]).argmax(1) == y[rows]).sum())
    return n_right / len(x)


def confusions(folder: Path, dataset_name: str) -> Tensor:
    """Return the probabilities (pool, K) that a network trained on the right labels of the pool's other half gives; kept in ``OUT/teacher-DATASET.npz``."""
    path = folder / f"teacher-{dataset_name}.npz"
    if not path.exists():
        pool = dataset(dataset_name, "train")
        arch = "mlp" if DATA[dataset_name].is_table or dataset_name == "digits" else "cnn"
        torch.manual_seed(0)
        is_first = torch.rand(len(pool), generator=torch.Generator().manual_seed(0)) < 0.5
        probabilities = torch.zeros(len(pool), pool.n_classes)
        for mask in (is_first, ~is_first):
            rows = torch.nonzero(mask)[:, 0]
            teacher = JuryNetwork(dataset_name, arch, len(rows), "clean", 0.0, "first_fit")
            x, normalization = prepared(teacher, rows)
            model = build(arch, tuple(x.shape[1:]), pool.n_classes)
            optimizer = torch.optim.Adam(model.parameters(), ADAM_RATE)
            generator = torch.Generator().manual_seed(0)
            for _ in range(TEACHER_EPOCHS if len(rows) > 1000 else 4 * TEACHER_EPOCHS):
                order = batches(len(x), teacher.batch_size, generator)
                epoch_accuracy(model, optimizer, x, pool.labels[rows], order)
            pupils = torch.nonzero(~mask)[:, 0]
            probabilities[pupils] = torch.softmax(predict(model.eval(), normalization(pool.inputs[pupils])), 1)
        np.savez_compressed(path, probabilities=probabilities.numpy())
        print(f"teacher of {dataset_name}: {accuracy(probabilities, pool.labels):.3f} right out of fold", flush=True)
    with np.load(path) as file:
        return torch.from_numpy(file["probabilities"])


def train_one(folder: Path, network: JuryNetwork) -> None:
    """Train a network and write its files."""
    pool, test = dataset(network.dataset, "train"), dataset(network.dataset, "test")
    rows, held_out_rows = drawn_rows(network)
    teacher = confusions(folder, network.dataset) if network.kind == LOOK_ALIKE else None

    def labels(pool_rows: Tensor) -> Tensor:
        return given_labels(
            network, pool.labels[pool_rows], pool.n_classes, None if teacher is None else teacher[pool_rows]
        )

    y, (x, normalization) = labels(rows), prepared(network, rows)
    held_out = (
        (normalization(pool.inputs[held_out_rows]), labels(held_out_rows))
        if network.style.patience is not None
        else None
    )
    start = time.process_time()
    model, epochs, running = fit(network, x, y, held_out, pool.n_classes)
    seconds = time.process_time() - start
    test_inputs, again = (
        normalization(test.inputs),
        nmfdiag.re_estimate_batch_norm(model, x) if batch_norms(model) else None,
    )
    record = {
        "wrong": float((y != pool.labels[rows]).float().mean()),
        "running": running,
        "train_mode": train_mode_accuracy(network, model, x, y),
        "eval_mode": accuracy(predict(model, x), y),
        "test_accuracy": accuracy(predict(model, test_inputs), test.labels),
        "eval_mode_restored": float("nan") if again is None else accuracy(predict(again, x), y),
        "test_accuracy_restored": float("nan") if again is None else accuracy(predict(again, test_inputs), test.labels),
        "epochs": epochs,
        "cpu_seconds": seconds,
    }
    assert pool.rows is not None
    torch.save(model.state_dict(), folder / f"{network.name}.pth")
    part = folder / f"{network.name}.part.npz"
    np.savez_compressed(part, index=pool.rows[rows], given=y, true=pool.labels[rows], **record)
    os.replace(part, folder / f"{network.name}.npz")
    figures = ", ".join(f"{name} {value:.3f}" for name, value in record.items())
    print(f"{network.half} {network.name}: {figures}", flush=True)


def main(folder: Path, names: list[str]) -> None:
    """Train what is not there: all networks, or those named, or those of a half."""
    folder.mkdir(parents=True, exist_ok=True)
    members = networks()
    accepted = {*HALVES, *(network.name for network in members)}
    if unknown := [name for name in names if name not in accepted]:
        sys.exit(f"There is no network {unknown[0]!r} in the jury.")
    for network in members:
        is_wanted = not names or network.name in names or network.half in names
        if is_wanted and not (folder / f"{network.name}.npz").exists():
            train_one(folder, network)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Usage: python benchmarks/jury/train.py OUT [NAME ...]")
    torch.set_num_threads(1)
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except (NmfdiagError, OSError) as error:
        sys.exit(str(error))
