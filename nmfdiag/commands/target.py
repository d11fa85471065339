"""The network that a command is about: one of the zoo by NAME, or the user's own by options."""

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.text import join

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nmfdiag.data.normalization import Normalization
    from nmfdiag.zoo.open_network import Opened

BY_NAME = "name"


@dataclass(frozen=True)
class _Way:
    """A way to name a network: how it is typed, required options, and further accepted ones."""

    typed: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


WAYS = {
    BY_NAME: _Way("NAME", takes=("solver",)),
    "arch": _Way("--arch", ("weights", "data"), ("weights_key", "normalization", "size", "train_size")),
    "model": _Way("--model", ("data",), ("weights", "weights_key", "normalization", "size", "train_size")),
    "exported": _Way("--exported", ("data",), ("trust", "normalization", "size", "train_size")),
    "activations": _Way("--activations"),
}
NEED_TEXT = {"weights": "the file of its trained weights", "data": "samples that it was trained on"}
TEXT_OPTIONS = ("arch", "weights", "model", "exported", "activations", "data", "normalization")
RESTRICTED = ("weights", "weights_key", "data", "normalization", "size", "train_size", "trust", "solver")
"""Options that not every way accepts."""


@dataclass(frozen=True)
class Target:
    """A network, its training samples as model input (n, ...), their given labels (n,), and its method of measurement.

    Unknown accuracies are None. ``stored`` has the samples before normalisation and ``ways`` other normalisations of them,
    if known. ``code_id`` identifies its code (:func:`code_id_of`). ``selected_classes`` are the classes of the samples where these are not all classes.
    """

    name: str
    model: "nn.Module"
    inputs: "Tensor"
    labels: "Tensor"
    class_names: tuple[str, ...]
    provenance: dict[str, str]
    method: str = "nmf"
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    stored: "Tensor | None" = None
    ways: "Mapping[str, Normalization]" = field(default_factory=dict)
    code_id: str = ""
    selected_classes: tuple[int, ...] = ()

    @classmethod
    def from_opened(cls, opened: "Opened", code_id: str = "") -> "Target":
        """Return the target of an opened network."""
        return cls(
            opened.title, opened.model, opened.inputs, opened.given_labels, opened.class_names, opened.provenance,
            stored=opened.stored, ways=opened.alternatives, code_id=code_id,
        )  # fmt: skip

    @property
    def alternatives(self) -> "tuple[Tensor, Mapping[str, Normalization]] | None":
        """The samples before normalisation, and other normalisations of them; None if unknown."""
        return None if self.stored is None else (self.stored, self.ways)


def way_of(arguments: argparse.Namespace) -> str:
    """Return the key of :data:`WAYS` by which the network is named.

    Raises:
        NmfdiagError: If there is none or several, or if an option is missing or belongs to another way.
    """
    named_ways = [way for way in WAYS if _is_set(arguments, way)]
    bare = not named_ways and _is_set(arguments, "weights")
    if bare:
        named_ways = ["arch"]
    if not named_ways:
        ways = ["--weights FILE --data DATA (with --arch, if it isn't found)", "--activations FILE.npz"]
        if hasattr(arguments, BY_NAME):
            ways = [
                "the NAME of one in the zoo",
                *ways,
                "--model MODULE:NAME --data DATA",
                "--exported FILE.pt2 --trust --data DATA",
            ]
        raise NmfdiagError(f"Which network? Give {join(ways, 'or')}.")
    if len(named_ways) > 1:
        raise NmfdiagError(f"A network is named in one way, got {' and '.join(WAYS[way].typed for way in named_ways)}.")
    [name] = named_ways
    way = WAYS[name]
    typed = "--weights" if bare else way.typed
    for option in RESTRICTED:
        if _is_set(arguments, option) and option not in way.needs + way.takes:
            homes = [other_way.typed for other_way in WAYS.values() if option in other_way.needs + other_way.takes]
            homes = homes if option == "weights" else [home.replace("--arch", "--weights") for home in homes]
            raise NmfdiagError(f"--{option.replace('_', '-')} goes with {join(homes, 'or')}, not with {typed}.")
    for option in (*TEXT_OPTIONS, BY_NAME):
        if getattr(arguments, option, None) is not None and not str(getattr(arguments, option)).strip():
            raise NmfdiagError(f"{'The NAME' if option == BY_NAME else f'--{option}'} is empty (an unset variable?).")
    for option in way.needs:
        if not _is_set(arguments, option):
            raise NmfdiagError(f"{typed} needs --{option}, too: {NEED_TEXT[option]}.")
    return name


