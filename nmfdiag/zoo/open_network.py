"""Open a network that is not in the zoo, with training samples in the form that it takes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nmfdiag.data.datasets import Dataset, load
from nmfdiag.data.file_kinds import checked_path
from nmfdiag.data.files import read_arrays
from nmfdiag.data.labels import as_labels, check_labels
from nmfdiag.data.normalization import NORMALIZATIONS, Normalization
from nmfdiag.errors import NmfdiagError, printable
from nmfdiag.networks.checkpoints.read import (
    factory,
    input_channels,
    load_weights,
    nearest_architectures,
    network_for,
    options_for,
    read_exported,
    read_weights,
)
from nmfdiag.networks.zoo_networks import RECORDED, recorded_network
from nmfdiag.zoo.fit_inputs import AUTO, alternatives, answers, as_outputs, choose, drawn_rows, in_channels
from nmfdiag.zoo.input_shapes import accepted_form
from nmfdiag.zoo.measured_network import network_to_measure
from nmfdiag.zoo.registry import BATCH_NORM

__all__ = ["NORMALIZATIONS", "Opened", "open_activations", "open_checkpoint", "open_exported", "open_factory"]

AS_THEY_ARE = Normalization((0.0,), (1.0,))
READ_PER_USED = 2
"""Samples that are read for each one that is used: those are drawn from them."""
MAX_BYTES = 2 * 2**30
"""Bytes of the samples in memory, as the network takes them."""
RECORDED_ARRAYS = {
    "activations": ("activations", "x"),
    "labels": ("labels", "y"),
    "weight": ("weight",),
    "bias": ("bias",),
}


@dataclass(frozen=True)
class Opened:
    """A network that is not in the zoo, and training samples in the form that it takes.

    Attributes:
        title: Its name.
        model: The network, in evaluation mode, on the CPU; with re-estimated batch norm where the provenance says so.
        inputs: Samples (n, ...), normalised, float32.
        given_labels: Their given labels (n,), int64: numbers of the network's outputs.
        class_names: A name for each output.
        normalization: Description of the inputs' normalisation.
        provenance: Origin of network, weights and samples.
        sample_rows: The samples' numbers in the user's data (n,), ascending: rows of the ``.npz``, places in the sorted list of images, or
            numbers in the data set.
        file_names: The samples' paths in the user's folder or zip (n,); empty where they have none.
        arch: Name of the architecture that builds the network again; empty for the user's code.
        arch_options: Its options.
        stored: The samples before normalisation, as they were read; None where ``inputs`` are these.
        scaling: Normalisation that turns ``stored`` into ``inputs``.
        alternatives: Other normalisations of ``stored``, by name, that have not been tried.
        other_weights: Names of other sets of weights in the checkpoint.
        n_stored: Number of samples in the user's data, of which these are all or some.
    """

    title: str
    model: nn.Module
    inputs: Tensor
    given_labels: Tensor
    class_names: tuple[str, ...]
    normalization: str
    provenance: dict[str, str]
    sample_rows: Tensor = field(kw_only=True)
    file_names: tuple[str, ...] = ()
    arch: str = ""
    arch_options: dict[str, int] = field(default_factory=dict)
    stored: Tensor | None = None
    scaling: Normalization = AS_THEY_ARE
    alternatives: dict[str, Normalization] = field(default_factory=dict)
    other_weights: tuple[str, ...] = ()
    n_stored: int = 0


def open_checkpoint(
    arch: str,
    weights: str | Path,
    data: str | Path,
    *,
    normalization: str = AUTO,
    size: int | tuple[int, int] | None = None,
    per_class: int | None = 50,
    seed: int = 0,
    weights_key: str = "",
) -> Opened:
    """Open a network by its weights; no code in the file is run.

    Args:
        arch: One of :data:`nmfdiag.networks.architectures.ARCHITECTURES`, one of torchvision's classifiers, or ``"auto"``: the one whose tensors
            match the weights.
        weights: A checkpoint, as :func:`nmfdiag.networks.checkpoints.read.read_state_dict` reads it.
        data: Samples that the network was trained on, as :func:`nmfdiag.data.datasets.load` takes them.
        normalization: How inputs were prepared in training: one of :data:`NORMALIZATIONS`, or ``"MEAN,.../STD,..."``.
        size: Height and width to which images are resized.
        per_class: Samples per class at most, drawn at random; None for all.
        seed: Seeds their choice.
        weights_key: Key of the set of weights in a checkpoint that holds several, such as ``"model_ema"``.

    Raises:
        NmfdiagError: If a file can't be read, the weights don't fit the architecture, or the samples don't fit the network.
    """
    path = Path(weights)
    checkpoint = read_weights(path, weights_key)
    state = checkpoint.state
    suffix = ""
    if arch == AUTO:
        arch, suffix = _matching_architecture(state, path.name), ", found by its weights"
    dataset, note = in_channels(_read(data, size, per_class), input_channels(arch, state))
    options = options_for(arch, state, title=path.name)
    model, n_outputs = network_for(arch, state, dataset.input_shape, title=path.name, options=options)
    provenance = {
        "network": f"{arch}{_options_text(options)}{suffix}",
        "weights": f"{printable(path.name)}, sha256 {_sha256(path)[:12]}{_weights_text(weights_key, checkpoint.others)}",
    }
    class_names = _torchvision_classes(arch) if n_outputs > dataset.n_classes else ()
    labels, names = as_outputs(dataset, n_outputs, class_names)
    opened = _opened(
        f"{arch} of {printable(path.name)}", model, dataset, labels, names, note, normalization, per_class, seed
    )
    return _completed(
        opened, provenance, arch=arch, arch_options=options, other_weights=_without(weights_key, checkpoint.others)
    )


def open_factory(
    spec: str,
    data: str | Path,
    *,
    weights: str | Path | None = None,
    normalization: str = AUTO,
    size: int | tuple[int, int] | None = None,
    per_class: int | None = 50,
    seed: int = 0,
    weights_key: str = "",
) -> Opened:
    """Open a network that the user's code builds; that code is run.

    Args:
        spec: ``"package.module:name"`` of a function without arguments that returns the network, or of the network itself.
        data: As in :func:`open_checkpoint`.
        weights: A checkpoint to load into the network; without it the network is used as it is.
        normalization: As in :func:`open_checkpoint`.
        size: As in :func:`open_checkpoint`.
        per_class: As in :func:`open_checkpoint`.
        seed: As in :func:`open_checkpoint`.
        weights_key: As in :func:`open_checkpoint`.

    Raises:
        NmfdiagError: If the function is missing or fails, a file can't be read, or the weights or samples don't fit the network.
    """
    model = factory(spec)
    provenance = {"network": spec}
    if weights is not None:
        path = Path(weights)
        checkpoint = read_weights(path, weights_key)
        load_weights(model, checkpoint.state, title=path.name)
        weights_text = _weights_text(weights_key, checkpoint.others)
        provenance["weights"] = f"{printable(path.name)}, sha256 {_sha256(path)[:12]}{weights_text}"
    opened = _of_module(spec, model.eval(), data, normalization, size, per_class, seed)
    return _completed(opened, provenance)


def open_exported(
    path: str | Path,
    data: str | Path,
    *,
    trust: bool = False,
    normalization: str = AUTO,
    size: int | tuple[int, int] | None = None,
    per_class: int | None = 50,
    seed: int = 0,
) -> Opened:
    """Open a network that ``torch.export`` has saved (``.pt2``); such a file can run code.

    Args:
        path: The file.
        data: As in :func:`open_checkpoint`.
        trust: Whether you would run code from whoever made the file.
        normalization: As in :func:`open_checkpoint`.
        size: As in :func:`open_checkpoint`.
        per_class: As in :func:`open_checkpoint`.
        seed: As in :func:`open_checkpoint`.

    Raises:
        NmfdiagError: If the file is not trusted or can't be read, or the samples don't fit the network.
    """
    path = Path(path)
    model = read_exported(path, trust=trust)
    opened = _of_module(printable(path.name), model, data, normalization, size, per_class, seed)
    return _completed(opened, {"network": f"exported, {printable(path.name)}, sha256 {_sha256(path)[:12]}"})


def open_activations(path: str | Path) -> Opened:
    """Open recorded activations of a network's last ReLU, with the linear layer after it.

    Args:
        path: An ``.npz`` of ``activations`` (n, c) or (n, c, h, w), after the ReLU; given ``labels`` (n,); ``weight``
            (classes, c); and optionally ``bias`` (classes,). The linear layer gets the mean over places of maps.

    Returns:
        A network whose inputs are the activations; its only layer is called ``activations``.

    Raises:
        NmfdiagError: If an array is missing or damaged, the shapes disagree, or activations are negative or not finite.
    """
    path = checked_path(path, "activations")
    arrays = read_arrays(path, RECORDED_ARRAYS, optional=["bias"])
    A, weight = arrays["activations"], arrays["weight"]
    try:
        labels = as_labels(arrays["labels"])
    except NmfdiagError as error:
        raise NmfdiagError(f"{path.name}: {error}") from None
    bias = arrays.get("bias", np.zeros(len(weight) if weight.ndim else 0))
    fits = A.ndim in (2, 4) and weight.ndim == 2 and weight.shape[1] == A.shape[1] and bias.shape == weight.shape[:1]
    if not fits or A.size == 0 or weight.size == 0 or labels.shape != A.shape[:1]:
        raise NmfdiagError(
            f"{path.name}: activations must be (n, c) or (n, c, h, w), labels (n,), weight (classes, c) and bias (classes,), got "
            f"{A.shape}, {tuple(labels.shape)}, {weight.shape} and {bias.shape if 'bias' in arrays else 'no bias'}."
        )
    with np.errstate(over="ignore"):
        inputs, w, b = (torch.from_numpy(np.ascontiguousarray(array, np.float32)) for array in (A, weight, bias))
    for name, tensor in (("activations", inputs), ("weight", w), ("bias", b)):
        if not bool(torch.isfinite(tensor).all()):
            raise NmfdiagError(f"{path.name}: {name} holds values that are not finite.")
    if float(inputs.min()) < 0:
        raise NmfdiagError(
            f"{path.name}: the activations hold negative values (down to {float(inputs.min()):.3g}): record them after the ReLU."
        )
    given_labels = check_labels(labels, len(w))
    shape = (*inputs.shape[1:], 1, 1)[:3]
    options = {"places": int(inputs.ndim == 4), "bias": int("bias" in arrays)}
    model = recorded_network(shape, len(w), **options).eval()
    state = {"head.weight": w} | ({"head.bias": b} if "bias" in arrays else {})
    model.load_state_dict(state)
    provenance = {
        "network": f"one layer's activations and a linear layer, {printable(path.name)}, sha256 {_sha256(path)[:12]}",
        "samples": f"{len(given_labels):,} recorded",
    }
    return Opened(
        printable(path.stem), model, inputs, given_labels, tuple(map(str, range(len(w)))), "none: the inputs are activations", provenance,
        sample_rows=torch.arange(len(inputs)), arch=RECORDED, arch_options=options,
    )  # fmt: skip


def _of_module(
    title: str,
    model: nn.Module,
    data: str | Path,
    normalization: str,
    size: int | tuple[int, int] | None,
    per_class: int | None,
    seed: int,
) -> Opened:
    channels = next((module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    input_shape = getattr(model, "input_shape", ())  # of exported programs
    if isinstance(input_shape, tuple) and len(input_shape) == 3:
        channels = input_shape[0]
        size = input_shape[1:] if size is None and None not in input_shape[1:] else size
    if size is None:
        dataset, note = accepted_form(model, _read(data, None, per_class, as_stored=True), channels)
    else:
        dataset, note = in_channels(_read(data, size, per_class), channels)
    example = dataset.inputs[:2] if dataset.inputs.dtype == torch.int64 else AS_THEY_ARE(dataset.inputs[:2])
    n_outputs = answers(model, example).shape[1]
    labels, names = as_outputs(dataset, n_outputs)
    return _opened(title, model, dataset, labels, names, note, normalization, per_class, seed)


def _read(
    data: str | Path, size: int | tuple[int, int] | None, per_class: int | None, *, as_stored: bool = False
) -> Dataset:
    """Return samples of a data set, :data:`READ_PER_USED` times as many as will be used."""
    limit = None if per_class is None else READ_PER_USED * per_class
    if per_class is not None and per_class < 2:
        raise NmfdiagError(f"Every class needs at least 2 samples, got per_class={per_class}.")
    return load(str(data), "train", size=size, limit_per_class=limit, as_stored=as_stored)


def _opened(
    title: str,
    model: nn.Module,
    dataset: Dataset,
    labels: Tensor,
    names: tuple[str, ...],
    note: str,
    normalization: str,
    per_class: int | None,
    seed: int,
) -> Opened:
    rows = drawn_rows(labels, per_class, seed)
    sample_bytes = dataset.inputs[0].numel() * 4
    if len(rows) * sample_bytes > MAX_BYTES:
        affordable = MAX_BYTES // sample_bytes // len(labels.unique())
        cure = f"--per-class {affordable} fits" if affordable > 1 else "take fewer classes, or a smaller --size"
        raise NmfdiagError(
            f"{len(rows):,} samples of {len(labels.unique())} classes take {len(rows) * sample_bytes / 2**30:.1f} GiB in memory, accepted are "
            f"{MAX_BYTES >> 30}: {cure}."
        )
    samples, given_labels = dataset.inputs[rows].contiguous(), labels[rows]
    if samples.dtype == torch.int64 and normalization not in (AUTO, "none"):
        raise NmfdiagError(
            f"The network takes whole numbers as they are: --normalization {normalization} can't be applied."
        )
    other_scalings: dict[str, Normalization] = {}
    if samples.dtype == torch.int64:
        scaling, description, inputs = AS_THEY_ARE, "none: whole numbers, as they are", samples
    else:
        scaling, description = choose(model, samples, given_labels, normalization, dataset.inputs)
        inputs = scaling(samples)
        other_scalings = {} if normalization == AUTO else alternatives(dataset.inputs, scaling)
    model, remark = network_to_measure(model, inputs, given_labels, alternatives=lambda: (samples, other_scalings))
    shape = "x".join(map(str, dataset.inputs.shape[1:]))
    drawn_text = "all of them" if per_class is None else f"up to {per_class} a class (seed {seed})"
    provenance = {
        "samples": f"{len(rows):,} of {printable(Path(dataset.name).name)}, {drawn_text}, each {shape}",
        **({"images": note} if note else {}),
        **({"files": "; ".join(dataset.notes)} if dataset.notes else {}),
        "normalization": description,
        **({BATCH_NORM: printable(remark)} if remark else {}),
    }
    return Opened(
        title,
        model,
        inputs,
        given_labels,
        names,
        description,
        provenance,
        sample_rows=rows if dataset.rows is None else dataset.rows[rows],
        file_names=tuple(dataset.file_names[row] for row in rows) if dataset.file_names else (),
        stored=samples,
        scaling=scaling,
        alternatives=other_scalings,
        n_stored=dataset.n_stored,
    )


def _completed(opened: Opened, provenance: dict[str, str], **fields: object) -> Opened:
    return replace(opened, provenance=provenance | opened.provenance, **fields)  # type: ignore[arg-type]


def _matching_architecture(state: dict[str, Tensor], title: str) -> str:
    """Return the architecture whose tensors match the weights."""
    nearest = nearest_architectures(state)
    if nearest and nearest[0][1] == 1:
        return nearest[0][0]
    near = ", ".join(f"{arch} ({share:.0%} of the tensors)" for arch, share in nearest) or "none"
    raise NmfdiagError(
        f"The weights {title} fit no known architecture; the nearest are: {near}. Name one with --arch, or give your "
        "code that builds the network with --model."
    )


def _torchvision_classes(arch: str) -> tuple[str, ...]:
    """Return torchvision's names for the classes of its weights of an architecture."""
    from torchvision import models

    from nmfdiag.networks.architectures import torchvision_names

    return tuple(models.get_model_weights(arch).DEFAULT.meta["categories"]) if arch in torchvision_names() else ()  # type: ignore[attr-defined]


def _without(key: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name != key)


def _weights_text(key: str, names: Sequence[str]) -> str:
    """Return a text that names the selected set of weights and the others in the file."""
    other_sets = ", ".join(printable(name) for name in _without(key, names))
    selection = f", those called {printable(key)}" if key else ""
    return selection + (f"; the file also holds {other_sets} (--weights-key)" if other_sets else "")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _options_text(options: dict[str, int]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in options.items())})" if options else ""
