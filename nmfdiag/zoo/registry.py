"""The zoo on disk: a record of each trained network that is read without loading it; torch is imported only to load one.

A network is a folder ``NAME/`` with ``entry.json`` (recipe, log, accuracies, hashes), ``weights.safetensors`` and
``labels.safetensors`` (given and true labels of its probe pool; where they are known, the samples' numbers and files). The pool's
inputs are training samples; every network of one data set and seed shares them, so that curves of different p use the same inputs:
``pools/POOL.safetensors``.
"""

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError, harmless, printable
from nmfdiag.zoo.files import ENTRY_FILE, LABELS_FILE, POOLS, WEIGHTS_FILE, sha256_of
from nmfdiag.zoo.placement import restore
from nmfdiag.zoo.recipes import Recipe
from nmfdiag.zoo.sample_names import recorded_samples

if TYPE_CHECKING:
    from torch import Tensor, nn

SHIPPED = Path(__file__).parent / "shipped"
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
MAX_ENTRY_BYTES, MAX_SIDE, LARGEST = 2**26, 2**24, 1e30
USUAL_SIDE = 1024
"""Side of images, up to which an architecture's options are accepted even if nothing in the file is as large."""
UNFINISHED_ENTRY = f"{ENTRY_FILE}.part"


@dataclass(frozen=True)
class ProbePool:
    """Training samples of one network, from which its probe batches are drawn.

    ``inputs`` (n, c, h, w) float32, normalised as in training; ``given_labels`` and ``true_labels`` (n,) int64; ``sample_rows`` (n,) int64 are
    the samples' numbers in the training data, ascending, where they were recorded, else in the pool; ``file_names`` are their paths
    in the folder or zip that they came from, empty where there are none.
    """

    inputs: "Tensor"
    given_labels: "Tensor"
    true_labels: "Tensor"
    sample_rows: "Tensor"
    file_names: tuple[str, ...] = ()


class UnknownNoise(float):
    """An unknown label noise, which is written ``?``; in sorting it counts as 0."""

    def __format__(self, spec: str) -> str:
        return "?"


UNKNOWN = UnknownNoise()


BATCH_NORM = "batch norm"
"""Entry of a network's provenance: that it was opened with re-estimated batch norm, and why, or why that was not checked."""


def batch_norm_remarks(provenance: Mapping[str, str]) -> list[str]:
    """Return that entry as a remark, where there is one."""
    return [provenance[BATCH_NORM]] if BATCH_NORM in provenance else []


def known_noise(label_noise: float) -> float | None:
    """Return a label noise for tables: None where it is unknown."""
    return None if isinstance(label_noise, UnknownNoise) else label_noise


