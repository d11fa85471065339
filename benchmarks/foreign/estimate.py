"""What the pre-flight promises against what a diagnosis takes, a process a network: ``python benchmarks/foreign/estimate.py OUT OUT.csv``.

``OUT`` is the folder that ``train.py`` filled. Seconds are of the clock, so that it says something on a quiet machine alone.
"""

import csv
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

import nmfdiag
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.zoo.open_network import open_checkpoint

NAMES = ("resnet18-p0", "densenet121-p0", "googlenet-p0", "vgg11_bn-p0")
PER_CLASS = 20
COLUMNS = "name seconds_promised seconds seconds_ratio processor torch".split()


def measure(networks: Path, name: str) -> dict[str, str]:
    """Measure one network: the promised time, the time taken, and their ratio."""
    torch.set_num_threads(1)
    opened = open_checkpoint("auto", networks / f"{name}.pth", networks / f"{name}.npz", per_class=PER_CLASS, seed=0)
    promised = preflight(opened.model, opened.inputs, opened.given_labels, per_class=PER_CLASS, methods=("nmf",))
    start = time.perf_counter()
    nmfdiag.diagnose(opened.model, opened.inputs, opened.given_labels, per_class=PER_CLASS, seed=0)
    seconds = time.perf_counter() - start
    return {
        "name": name,
        "seconds_promised": f"{promised.seconds:.0f}",
        "seconds": f"{seconds:.0f}",
        "seconds_ratio": f"{promised.seconds / seconds:.2f}",
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }


def main(networks: Path, out: Path) -> None:
    """Measure each in a separate process."""
    with out.open("w", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, COLUMNS, lineterminator="\n").writeheader()
    for name in NAMES:
        subprocess.run([sys.executable, __file__, str(networks), str(out), name], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        line = measure(Path(sys.argv[1]), sys.argv[3])
        print(line)
        with Path(sys.argv[2]).open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(line)
