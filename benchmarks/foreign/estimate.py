"""What the pre-flight promises against what a diagnosis takes, a process a network: ``python benchmarks/foreign/estimate.py OUT.csv``.

Twenty networks: some of the zoo, torchvision's with random weights on scikit-learn's digits, and small ones defined here. Each has few samples and takes
between a few seconds and two minutes. Times are processor seconds of one thread, which a busy machine changes little. Networks in OUT.csv are skipped.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.data.probe import stratified_subset
from nmfdiag.measures.preflight.cost import _Stopwatch
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.provenance import processor_model
from nmfdiag.zoo.registry import lookup

ZOO = {
    "digits-mlp-p0-s0": (10, 20), "digits-mlp-p1-s0": (10, 20), "fashion_mnist-mlp-p0.4-s0": (10, 20), "digits-cnn-p0-s0": (5, 20),
    "digits-cnn-p1-s0": (10, 10), "fashion_mnist-cnn-p1-s0": (5, 20), "cifar10-cnn-p0-s0": (2, 10), "cifar10-cnn-p1-s0": (3, 6),
    "spoken_digits-audio_cnn-p0-s0": (3, 10),
}  # fmt: skip
"""Number of classes, and of samples of each, by name."""
TORCHVISION = {
    "resnet18": (5, 20), "squeezenet1_1": (3, 20), "shufflenet_v2_x0_5": (5, 20), "mobilenet_v2": (2, 10), "alexnet": (2, 20),
    "regnet_x_400mf": (2, 10),
}  # fmt: skip
PLAIN = {"narrow": (10, 20), "wide": (5, 40), "deep": (5, 20), "conv": (5, 20), "gelu": (10, 20)}
SIDE = 64
"""Side of torchvision's images, in pixels."""
COLUMNS = "name classes per_class layers one_pass promised profile diagnosis ratio processor torch".split()


def plain(kind: str) -> nn.Module:
    """Return a network as users write it, with random weights, for digits."""
    if kind == "conv":
        blocks = [nn.Sequential(nn.Conv2d(n, m, 3, padding=1), nn.ReLU()) for n, m in ((1, 48), (48, 48), (48, 96))]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(384, 10))
    width, depth = {"narrow": (32, 2), "wide": (1024, 3), "deep": (128, 12), "gelu": (128, 4)}[kind]
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, width)]
    for _ in range(depth - 1):
        layers += [nn.GELU() if kind == "gelu" else nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(width, 10))


def network_of(name: str) -> tuple[nn.Module, Tensor, Tensor, int, int]:
    """Return a network, its samples, their labels, and the number of classes and of samples of each that are measured."""
    n_classes, per_class = (ZOO | TORCHVISION | PLAIN)[name]
    if name in ZOO:
        entry = lookup(name)
        pool = entry.load_pool()
        model, inputs, labels = entry.load_model(), pool.inputs, pool.given_labels
    else:
        digits = load("digits", "train")
        index = stratified_subset(digits.labels, 500, 0)
        inputs, labels = digits.inputs[index].float() / 255, digits.labels[index]
        torch.manual_seed(0)
        if name in TORCHVISION:
            model = torchvision.models.get_model(name, weights=None, num_classes=10)
            inputs = F.interpolate(inputs, size=(SIDE, SIDE), mode="bilinear").repeat(1, 3, 1, 1)
        else:
            model = plain(name)
    chosen_rows = torch.cat([torch.nonzero(labels == c)[:per_class, 0] for c in range(n_classes)])
    return model.eval(), inputs[chosen_rows], labels[chosen_rows], n_classes, per_class


def measure(name: str) -> dict[str, str]:
    """Measure one network: CPU seconds promised, of the curves alone, and of the whole diagnosis."""
    torch.set_num_threads(1)
    model, inputs, labels, n_classes, per_class = network_of(name)
    methods = ("signed",) if name == "gelu" else ("nmf",)
    options = {"per_class": per_class, "methods": methods}
    with patch.object(_Stopwatch, "slowness", 1.0):  # of the processor, not of the clock
        promised = preflight(model, inputs, labels, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        model(inputs)
        start = time.process_time()
        model(inputs)
        one_pass = time.process_time() - start
    marks: list[float] = []

    def mark(share: float, task: str) -> None:
        if task == "features of all layers" and not marks:  # the curves are finished
            marks.append(time.process_time())

    start = time.process_time()
    nmfdiag.diagnose(model, inputs, labels, on_progress=mark, **options)
    seconds = time.process_time() - start
    return {
        "name": name,
        "classes": str(n_classes),
        "per_class": str(per_class),
        "layers": str(len(promised.layers)),
        "one_pass": f"{one_pass:.3f}",
        "promised": f"{promised.seconds:.1f}",
        "profile": f"{marks[0] - start:.1f}" if marks else "",
        "diagnosis": f"{seconds:.1f}",
        "ratio": f"{promised.seconds / seconds:.2f}",
        "processor": processor_model(),
        "torch": torch.__version__,
    }


def main(path: Path) -> None:
    """Measure each in a separate process, and print how many are within a factor of two."""
    names = {row["name"] for row in csv.DictReader(path.open(encoding="utf-8"))} if path.exists() else set()
    if not names:
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    for name in {**ZOO, **TORCHVISION, **PLAIN}:
        if name not in names:
            subprocess.run([sys.executable, __file__, str(path), name], check=True)
    ratios = sorted(float(row["ratio"]) for row in csv.DictReader(path.open(encoding="utf-8")))
    print(f"{sum(0.5 <= ratio <= 2 for ratio in ratios)} of {len(ratios)} within a factor of two: {ratios}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:
        line = measure(sys.argv[2])
        print(line)
        with Path(sys.argv[1]).open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(line)
