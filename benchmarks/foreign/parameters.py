"""From how many parameters per training sample on AuC no longer tells random labels from right ones: ``python benchmarks/foreign/parameters.py OUT.csv``.

The zoo's convolutional network on scikit-learn's digits, in several widths, each trained on right labels (p = 0) and on random ones (p = 1) until they are fitted. A line
has the mean AuC that networks are compared by, and the finding among the reference networks. What is there is not measured again.
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

WIDTHS, N_TRAIN, SEED = (8, 16, 32, 64, 128), 300, 0
FITTED, MOST_EPOCHS, BATCH, COOL_DOWN = 0.98, 100, 50, 5
COLUMNS = "arch width n_train p seed parameters parameters_per_sample train_accuracy test_accuracy auc auc_log finding finding_log torch".split()


def trained(model: nn.Module, inputs: Tensor, labels: Tensor) -> nn.Module:
    """Train until the labels are fitted, then a few epochs at a falling rate."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.0)
    order, n_cooled = torch.Generator().manual_seed(SEED), 0
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


def row_of(width: int, p: float) -> dict[str, object]:
    """Train a network and compare it."""
    train, test = load("digits", "train"), load("digits", "test")
    index = stratified_subset(train.labels, N_TRAIN, SEED)
    labels = randomize_labels(train.labels[index], p, 10, seed=SEED).given
    inputs, test_inputs = train.inputs[index].float() / 255, test.inputs.float() / 255
    model = build("cnn", tuple(inputs.shape[1:]), 10, seed=SEED, width=width)
    model = trained(model, inputs, labels)
    profile = nmfdiag.layer_profile(model, inputs, labels, per_class=20, seed=SEED)
    comparison = compare_network(profile, kind="convolutional")
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    places = comparison.places
    return {
        "arch": "cnn", "width": width, "n_train": len(inputs), "p": p, "seed": SEED, "parameters": n_parameters,
        "parameters_per_sample": round(n_parameters / len(inputs)),
        "train_accuracy": f"{accuracy(model, inputs, labels):.4f}",
        "test_accuracy": f"{accuracy(model, test_inputs, test.labels):.4f}",
        **{name: f"{places[axis].value:.4f}" if places else "" for name, axis in (("auc", "linear"), ("auc_log", "log"))},
        **{name: finding(places[axis]) if places else comparison.reason for name, axis in (("finding", "linear"), ("finding_log", "log"))},
        "torch": torch.__version__,
    }  # fmt: skip


def main(path: Path) -> None:
    """Measure what is not there yet."""
    rows = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    finished = {(row["width"], row["p"]) for row in rows}
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for width, p in product(WIDTHS, (0.0, 1.0)):
            if (str(width), str(p)) not in finished:
                writer.writerow(row_of(width, p))
                file.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