@dataclass(frozen=True)
class ZooEntry:
    """One trained network. Accuracies are shares in [0, 1]; ``train_accuracy`` is on the given labels.

    The ``train_accuracy`` of an added network (:mod:`nmfdiag.zoo.add_network`) is on the probe pool, and test accuracies are
    None where there were no test samples. ``pool_classes`` are the classes with samples in its pool, empty for all, and
    ``pool_per_class`` their number at most, 0 for enough; ``called`` is its name, empty where that follows from the recipe.
    ``activations`` are those whose outputs are its layers: ``"relu"``, or ``"all"``, which can be negative.
    """

    recipe: Recipe
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: dict[str, int]
    n_parameters: int
    train_accuracy: float
    test_accuracy: float | None
    test_accuracy_by_class: tuple[float | None, ...]
    pool_accuracy: float
    log: tuple[dict[str, float], ...]
    pool: str
    sha256: dict[str, str]
    trained_with: dict[str, str]
    folder: Path
    pool_classes: tuple[int, ...] = ()
    pool_per_class: int = 0
    called: str = ""
    activations: str = "relu"

    @property
    def name(self) -> str:
        return self.called or self.recipe.name

    @property
    def label_noise(self) -> float:
        """p, or :data:`UNKNOWN` for an added network, whose labels may be noisy or not."""
        return UNKNOWN if self.called else self.recipe.label_noise

    @property
    def added_on(self) -> str:
        """The date on which a user's own network was added (YYYY-MM-DD); empty for one that comes with nmfdiag."""
        path = self.folder / ENTRY_FILE
        return date.fromtimestamp(path.stat().st_mtime).isoformat() if self.called and path.exists() else ""

    @property
    def method(self) -> str:
        """The factorisation that fits every layer: ``"nmf"``, or ``"signed"`` where activations can be negative."""
        return "nmf" if self.activations == "relu" else "signed"

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes with samples in the probe pool."""
        return self.pool_classes or tuple(range(self.n_classes))

    @property
    def generalization_error(self) -> float | None:
        """Training accuracy minus test accuracy, where that is known."""
        return None if self.test_accuracy is None else self.train_accuracy - self.test_accuracy

    @cached_property
    def files(self) -> dict[str, Path]:
        """The network's files, by the names under which their hashes are recorded."""
        return {
            "weights": self.folder / WEIGHTS_FILE,
            "labels": self.folder / LABELS_FILE,
            "pool": self.folder.parent / POOLS / f"{self.pool}.safetensors",
        }

    @cached_property
    def digest(self) -> str:
        """Hash of everything in the entry's files that can change a curve."""
        parts = json.dumps([self.sha256, self.recipe.arch, self.recipe.arch_options, self.mean, self.std])
        return hashlib.sha256(parts.encode()).hexdigest()

    def load_model(self) -> "nn.Module":
        """Build the network, load its weights (float32 here, whatever they are on disk) and set evaluation mode.

        Raises:
            NmfdiagError: If the weights file is missing, damaged or does not fit the architecture.
        """
        from nmfdiag.networks.architectures import build
        from nmfdiag.networks.checkpoints.meta import shapes_only
        from nmfdiag.networks.zoo_networks import RECORDED, recorded_network

        weights = self._tensors("weights")
        make = recorded_network if self.recipe.arch == RECORDED else partial(build, self.recipe.arch)
        largest = max([len(weights), USUAL_SIDE, *(side for tensor in weights.values() for side in tensor.shape)])
        try:
            if too_large := [f"{k} {v}" for k, v in self.recipe.arch_options.items() if not 0 <= v <= largest]:
                raise ValueError(f"nothing in the file is of the size {', '.join(too_large)}")
            with shapes_only():  # so that nothing is allocated before it is compared with the file
                model = make(self.input_shape, self.n_classes, **self.recipe.arch_options)
            floats = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
            model.load_state_dict(floats, assign=True)
        except NmfdiagError:
            raise
        except (RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:  # options or tensors of another one
            raise NmfdiagError(
                f"The weights of {self.name} don't fit architecture {self.recipe.arch!r}: {error}"
            ) from None
        return model.eval()

    def load_pool(self) -> ProbePool:
        """Read the probe pool and normalise it as in training."""
        from nmfdiag.data.normalization import Normalization

        labels, pool = self._tensors("labels"), self._tensors("pool")
        try:
            inputs = Normalization(self.mean, self.std)(pool["inputs"])
            rows, file_names = recorded_samples(labels, len(inputs))
            return ProbePool(inputs, labels["given"].long(), labels["true"].long(), rows, file_names)
        except (KeyError, RuntimeError, ValueError, TypeError, RecursionError) as error:
            raise NmfdiagError(f"The probe pool of {self.name} lacks a tensor, or it does not fit: {error}") from None

    def _tensors(self, part: str) -> "dict[str, Tensor]":
        """Return the tensors of one of the network's files, which must be the one that the entry was written with.

        Raises:
            NmfdiagError: If it is missing, damaged, or another one: results are stored under the hash of the entry.
        """
        path = self.files[part]
        tensors = _read(path)
        if sha256_of(path) != self.sha256.get(
            part
        ):  # checked after reading, to notice a file that was replaced meanwhile
            raise NmfdiagError(
                f"The zoo file {path.name} of {self.name} is not the one that its entry was written with (its hash "
                "differs): retrain or open the network again, or try again if it was being replaced."
            )
        return tensors


def user_zoo() -> Path:
    """Return the folder of newly trained networks: ``$NMFDIAG_ZOO``, or ``zoo/`` in the current directory."""
    return Path(os.environ.get("NMFDIAG_ZOO") or "zoo")


def entries() -> dict[str, ZooEntry]:
    """Return every readable network on disk by name, small inputs first; a user's network replaces a shipped one of the same name."""
    return _scan(user_zoo(), int(time.monotonic()))[0]


def broken() -> tuple[str, ...]:
    """Return what is wrong with each entry that can't be read, and the remedy."""
    return _scan(user_zoo(), int(time.monotonic()))[1]


@lru_cache(maxsize=1)
def _scan(users: Path, _second: int) -> tuple[dict[str, ZooEntry], tuple[str, ...]]:
    """Read the folders at most once a second."""
    restore(users)
    by_name, problems = {}, []
    for zoo in (SHIPPED, users):
        for path in sorted(zoo.glob(f"*/{ENTRY_FILE}")):
            try:
                entry = _read_entry(path, path.stat().st_mtime_ns)
                by_name[entry.name] = entry
            except NmfdiagError as error:
                problems.append(str(error))
    by_size = sorted(by_name.values(), key=lambda entry: (math.prod(entry.input_shape), entry.name))
    return {entry.name: entry for entry in by_size}, tuple(problems)


def refresh() -> None:
    """Read the folders again at the next use, even within the same second."""
    _scan.cache_clear()


def lookup(name: str) -> ZooEntry:
    """Find one network.

    Raises:
        NmfdiagError: If the name is unknown; it says how to train a network.
    """
    networks = entries()
    if name not in networks:
        refresh()  # it may have been written within this second
        networks = entries()
    if name not in networks:
        raise NmfdiagError(
            f"The zoo has no network {name!r}. It has: {', '.join(networks) or 'none'}. "
            f"A network with a recipe can be trained with: nmfdiag zoo train {name}"
        )
    return networks[name]


def write_entry(entry: ZooEntry) -> None:
    """Write ``entry.json`` into the entry's folder, the whole of it or nothing."""
    record = asdict(entry)
    del record["folder"]
    unfinished = entry.folder / UNFINISHED_ENTRY
    unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(entry.folder / ENTRY_FILE)


@lru_cache(maxsize=1024)
def _read_entry(path: Path, _modified: int) -> ZooEntry:
    try:
        if path.stat().st_size > MAX_ENTRY_BYTES:
            raise ValueError(f"it has more than {MAX_ENTRY_BYTES >> 20} MiB")
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe(**record.pop("recipe"))
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        entry = ZooEntry(recipe=recipe, folder=path.parent, **(record | lists))
        if fault := _fault(entry):
            raise ValueError(fault)
        return replace(entry, class_names=tuple(map(harmless, entry.class_names)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NmfdiagError(
            f"The zoo entry {path.parent.name} can't be read ({error}). Retrain it, or remove it."
        ) from None


def _fault(entry: ZooEntry) -> str:
    """Return what is impossible in an entry, empty if nothing is. Its names become paths, its numbers sizes."""
    integer, number, recipe = (int,), (int, float), entry.recipe
    kinds: dict[str, tuple[Any, tuple[type, ...]]] = {
        "class_names": (entry.class_names, (str,)),
        "input_shape": (entry.input_shape, integer),
        "mean": (entry.mean, number),
        "std": (entry.std, number),
        "layers": (tuple(entry.layers.values()), integer),
        "arch_options": (tuple(recipe.arch_options.values()), integer),
        "sha256": (tuple(entry.sha256.values()), (str,)),
        "trained_with": (tuple(entry.trained_with.values()), (str,)),
        "test_accuracy_by_class": (entry.test_accuracy_by_class, (int, float, type(None))),
        "log": (entry.log, (dict,)),
        "pool_classes": (entry.pool_classes, integer),
        "accuracies": (
            (entry.train_accuracy, entry.pool_accuracy, entry.test_accuracy or 0, recipe.label_noise),
            number,
        ),
        "numbers": ((entry.n_parameters, entry.pool_per_class, recipe.seed, recipe.n_train), integer),
        "names": ((entry.pool, entry.called, recipe.dataset, recipe.arch, entry.activations), (str,)),
    }
    for name, (values, accepted) in kinds.items():
        if not isinstance(values, tuple) or not all(isinstance(value, accepted) for value in values):
            return f"{name} must be of {' or '.join(kind.__name__ for kind in accepted)}"
    if not PLAIN_NAME.fullmatch(entry.pool) or not PLAIN_NAME.fullmatch(entry.name):
        return "names must be letters, digits and the signs _ . -"
    shares = (entry.train_accuracy, entry.pool_accuracy, entry.test_accuracy or 0, recipe.label_noise)
    by_class = [share for share in entry.test_accuracy_by_class if share is not None]
    if not all(0 <= share <= 1 for share in (*shares, *by_class)):
        return "accuracies and label noise must lie in 0 .. 1"
    if not all(abs(value) < LARGEST for value in (*entry.mean, *entry.std)) or len(entry.mean) != len(entry.std):
        return f"mean and std must be as many, and below {LARGEST:g}"
    logged = [value for line in entry.log for value in line.values()]
    if not all(isinstance(value, number) and not LARGEST < abs(value) < math.inf for value in logged):
        return f"the log must hold numbers below {LARGEST:g}"
    counts = (entry.n_parameters, entry.pool_per_class, recipe.n_train, recipe.seed, *entry.layers.values())
    if not all(0 <= count < 2**63 for count in counts):
        return "numbers of layers, parameters and samples, and seeds, must lie in 0 .. 2^63"
    if len(entry.input_shape) != 3 or not all(0 < side <= MAX_SIDE for side in entry.input_shape):
        return f"input_shape must be three sizes of at most {MAX_SIDE:,}"
    if entry.called and not all(0 <= c < entry.n_classes for c in entry.pool_classes):
        return f"pool_classes must lie in 0 .. {entry.n_classes - 1}"
    texts = (*entry.trained_with, *entry.trained_with.values())
    names = (*entry.layers, recipe.dataset, recipe.arch)
    if any(printable(text) != text for text in texts) or any(harmless(name) != name for name in names):
        return "names must be text that can be printed, without < > [ ] and back-ticks"
    return ""


def _read(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.clone() for name, tensor in load_file(path).items()}  # the file may change after this
    except (OSError, SafetensorError) as error:
        raise NmfdiagError(f"The zoo file {path.name} of {path.parent.name} can't be read: {error}") from None


def remove(entry: ZooEntry) -> None:
    """Delete a network's files; its pool of samples stays while another network uses it.

    Args:
        entry: A network that was added or opened, in the user's zoo.

    Raises:
        NmfdiagError: If it is not one of those, or its files can't be deleted.
    """
    home, folder, pool = user_zoo().resolve(), entry.folder.resolve(), entry.files["pool"].resolve()
    if not entry.called or folder.parent != home or entry.folder.is_symlink() or pool.parent != home / POOLS:
        raise NmfdiagError(f"{entry.name} is not a network that was opened or added here: it is not removed.")
    try:
        (folder / ENTRY_FILE).unlink()  # first: without its record it is not a network
        refresh()
        if not any(network.files["pool"].resolve() == pool for network in entries().values()):
            pool.unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise NmfdiagError(f"{entry.name} can't be removed: {error}") from None
