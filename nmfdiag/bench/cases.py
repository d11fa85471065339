"""The matrices to factorise: activation matrices by case, and the grid of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nmfdiag.bench.bench_network import LAYERS, Say, bench_network
from nmfdiag.bench.table import Row
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.matrix_fold import fold
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup

GRID = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
QUICK_GRID = (1, 2, 4, 8)
QUICK_NETWORK, QUICK_LAYERS, QUICK_IMAGES = "fashion_mnist-cnn-p0-s0", ("conv3_1", "conv4_3"), 20
GPU_CLASSES = 10


@dataclass(frozen=True)
class Options:
    """The options of a benchmark.

    Attributes:
        only: Sections to run.
        shapes: Layers to run them on; empty for all.
        repeats: Rounds of every timing.
        device: ``"cpu"`` or ``"cuda"``.
        quick: Whether to use small matrices and few ranks.
        data: Folder of the data sets.
    """

    only: tuple[str, ...]
    shapes: tuple[str, ...] = ()
    repeats: int = 3
    device: str = "cpu"
    quick: bool = False
    data: str | None = None


@dataclass(frozen=True)
class Case:
    """Activation matrices A of one layer, (batch, rows, channels): one on the CPU, one per class on a GPU."""

    layer: str
    A: Tensor
    ranks: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and channels."""
        return self.A.shape[1], self.A.shape[2]

    @property
    def name(self) -> str:
        classes = f" x {len(self.A)} classes" if len(self.A) > 1 else ""
        return f"{self.layer} {self.shape[0]}x{self.shape[1]}{classes}"


@dataclass(frozen=True)
class Subject:
    """The network that activations are taken from, and one batch ``(images, labels)`` per class."""

    title: str
    model: nn.Module
    layers: tuple[str, ...]
    batches: tuple[tuple[Tensor, Tensor], ...]


def load_subject(options: Options, say: Say) -> Subject:
    """Load or train the network; a quick run uses one from the zoo.

    Raises:
        NmfdiagError: If a requested shape is not among the layers.
    """
    layers: tuple[str, ...]
    if options.quick:
        entry = lookup(QUICK_NETWORK)
        pool = entry.load_pool()
        in_class = pool.given_labels == 0
        batch = (pool.inputs[in_class][:QUICK_IMAGES].to(options.device), pool.given_labels[in_class][:QUICK_IMAGES])
        model, layers, batches, title = entry.load_model(), QUICK_LAYERS, [batch], entry.name
    else:
        bench = bench_network(options.data, say)
        layers = LAYERS
        classes = range(1 if options.device == "cpu" else GPU_CLASSES)
        batches = [(images.to(options.device), labels) for images, labels in map(bench.batch, classes)]
        model, title = bench.model, f"bench network on {bench.data} (held-out accuracy {bench.accuracy:.2f})"
    unknown_shapes = sorted(set(options.shapes) - set(layers))
    if unknown_shapes:
        raise NmfdiagError(f"Unknown shape {unknown_shapes[0]!r}: accepted are {', '.join(layers)}.")
    selected_layers = tuple(layer for layer in layers if not options.shapes or layer in options.shapes)
    return Subject(title, model.to(options.device), selected_layers, tuple(batches))


def cases_of(subject: Subject, quick: bool) -> list[Case]:
    """Compute the activation matrices of every layer of a subject."""
    network = SplitNetwork(subject.model, subject.batches[0][0][:2])
    layer_cases = []
    for layer in subject.layers:
        dim = network.layer(layer).channel_dim
        with torch.no_grad():
            A = torch.stack([fold(network.cut(layer, images).activation, dim) for images, _ in subject.batches])
        layer_cases.append(Case(layer, A, grid(min(A.shape[1:]), quick)))
    return layer_cases


def row_of(section: str, device: str, case: Case, solver: str) -> Row:
    """Return the row of a solver and a case, without times."""
    rows, channels = case.shape
    return Row(section, device, case.name, rows, channels, len(case.ranks), rank_text(case.ranks), solver)


def grid(full_rank: int, quick: bool = False) -> tuple[int, ...]:
    """Return the ranks of :data:`GRID` below the full one, at which every factorisation is exact."""
    return tuple(k for k in (QUICK_GRID if quick else GRID) if k < full_rank)


def rank_text(ranks: Sequence[int]) -> str:
    """Return ranks as in the table."""
    return " ".join(map(str, ranks))