def open_own_network(arguments: argparse.Namespace, per_class: int | None) -> "Opened":
    """Open the user's own network.

    Args:
        arguments: Parsed options of :func:`nmfdiag.commands.network_options.add_network_options`.
        per_class: Samples of each class at most; None for all.

    Raises:
        NmfdiagError: As :func:`way_of`, if a file, the network or the data can't be read, or they don't fit together, and if ``--train-size``
            is below the number of all samples in the data, also where only some are used.
    """
    from nmfdiag.measures.training_set import check_train_size

    opened = _open_by_way(arguments, per_class)
    check_train_size(arguments.train_size, opened.n_stored)
    return opened


def _open_by_way(arguments: argparse.Namespace, per_class: int | None) -> "Opened":
    from nmfdiag.zoo import open_network

    way = way_of(arguments)
    options: dict[str, Any] = {"per_class": per_class}
    options |= {
        key: getattr(arguments, key) for key in ("normalization", "size", "weights_key") if _is_set(arguments, key)
    }
    if way == "model":
        return open_network.open_factory(arguments.model, arguments.data, weights=arguments.weights, **options)
    if way == "exported":
        return open_network.open_exported(arguments.exported, arguments.data, trust=arguments.trust, **options)
    if way == "activations":
        return open_network.open_activations(arguments.activations)
    return open_network.open_checkpoint(arguments.arch or "auto", arguments.weights, arguments.data, **options)


def code_id_of(arguments: argparse.Namespace, opened: "Opened") -> str:
    """Return what identifies the code of the user's own network: its architecture with its options, or the SHA-256 of its exported file."""
    if not arguments.exported:
        return f"{opened.arch} {sorted(opened.arch_options.items())}"
    with open(arguments.exported, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_target(arguments: argparse.Namespace) -> Target:
    """Load or open the network that a command is about, on its device, with samples of the requested classes.

    Args:
        arguments: Parsed NAME, options of :func:`nmfdiag.commands.network_options.add_network_options`, and per_class, draws, classes and device.

    Raises:
        NmfdiagError: As :func:`opened`; and if the zoo has no such network, or the class or device doesn't exist.
    """
    from nmfdiag.jobs.compute import resolve

    device = resolve(arguments.device)
    if way_of(arguments) == BY_NAME:
        target = _load_entry(arguments.name)
    else:
        opened = open_own_network(arguments, arguments.per_class * arguments.draws)
        target = Target.from_opened(opened, code_id_of(arguments, opened))
    if arguments.classes:
        target = _select_classes(target, arguments.classes)
    stored = None if target.stored is None else target.stored.to(device)
    return replace(target, model=target.model.to(device), inputs=target.inputs.to(device), stored=stored)


def _load_entry(name: str) -> Target:
    from nmfdiag.zoo.registry import lookup

    entry = lookup(name)
    pool = entry.load_pool()
    return Target(
        entry.name,
        entry.load_model(),
        pool.inputs,
        pool.given_labels,
        entry.class_names,
        {},
        entry.method,
        code_id=entry.digest,
    )


def _select_classes(target: Target, classes: list[int]) -> Target:
    import torch

    classes_with_samples, n = target.labels.unique().tolist(), len(target.class_names)
    for c in classes:
        if not 0 <= c < n:
            raise NmfdiagError(f"Class {c} is out of range: {target.name} has 0 .. {n - 1}.")
        if c not in classes_with_samples:
            raise NmfdiagError(f"There are no samples of class {c} ({target.class_names[c]}).")
    selected = torch.isin(target.labels, torch.tensor(classes))
    stored = None if target.stored is None else target.stored[selected]
    is_part = set(classes) != set(classes_with_samples)
    return replace(
        target, inputs=target.inputs[selected], labels=target.labels[selected], stored=stored,
        selected_classes=tuple(sorted(set(classes))) if is_part else (),
    )  # fmt: skip


def _is_set(arguments: argparse.Namespace, option: str) -> bool:
    value = getattr(arguments, option, None)
    return value is not None and value is not False
