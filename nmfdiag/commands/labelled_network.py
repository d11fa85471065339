"""The network whose labels a command judges: all the training samples that are at hand, with their numbers, files and pictures."""

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nmfdiag.commands.outcome import progress_bar
from nmfdiag.commands.target import BY_NAME, code_id_of, open_own_network, way_of
from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nmfdiag.jobs.cache import CurveCache
    from nmfdiag.measures.suspects.history import TrainingHistory
    from nmfdiag.measures.suspects.result import Suspects


@dataclass(frozen=True)
class LabelledNetwork:
    """A network and training samples with their given labels.

    Attributes:
        name: Its name.
        model: The network.
        inputs: Samples as it takes them (n, ...).
        given_labels: Their given labels (n,).
        stored: The samples before normalisation (n, ...).
        class_names: A name for each output.
        sample_rows: The samples' numbers in the user's data (n,), or in the pool of a network of the zoo.
        file_names: Their paths in the user's folder or zip (n,); empty where they have none.
        true_labels: Their true labels (n,), where they are known.
        provenance: Origin of network, weights and samples, as far as it is not the zoo's.
        is_sound: Whether the samples are spectrograms.
        train_size: Number of samples that it was trained on; None where it is not known.
        code_id: Identifier of its code (:class:`nmfdiag.jobs.own_results.OwnResults`).
    """

    name: str
    model: "nn.Module"
    inputs: "Tensor"
    given_labels: "Tensor"
    stored: np.ndarray
    class_names: tuple[str, ...]
    sample_rows: np.ndarray
    file_names: tuple[str, ...] = ()
    true_labels: np.ndarray | None = None
    provenance: dict[str, str] | None = None
    is_sound: bool = False
    train_size: int | None = None
    code_id: str = ""


@dataclass(frozen=True)
class ScoredNetwork:
    """A network's suspects, and the place of each scored sample among the network's samples (m,)."""

    network: LabelledNetwork
    suspects: "Suspects"
    places: np.ndarray

    def pictures(self, rows: np.ndarray) -> list[str]:
        """Return samples as ``data:`` addresses of PNGs, for rows of the suspects; none where the samples are not images."""
        from nmfdiag.plots.sample_images import image_pixels, is_image, png_uri

        stored = self.network.stored
        if not is_image(stored.shape[1:]):
            return []
        return [png_uri(image_pixels(stored[self.places[row]], sound=self.network.is_sound)) for row in rows]


def load_labelled(arguments: argparse.Namespace, per_class: int | None) -> LabelledNetwork:
    """Load or open the network that a command is about, with all its samples, or some of each class of the user's own.

    Args:
        arguments: Parsed NAME and options of :func:`nmfdiag.commands.network_options.add_network_options`.
        per_class: Samples of each class that are read at most; None for all.

    Raises:
        NmfdiagError: As :func:`nmfdiag.commands.target.way_of`, and if a file, the network or the data can't be read, or don't fit together.
    """
    from nmfdiag.plots.sample_images import is_sound
    from nmfdiag.zoo.pool_rows import pool_rows
    from nmfdiag.zoo.registry import entries, lookup

    if way_of(arguments) != BY_NAME:
        opened = open_own_network(arguments, per_class)
        stored = opened.inputs if opened.stored is None else opened.stored
        return LabelledNetwork(
            opened.title, opened.model, opened.inputs, opened.given_labels, stored.numpy(), opened.class_names,
            opened.sample_rows.numpy(), opened.file_names, provenance=opened.provenance,
            is_sound=is_sound(opened.arch, str(arguments.data)), train_size=arguments.train_size,
            code_id=code_id_of(arguments, opened),
        )  # fmt: skip
    if arguments.name not in entries() and os.path.exists(arguments.name):
        raise _not_a_network(arguments.name)
    entry = lookup(arguments.name)
    pool = entry.load_pool()
    return LabelledNetwork(
        entry.name, entry.load_model(), pool.inputs, pool.given_labels, pool_rows(entry, slice(0, len(pool.inputs))),
        entry.class_names, pool.sample_rows.numpy(), pool.file_names,
        true_labels=None if entry.called else pool.true_labels.numpy(),
        is_sound=is_sound(entry.recipe.arch, entry.recipe.dataset), train_size=entry.recipe.n_train or None,
        code_id=entry.digest,
    )  # fmt: skip


def score_labels(
    network: LabelledNetwork,
    cache: "CurveCache",
    *,
    device: str,
    per_class: int | None = None,
    history: str | None = None,
    **options: Any,
) -> ScoredNetwork:
    """Score all samples of a network, or some of each class, with a progress bar; the suspects have the samples' own numbers.

    Args:
        network: The network.
        cache: Where its suspects are looked up, and kept.
        device: Where to compute.
        per_class: Samples of each class that are scored at most.
        history: A training's history, or the folder of a run that holds one; its rows are the samples' own numbers.
        **options: Further options of :func:`nmfdiag.suspects`.

    Raises:
        NmfdiagError: As :func:`nmfdiag.suspects`.
    """
    from nmfdiag.jobs.own_results import OwnResults

    if history is not None:
        options["history"] = _history_of(history, network.sample_rows)
    with progress_bar("{desc} {percentage:3.0f}% |{bar}|", title=network.name) as show:
        result = OwnResults(cache, network.code_id).suspects(
            network.model, network.inputs, network.given_labels, class_names=network.class_names, per_class=per_class,
            device=device, on_progress=show, train_size=network.train_size, **options,
        )  # fmt: skip
    return ScoredNetwork(network, result.numbered(network.sample_rows, network.file_names), result.indices)


def _history_of(path: str, sample_rows: np.ndarray) -> "TrainingHistory":
    """Return a history whose row ``i`` is that of the ``i``-th sample that was read."""
    from dataclasses import replace

    from nmfdiag.measures.suspects.history import TrainingHistory

    record = TrainingHistory.load(path)
    if np.array_equal(sample_rows, np.arange(len(sample_rows))):
        return record
    is_recorded = sample_rows < len(record)
    rows = np.where(is_recorded, sample_rows, 0)
    arrays: dict[str, Any] = {
        name: values[rows] for name, values in vars(record).items() if isinstance(values, np.ndarray)
    }
    return replace(record, **arrays | {"epochs": np.where(is_recorded, arrays["epochs"], 0)})


def _not_a_network(path: str) -> NmfdiagError:
    """Return the error about a file or folder in place of a network's name."""
    is_run = path.endswith(".jsonl") or (
        os.path.isdir(path) and any(name.startswith("run") and name.endswith(".jsonl") for name in os.listdir(path))
    )
    if is_run:
        return NmfdiagError(
            f"{path} is the record of a training run, which holds neither weights nor samples: give --weights and --data, and "
            f"--history {path if os.path.isdir(path) else os.path.dirname(path) or '.'} where the run recorded its samples' history."
        )
    return NmfdiagError(f"{path} is a file or folder, not the name of a zoo network: give --weights FILE --data DATA.")
