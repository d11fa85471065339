"""Train the networks of the suspects benchmark, with the margin of every sample in every epoch.

``NMFDIAG_DATA=... python benchmarks/suspects/train.py OUT [NAME ...]`` writes ``OUT/NAME.pth`` (the state dict) and ``OUT/NAME.npz`` (index, given and true
labels, each epoch's margins, confidences and losses as the training saw them). Networks that are there are not trained again.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from recipe import CLEAN, CROSS_VALIDATED, DATA, FOLDS, Data, Setting, settings
from torch import Tensor, nn

from nmfdiag.data.datasets import Dataset, load
from nmfdiag.data.normalization import Normalization
from nmfdiag.data.probe import stratified_subset
from nmfdiag.networks.architectures import build
from nmfdiag.zoo.training import predict, shifted

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""
WEIGHT_DECAY = 5e-4
TEACHER_EPOCHS = 12
"""Epochs of the network whose confusions are the look-alike errors: it is trained on other samples, with augmentation."""


def subset(dataset: Dataset, data: Data, seed: int) -> Tensor:
    """Return the numbers (n,) of a setting's samples."""
    return stratified_subset(dataset.labels, data.n_train, seed)


def given_labels(setting: Setting, true: Tensor, n_classes: int, teacher: Tensor | None) -> Tensor:
    """Return the labels (n,) with the setting's errors: exactly ``round(share n)`` are wrong.

    Args:
        setting: The setting.
        true: True labels (n,).
        n_classes: Number of classes.
        teacher: Probabilities (n, K) of look-alike errors; the true class has 0.
    """
    generator = torch.Generator().manual_seed(1000 + setting.seed)
    n_wrong = round(setting.share * len(true))
    if setting.kind == CLEAN or not n_wrong:
        return true.clone()
    noisy = true.clone()
    if setting.kind == "look_alike":
        assert teacher is not None
        rows = torch.multinomial(teacher.sum(1) + 1e-6, n_wrong, generator=generator)
        weights = (teacher[rows] + 1e-9).scatter(1, true[rows][:, None], 0.0)
        noisy[rows] = torch.multinomial(weights, 1, generator=generator)[:, 0]
        return noisy
    rows = torch.randperm(len(true), generator=generator)[:n_wrong]
    steps = (
        torch.ones(n_wrong, dtype=torch.long)
        if setting.kind == "pair_flip"
        else torch.randint(1, n_classes, (n_wrong,), generator=generator)
    )
    noisy[rows] = (true[rows] + steps) % n_classes
    return noisy


