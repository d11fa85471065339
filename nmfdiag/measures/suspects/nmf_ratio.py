"""How much worse a sample's own class explains its activations than the best other class does, by NMF of each class."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import nmf
from nmfdiag.factorize.kernels import Sweep
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.suspects.features import BATCH
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.text import join

RANK = 8
"""Components of each class."""
PLACES = 64
"""Places of a spatial layer that are read at most, spread evenly. On the zoo's cifar10-cnn-p0.2-s0, AUROC is .83 with 16, .85 with 36, .87 with 64
and .87 with 256."""
FIT_SAMPLES, ALL_FIT_SAMPLES = 128, 2048
"""Samples of a class, and of all classes together, that components are found from at most, spread evenly."""
MOST_BYTES = 2**28
"""Size of the activations that components are found from, of several layers together."""
SWEEPS = 12
"""Sweeps of HALS over a sample's coefficients, the components given."""
MOST_SOLUTIONS = 10**9
"""Largest number of rows fitted to a class: samples, places, classes and layers multiplied. It takes some minutes."""
SMALLEST_ERROR = 1e-6
"""Squared relative error below which a sample counts as explained."""


def nmf_ratios(
    network: SplitNetwork, inputs: Tensor, labels: Tensor, layers: Sequence[str], report: Progress
) -> tuple[np.ndarray | None, list[str]]:
    """Rank samples by the error of NMF (k = 8) in their own class over the least error in another one.

    Each class has its components at each layer, found from the activations of its samples. The error is that of the sample's activations at up to
    :data:`PLACES` places, their coefficients fitted to the components.

    Args:
        network: The network.
        inputs: Samples (n, ...).
        labels: Given labels (n,).
        layers: Names of the layers.
        report: Called with the share done and a few words; may raise to cancel.

    Returns:
        The mean over layers of the ranks (n,), in (0, 1]: higher is more suspicious; None where it can't be computed. And remarks.
    """
    from scipy.stats import rankdata

    classes = [c for c, n in enumerate(torch.bincount(labels).tolist()) if n > 1]
    work = len(inputs) * PLACES * len(classes) * len(layers)
    if work > MOST_SOLUTIONS:
        return None, [
            f"The NMF ratio is left out: {len(inputs):,} samples of {len(classes):,} classes at {len(layers)} layers are too many."
        ]
    n_fit = max(2, min(FIT_SAMPLES, ALL_FIT_SAMPLES // max(1, len(classes))))
    rows_by_class = [_spread_rows(labels, c, n_fit) for c in classes]
    components: dict[str, Tensor] = {}
    for group in _groups(network, layers, sum(map(len, rows_by_class))):
        report(len(components) / len(layers) / 2, "NMF of each class")
        for name, activations in _activations(network, inputs[torch.cat(rows_by_class)], group).items():
            with suppress(NmfdiagError):
                parts = activations.split([len(rows) for rows in rows_by_class])
                components[name] = torch.stack([_components(part.flatten(0, 1)) for part in parts])
    remarks = []
    if skipped := [name for name in layers if name not in components]:
        remarks.append(
            f"The NMF ratio leaves out {join(skipped)}: more than {RANK} channels, none negative, and a live activation of each class are needed."
        )
    if not components or len(classes) < 2:
        return None, remarks
    ratios = {name: torch.empty(len(inputs)) for name in components}
    column = torch.full((int(labels.max()) + 1,), -1)
    column[classes] = torch.arange(len(classes))
    for start in range(0, len(inputs), BATCH):
        report(0.5 + start / len(inputs) / 2, "errors in each class")
        own_columns = column[labels[start : start + BATCH]]
        for name, activation in _activations(network, inputs[start : start + BATCH], list(components)).items():
            errors = _squared_errors(activation, components[name])
            ratios[name][start : start + BATCH] = _ratio(errors, own_columns)
    return np.mean([rankdata(values.numpy()) / len(inputs) for values in ratios.values()], 0), remarks


def _spread_rows(labels: Tensor, class_idx: int, n: int) -> Tensor:
    rows = torch.nonzero(labels == class_idx)[:, 0]
    return rows[torch.linspace(0, len(rows) - 1, min(n, len(rows))).round().long()]


def _groups(network: SplitNetwork, layers: Sequence[str], n: int) -> list[list[str]]:
    """Return the layers in groups whose activations of ``n`` samples are held together."""
    groups: list[list[str]] = [[]]
    n_bytes = 0
    for name in layers:
        layer = network.layer(name)
        size = 4 * n * layer.width * (PLACES if len(layer.output_shape) > 1 else 1)
        if groups[-1] and n_bytes + size > MOST_BYTES:
            groups.append([])
            n_bytes = 0
        groups[-1].append(name)
        n_bytes += size
    return groups


def _components(A: Tensor) -> Tensor:
    """Return H (k, channels) of an activation matrix.

    Raises:
        NmfdiagError: If it is zero, has negative values, or has not more than k channels or rows.
    """
    if min(A.shape) <= RANK:
        raise NmfdiagError(f"There are no more than {RANK} channels or rows.")
    return nmf(A, [RANK], n_starts=1).factors(RANK)[1]


def _activations(network: SplitNetwork, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the activations (n, places, channels) of each layer at some of its places."""

    def reduce(name: str, activation: Tensor, channel_dim: int) -> Tensor:
        places = activation.movedim(channel_dim, -1).flatten(1, -2) if activation.ndim > 2 else activation[:, None]
        n = places.shape[1]
        chosen_places = torch.linspace(0, n - 1, min(PLACES, n)).round().long()
        return places[:, chosen_places.to(places.device)].float().cpu()

    parts = [
        network.prepared.reduce_layers(network.prepared.copy_in_layout(part), layers, reduce)[1]
        for part in inputs.split(BATCH)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in layers if all(name in part for part in parts)}


def _squared_errors(activations: Tensor, components: Tensor) -> Tensor:
    """Return the squared relative error (n, classes) of each sample in each class.

    Args:
        activations: (n, places, channels), not negative.
        components: H of each class (classes, k, channels).
    """
    n, n_places, _ = activations.shape
    A = activations.flatten(0, 1)
    products = components @ A.T  # (classes, k, rows)
    grams = (components @ components.mT).contiguous()
    coefficients = torch.zeros_like(products)
    Sweep([coefficients], [products.clone()], [grams])(SWEEPS)
    explained = (coefficients * (2 * products - grams @ coefficients)).sum(1)  # (classes, rows)
    squares = activations.square().sum((1, 2))[:, None]
    explained = explained.view(len(components), n, n_places).sum(2).T
    return torch.where(squares > 0, 1 - explained / squares, 1.0).clamp_min(SMALLEST_ERROR)


def _ratio(errors: Tensor, own_columns: Tensor) -> Tensor:
    """Return the own class's error over the least other class's (n,); 1 for samples of a class that has no components."""
    own = errors.gather(1, own_columns.clamp_min(0)[:, None])[:, 0]
    other_least = errors.scatter(1, own_columns.clamp_min(0)[:, None], torch.inf).amin(1)
    return torch.where(own_columns >= 0, (own / other_least).sqrt(), 1.0)
