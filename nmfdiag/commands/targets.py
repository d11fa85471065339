"""Which network a command is about: one of the zoo by NAME, or somebody's own by options; the same thing from here on."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nmfdiag.data.normalization import Normalization
    from nmfdiag.zoo.open_network import Opened

BY_NAME = "name"


@dataclass(frozen=True)
class _Way:
    """How a network is named: as it is typed, the options that it needs, and others that it takes."""

    typed: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


WAYS = {
    BY_NAME: _Way("NAME", takes=("solver",)),
    "arch": _Way("--arch", ("weights", "data"), ("weights_key", "normalization", "size")),
    "model": _Way("--model", ("data",), ("weights", "weights_key", "normalization", "size")),
    "exported": _Way("--exported", ("data",), ("trust", "normalization", "size")),
    "activations": _Way("--activations"),
}
NEEDED = {"weights": "the file of its trained weights", "data": "samples that it was trained on"}
PATHS = ("arch", "weights", "model", "exported", "activations", "data", "normalization")
TIED = ("weights", "weights_key", "data", "normalization", "size", "trust", "solver")
"""Options that not every way takes."""


@dataclass(frozen=True)
class Target:
    """A network, training samples as it takes them (n, ...) and their given labels (n,); ``method`` is what measures it.

    Accuracies are None where they are not known. ``stored`` and ``ways`` are the samples before normalisation, and other
    normalisations of them; without ``stored`` none are known.
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

    @classmethod
    def of(cls, own: "Opened") -> "Target":
        """The target that a network of the user's own is."""
        return cls(
            own.title, own.model, own.inputs, own.given_labels, own.class_names, own.provenance,
            stored=own.stored, ways=own.alternatives,
        )  # fmt: skip

    @property
    def alternatives(self) -> "tuple[Tensor, Mapping[str, Normalization]] | None":
        """The samples before normalisation, and other normalisations of them; None where they are not known."""
        return None if self.stored is None else (self.stored, self.ways)


def way_of(arguments: argparse.Namespace) -> str:
    """By which of :data:`WAYS` the network is named.

    Raises:
        NmfdiagError: If by none or by several, or if an option is missing or goes with another way.
    """
    given = [way for way in WAYS if _given(arguments, way)]
    bare = not given and _given(arguments, "weights")
    if bare:
        given = ["arch"]
    if not given:
        ways = ["--weights FILE --data DATA (with --arch, if it isn't found)", "--activations FILE.npz"]
        if hasattr(arguments, BY_NAME):
            ways = [
                "the NAME of one in the zoo",
                *ways,
                "--model MODULE:NAME --data DATA",
                "--exported FILE.pt2 --trust --data DATA",
            ]
        raise NmfdiagError(f"Which network? Give {_either(ways)}.")
    if len(given) > 1:
        raise NmfdiagError(f"A network is named in one way, got {' and '.join(WAYS[way].typed for way in given)}.")
    [chosen] = given
    way = WAYS[chosen]
    typed = "--weights" if bare else way.typed
    for option in TIED:
        if _given(arguments, option) and option not in way.needs + way.takes:
            homes = [each.typed for each in WAYS.values() if option in each.needs + each.takes]
            raise NmfdiagError(f"--{option.replace('_', '-')} goes with {_either(homes)}, not with {typed}.")
    for option in (*PATHS, BY_NAME):
        if getattr(arguments, option, None) is not None and not str(getattr(arguments, option)).strip():
            raise NmfdiagError(f"{'The NAME' if option == BY_NAME else f'--{option}'} is empty (an unset variable?).")
    for option in way.needs:
        if not _given(arguments, option):
            raise NmfdiagError(f"{typed} needs --{option}, too: {NEEDED[option]}.")
    return chosen


def opened(arguments: argparse.Namespace, per_class: int) -> "Opened":
    """Open a network of the user's own.

    Args:
        arguments: With the options of :func:`nmfdiag.commands.own_network.add_own`.
        per_class: Samples of each class at most.

    Raises:
        NmfdiagError: As :func:`way_of`, and if a file, the network or the data can't be read, or they don't fit together.
    """
    from nmfdiag.zoo import open_network

    way = way_of(arguments)
    options: dict[str, Any] = {"per_class": per_class}
    options |= {
        key: getattr(arguments, key) for key in ("normalization", "size", "weights_key") if _given(arguments, key)
    }
    if way == "model":
        return open_network.open_factory(arguments.model, arguments.data, weights=arguments.weights, **options)
    if way == "exported":
        return open_network.open_exported(arguments.exported, arguments.data, trust=arguments.trust, **options)
    if way == "activations":
        return open_network.open_activations(arguments.activations)
    return open_network.open_checkpoint(arguments.arch or "auto", arguments.weights, arguments.data, **options)


def target_of(arguments: argparse.Namespace) -> Target:
    """Find or open the network that a command is about, on its device, with samples of the classes asked for.

    Args:
        arguments: With NAME, the options of :func:`nmfdiag.commands.own_network.add_own`, and per_class, draws, classes and device.

    Raises:
        NmfdiagError: As :func:`opened`; and if the zoo has no such network, or there is no such class or device.
    """
    from nmfdiag.jobs.compute import resolve

    device = resolve(arguments.device)
    if way_of(arguments) == BY_NAME:
        target = _of_zoo(arguments.name)
    else:
        own = opened(arguments, arguments.per_class * arguments.draws)
        target = Target.of(own)
    if arguments.classes:
        target = _with_classes(target, arguments.classes)
    stored = None if target.stored is None else target.stored.to(device)
    return replace(target, model=target.model.to(device), inputs=target.inputs.to(device), stored=stored)


def _of_zoo(name: str) -> Target:
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
    )


def _with_classes(target: Target, classes: list[int]) -> Target:
    import torch

    there, n = target.labels.unique().tolist(), len(target.class_names)
    for c in classes:
        if not 0 <= c < n:
            raise NmfdiagError(f"Class {c} is out of range: {target.name} has 0 .. {n - 1}.")
        if c not in there:
            raise NmfdiagError(f"There are no samples of class {c} ({target.class_names[c]}).")
    chosen = torch.isin(target.labels, torch.tensor(classes))
    stored = None if target.stored is None else target.stored[chosen]
    return replace(target, inputs=target.inputs[chosen], labels=target.labels[chosen], stored=stored)


def _given(arguments: argparse.Namespace, option: str) -> bool:
    value = getattr(arguments, option, None)
    return value is not None and value is not False


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