def teacher_probabilities(folder: Path, setting: Setting, train: Dataset, rows: Tensor) -> Tensor:
    """Return what a network trained on right labels of other samples gives each wrong class (n, K); kept in ``OUT/teacher-*.pt``."""
    path = folder / f"teacher-{setting.dataset}-s{setting.seed}.pt"
    if not path.exists():
        data = DATA[setting.dataset]
        other_rows = np.setdiff1d(np.arange(len(train)), rows.numpy())
        if len(other_rows) >= len(rows) // 2:
            teacher_rows = [torch.from_numpy(other_rows)]
            pupils = [torch.arange(len(rows))]
        else:  # a small data set: each half is judged by a network that learnt on the other
            half = torch.arange(len(rows)) % 2 == 0
            teacher_rows, pupils = [rows[half], rows[~half]], [torch.nonzero(~half)[:, 0], torch.nonzero(half)[:, 0]]
        probabilities = torch.zeros(len(rows), train.n_classes)
        for learnt, judged in zip(teacher_rows, pupils, strict=True):
            learnt = learnt[stratified_subset(train.labels[learnt], min(data.n_train, len(learnt)), setting.seed)]
            normalization = Normalization.measure(train.inputs[learnt])
            model, _ = fit(
                data,
                normalization(train.inputs[learnt]),
                train.labels[learnt],
                train,
                setting.seed + 500,
                augmented=setting.dataset != "spoken_digits" and setting.dataset != "digits",
                epochs=TEACHER_EPOCHS,
            )
            probabilities[judged] = torch.softmax(predict(model, normalization(train.inputs[rows[judged]])), 1)
        torch.save(probabilities, path)
    probabilities = torch.load(path, weights_only=True)
    probabilities[torch.arange(len(rows)), train.labels[rows]] = 0
    return probabilities


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return images moved by up to an eighth of their side and mirrored at random."""
    moved = shifted(x, x.shape[-1] // 8, generator)
    is_mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(is_mirrored[:, None, None, None], moved.flip(-1), moved)


def fit(
    data: Data, x: Tensor, y: Tensor, dataset: Dataset, seed: int, *, augmented: bool, epochs: int | None = None
) -> tuple[nn.Module, dict[str, np.ndarray]]:
    """Train a network; return it in evaluation mode, and its history: margin, confidence and loss (epochs, n) of each sample when it was seen."""
    epochs = epochs or data.epochs
    model = build(data.arch, dataset.input_shape, dataset.n_classes, seed=seed, width=data.width).to(
        memory_format=torch.channels_last
    )
    optimizer = torch.optim.AdamW(model.parameters(), data.learning_rate, weight_decay=WEIGHT_DECAY)
    n_steps = epochs * -(-len(x) // data.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, data.learning_rate, total_steps=n_steps, pct_start=WARM_UP
    )
    generator = torch.Generator().manual_seed(seed)
    history = {name: np.zeros((epochs, len(x)), np.float16) for name in ("margin", "confidence", "loss")}
    for epoch in range(epochs):
        model.train()
        images = augment(x, generator) if augmented else x
        for batch in torch.randperm(len(x), generator=generator).split(data.batch_size):
            with torch.autocast("cpu", torch.bfloat16, enabled=data.precision == "bfloat16"):
                logits = model(images[batch].contiguous(memory_format=torch.channels_last)).float()
            loss = F.cross_entropy(logits, y[batch], reduction="none")
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            schedule.step()
            record(history, epoch, batch, logits.detach(), y[batch], loss.detach())
    return model.eval(), history


def record(history: dict[str, np.ndarray], epoch: int, batch: Tensor, logits: Tensor, y: Tensor, loss: Tensor) -> None:
    """Note what the training saw of a batch."""
    own = logits.gather(1, y[:, None])[:, 0]
    best_other = logits.scatter(1, y[:, None], -torch.inf).amax(1)
    history["margin"][epoch, batch] = (own - best_other).clamp(-1000, 1000).numpy()
    history["confidence"][epoch, batch] = torch.softmax(logits, 1).gather(1, y[:, None])[:, 0].numpy()
    history["loss"][epoch, batch] = loss.numpy()


def train_one(folder: Path, setting: Setting) -> None:
    """Train one network of the benchmark, and its folds where cleanlab is asked."""
    data, train = DATA[setting.dataset], load(setting.dataset, "train")
    rows = subset(train, data, setting.seed)
    true = train.labels[rows]
    teacher = teacher_probabilities(folder, setting, train, rows) if setting.kind == "look_alike" else None
    noisy = given_labels(setting, true, train.n_classes, teacher)
    normalization = Normalization.measure(train.inputs[rows])
    x = normalization(train.inputs[rows])
    start, cpu = time.perf_counter(), time.process_time()
    model, history = fit(data, x, noisy, train, setting.seed, augmented=setting.augmented)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    test = load(setting.dataset, "test")
    test_accuracy = (predict(model, normalization(test.inputs)).argmax(1) == test.labels).float().mean()
    fitted = (predict(model, x).argmax(1) == noisy).float().mean()
    torch.save(model.state_dict(), folder / f"{setting.name}.pth")
    np.savez_compressed(
        folder / f"{setting.name}.npz",
        index=rows.numpy(),
        given=noisy.numpy(),
        true=true.numpy(),
        fitted=float(fitted),
        test_accuracy=float(test_accuracy),
        seconds=seconds,
        cpu_seconds=cpu,
        **history,
    )
    print(
        f"{setting.name}: wrong {float((noisy != true).float().mean()):.3f}, fitted {fitted:.3f}, test {test_accuracy:.3f}, {cpu:.0f} CPU s",
        flush=True,
    )


def train_folds(folder: Path, setting: Setting) -> None:
    """Write out-of-fold probabilities (n, K) to ``OUT/NAME-folds.npz``."""
    data, train = DATA[setting.dataset], load(setting.dataset, "train")
    with np.load(folder / f"{setting.name}.npz") as saved:
        rows, noisy = torch.from_numpy(saved["index"]), torch.from_numpy(saved["given"])
    x = Normalization.measure(train.inputs[rows])(train.inputs[rows])
    fold = torch.randperm(len(rows), generator=torch.Generator().manual_seed(setting.seed)) % FOLDS
    probabilities, cpu = torch.zeros(len(rows), train.n_classes), time.process_time()
    for i in range(FOLDS):
        model, _ = fit(data, x[fold != i], noisy[fold != i], train, setting.seed + 100 + i, augmented=setting.augmented)
        probabilities[fold == i] = torch.softmax(predict(model, x[fold == i]), 1)
    np.savez_compressed(
        folder / f"{setting.name}-folds.npz", probabilities=probabilities.numpy(), cpu_seconds=time.process_time() - cpu
    )
    print(f"{setting.name}: folds, {time.process_time() - cpu:.0f} CPU s", flush=True)


def main(folder: Path, names: list[str]) -> None:
    """Train what is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for setting in settings():
        if names and setting.name not in names:
            continue
        if not (folder / f"{setting.name}.npz").exists():
            train_one(folder, setting)
        is_cross_validated = (setting.dataset, setting.kind, setting.share) in CROSS_VALIDATED
        if (
            names
            and is_cross_validated
            and setting.seed == 0
            and not setting.augmented
            and not (folder / f"{setting.name}-folds.npz").exists()
        ):
            train_folds(folder, setting)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
