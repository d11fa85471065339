"""From how many parameters per training sample on AuC no longer tells random labels from right ones: ``python benchmarks/foreign/parameters.py OUT.csv``.

The zoo's convolutional network on scikit-learn's digits, in several widths, and torchvision's ResNet-18, each trained on right labels (p = 0) and on random ones
(p = 1) until they are fitted. A line has the mean AuC that networks are compared by, and the finding among the reference networks. What is there is not measured again.
"""

import csv
import sys
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.data.labels import randomize_labels
from nmfdiag.data.probe import stratified_subset
from nmfdiag.diagnosis.comparison import compare_network
from nmfdiag.diagnosis.verdict import finding
from nmfdiag.networks.architectures import build

WIDTHS, SIZES, SEEDS = (8, 16, 32, 64, 128), (300,), (0, 1)
RESNET_SIZES = (300, 1200)
FITTED, MOST_EPOCHS, BATCH, COOL_DOWN = 0.98, 100, 50, 5
COLUMNS = "arch width n_train p seed parameters parameters_per_sample train_accuracy test_accuracy auc auc_log finding finding_log torch".split()


def trained(model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> nn.Module:
    """Train until the labels are fitted, then a few epochs at a falling rate."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.0)
    order, n_cooled = torch.Generator().manual_seed(seed), 0
    for _ in range(MOST_EPOCHS):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - n_cooled / (COOL_DOWN + 1))
        model.train()
        n_right = 0
        for batch in torch.randperm(len(inputs), generator=order).split(BATCH):
            optimizer.zero_grad()
            logits = model(inputs[batch])
            F.cross_entropy(logits, labels[batch]).backward()
            optimizer.step()
            n_right += int((logits.argmax(1) == labels[batch]).sum())
        if n_cooled or n_right >= FITTED * len(inputs):
            n_cooled += 1
        if n_cooled > COOL_DOWN:
            break
    update_bn([inputs], model)
    return model.eval()


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the share of the labels that the network predicts."""
    with torch.no_grad():
        return float((model(inputs).argmax(1) == labels).float().mean())


def row_of(arch: str, width: int, n_train: int, p: float, seed: int) -> dict[str, object]:
    """Train a network and compare it."""
    train, test = load("digits", "train"), load("digits", "test")
    index = stratified_subset(train.labels, min(n_train, len(train.labels)), seed)
    labels = randomize_labels(train.labels[index], p, 10, seed=seed).given
    inputs, test_inputs = train.inputs[index].float() / 255, test.inputs.float() / 255
    if arch == "cnn":
        model = build("cnn", tuple(inputs.shape[1:]), 10, seed=seed, width=width)
    else:
        inputs, test_inputs = (
            F.interpolate(images, size=(32, 32), mode="bilinear").repeat(1, 3, 1, 1) for images in (inputs, test_inputs)
        )
        model = build(arch, (3, 32, 32), 10, seed=seed)
    model = trained(model, inputs, labels, seed)
    profile = nmfdiag.layer_profile(model, inputs, labels, per_class=20, seed=seed)
    comparison = compare_network(profile, kind="residual" if arch == "resnet18" else "convolutional")
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    places = comparison.places
    return {
        "arch": arch, "width": width, "n_train": len(inputs), "p": p, "seed": seed, "parameters": n_parameters,
        "parameters_per_sample": round(n_parameters / len(inputs)),
        "train_accuracy": f"{accuracy(model, inputs, labels):.4f}",
        "test_accuracy": f"{accuracy(model, test_inputs, test.labels):.4f}",
        **{name: f"{places[axis].value:.4f}" if places else "" for name, axis in (("auc", "linear"), ("auc_log", "log"))},
        **{name: finding(places[axis]) if places else comparison.reason for name, axis in (("finding", "linear"), ("finding_log", "log"))},
        "torch": torch.__version__,
    }  # fmt: skip


def main(path: Path) -> None:
    """Measure what is not there yet, the seeds in turn."""
    rows = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    finished = {tuple(row[name] for name in COLUMNS[:5]) for row in rows}
    settings = [("cnn", width, n) for n, width in product(SIZES, WIDTHS)] + [("resnet18", 64, n) for n in RESNET_SIZES]
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for seed, (arch, width, n), p in product(SEEDS, settings, (0.0, 1.0)):
            if tuple(map(str, (arch, width, n, p, seed))) not in finished:
                writer.writerow(row_of(arch, width, n, p, seed))
                file.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
