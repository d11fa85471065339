"""Measure what ``nmfdiag.suspects`` takes: CPU seconds, and the peak of the process's memory beside the inputs.

``NMFDIAG_DATA=... python benchmarks/suspects/cost.py N [ARCH WIDTH]`` (default cnn 16) takes N images of CIFAR-10, repeated with a little noise where there are
fewer, a tenth of their labels wrong, and a network with random weights, whose layers separate no labels: none is left out, so that it costs most.
"""

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.data.normalization import Normalization
from nmfdiag.networks.architectures import build
from nmfdiag.provenance import processor_model

WRONG = 0.1
"""Share of wrong labels."""
NOISE = 0.05
"""Standard deviation that tells repeated images apart, in parts of a pixel's."""


def samples(n: int) -> tuple[Tensor, Tensor]:
    """Return normalised images (n, 3, 32, 32) and their given labels (n,); another process makes them, so that this one does not grow."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(write_samples, n, path).result()
        return torch.from_numpy(np.load(path / "inputs.npy")), torch.from_numpy(np.load(path / "labels.npy"))


def write_samples(n: int, folder: Path) -> None:
    """Write ``inputs.npy`` and ``labels.npy``."""
    train = load("cifar10", "train")
    generator = torch.Generator().manual_seed(0)
    normalize = Normalization.measure(train.inputs[:1000])
    inputs = torch.empty(n, *train.input_shape)
    labels = train.labels.repeat(-(-n // len(train.labels)))[:n].clone()
    for start in range(0, n, 1000):
        rows = torch.arange(start, min(start + 1000, n)) % len(train.inputs)
        inputs[start : start + len(rows)] = normalize(train.inputs[rows])
        if start >= len(train.inputs):
            inputs[start : start + len(rows)] += NOISE * torch.randn(
                inputs[start : start + len(rows)].shape, generator=generator
            )
    wrong = torch.rand(n, generator=generator) < WRONG
    labels[wrong] = (labels[wrong] + torch.randint(1, 10, (int(wrong.sum()),), generator=generator)) % 10
    np.save(folder / "inputs.npy", inputs.numpy())
    np.save(folder / "labels.npy", labels.numpy())


def memory(field: str) -> float:
    """Return a figure of this process's memory in GiB: ``VmRSS`` now, ``VmHWM`` at most so far (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 2**20


def main(n: int, arch: str = "cnn", width: int = 16) -> None:
    """Print the figures."""
    inputs, labels = samples(n)
    model = build(arch, inputs.shape[1:], 10, seed=0, width=width).eval()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here: reading the data set took more
    before = memory("VmRSS")
    start = time.process_time()
    nmfdiag.suspects(model, inputs, labels)
    seconds = time.process_time() - start
    peak = memory("VmHWM")
    own = inputs.nbytes / 2**30
    print(
        f"{n} images, {arch} of width {width}: {seconds:.1f} CPU s; peak {peak:.2f} GiB, {peak - own:.2f} beside the inputs "
        f"({before - own:.2f} before the call); {processor_model()}, torch {torch.__version__}"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:4]))
