"""Add a trained network to the user's zoo: a torchvision classifier with a folder laid out as ImageNet's (figure 8), or any network
that was opened with its samples.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace as _replaced
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag.data.datasets import DATASETS
from nmfdiag.data.imagenet import ClassList, folders_named, image_files, read_class_index, subfolders
from nmfdiag.errors import NmfdiagError, printable
from nmfdiag.factorize.progress import Progress
from nmfdiag.networks.checkpoints.match import TRANSFORM_INPUT
from nmfdiag.networks.checkpoints.read import network_for, options_for, read_state_dict
from nmfdiag.networks.split import SplitNetwork, find_relu_layers
from nmfdiag.zoo.files import ENTRY_FILE, POOLS
from nmfdiag.zoo.image_reader import IMAGENET, ImageReader, Preset, preset_of
from nmfdiag.zoo.open_network import Opened
from nmfdiag.zoo.recipes import RECIPES, Recipe
from nmfdiag.zoo.registry import SHIPPED, ZooEntry, refresh, user_zoo
from nmfdiag.zoo.store import MAX_LABEL, store
from nmfdiag.zoo.training import predict

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MAX_POOL_BYTES = 2**30
"""Bytes of the normalised pool in memory."""


def add(
    name: str,
    arch: str,
    weights: str | Path,
    data: str | Path,
    *,
    test: str | Path | None = None,
    classes: Sequence[str] = (),
    per_class: int = 20,
    class_index: str | Path | None = None,
    zoo: Path | None = None,
    on_progress: Progress | None = None,
) -> ZooEntry:
    """Add a torchvision classifier with trained weights to a zoo; its given labels are its images' folders.

    Args:
        name: Name of the network in the zoo.
        arch: Name of one of torchvision's classifiers, such as ``"vgg19"``.
        weights: ``"imagenet"`` (torchvision downloads its default weights), or a file: a state dict as ``.pth`` or
            ``.safetensors``.
        data: Folder ``CLASS/IMAGE`` of images that the network was trained on.
        test: The same for images that it was not trained on; without it test accuracies are unknown.
        classes: Classes to use, by folder, name, WordNet id or number; default every folder's.
        per_class: Images per class, the first by name.
        class_index: JSON file ``{"0": ["n01440764", "tench"], ...}``, which WordNet ids need.
        zoo: Folder of the zoo; default the user's.
        on_progress: Called with the share done and a short text.

    Raises:
        NmfdiagError: If the name is taken, the architecture unknown or without ReLU, the weights are missing or don't fit,
            a folder is not understood, or an image can't be decoded.
    """
    folder = free_folder(name, zoo or user_zoo())
    if per_class < 2:
        raise NmfdiagError(f"Every class needs at least 2 images, got per_class={per_class}.")
    report = on_progress or (lambda share, text: None)
    preset = preset_of(arch, weights)
    report(0.0, f"weights of {arch}")
    model, n_outputs, options = _network(arch, weights, preset)
    names = _class_list(n_outputs, preset.class_names, Path(data), class_index)
    pool, labels, files = _pool(
        folders_named(Path(data), names, classes), names, per_class, ImageReader(preset), report
    )
    draft = _draft(
        name, arch, options, model, labels,
        class_names=names.names,
        input_shape=(3, preset.crop, preset.crop),
        mean=preset.normalization.mean,
        std=preset.normalization.std,
        layers={layer.name: layer.width for layer in find_relu_layers(model, preset.normalization(pool[:2]))},
        pool=f"{name}-images",
        trained_with={"torch": torch.__version__, "weights": preset.title, "images": printable(str(data))},
        folder=folder,
    )  # fmt: skip
    accuracies = (
        {}
        if test is None
        else _test_accuracies(model, Path(test), names, draft.pool_classes, ImageReader(preset), report)
    )
    report(0.95, "writing")
    file_names = [path.relative_to(data).as_posix().encode(errors="backslashreplace").decode() for path in files]
    entry = store(_replaced(draft, **accuracies), model, pool, labels, labels, file_names=file_names)
    refresh()
    report(1.0, "done")
    return entry


def add_opened(
    name: str,
    opened: Opened,
    *,
    activations: str = "relu",
    train_size: int | None = None,
    replace: bool = False,
    zoo: Path | None = None,
    on_progress: Progress | None = None,
) -> ZooEntry:
    """Add a network that was opened, with its samples, to a zoo; weights and samples keep their precision.

    Args:
        name: Name of the network in the zoo.
        opened: Result of one of the functions of :mod:`nmfdiag.zoo.open_network`.
        activations: Outputs that are layers: ``"relu"``, or ``"all"``, for ``"signed"`` NMF.
        train_size: Number of samples that it was trained on, of which the opened ones are all or some; None if it is not known.
        replace: Whether to replace an earlier added network of that name in this zoo; a shipped one is never replaced.
        zoo: Folder of the zoo; default the user's.
        on_progress: Called with the share done and a short text.

    Raises:
        NmfdiagError: If the name is taken, the network has no such layer, or only its own code can build it again.
    """
    report = on_progress or (lambda share, text: None)
    folder = free_folder(name, zoo or user_zoo(), replace=replace)
    if not opened.arch:
        raise NmfdiagError(
            f"{opened.title} is built by its own code, which the zoo does not run: it can be diagnosed, but not added. Networks of a "
            "known architecture, opened by their weights, can be added."
        )
    report(0.0, "layers")
    network = SplitNetwork(opened.model, opened.inputs[:2], activations)
    c, h, w = (*opened.inputs.shape[1:], 1, 1)[:3]
    draft = _draft(
        name, opened.arch, opened.arch_options, opened.model, opened.given_labels, train_size or 0,
        class_names=opened.class_names,
        input_shape=(c, h, w),
        mean=opened.scaling.mean,
        std=opened.scaling.std,
        layers={layer.name: layer.width for layer in network.layers},
        pool=f"{name}-samples",
        trained_with={"torch": torch.__version__, **opened.provenance},
        folder=folder,
        activations=activations,
    )  # fmt: skip
    report(0.3, "writing")
    samples = opened.inputs if opened.stored is None else opened.stored
    entry = store(
        draft, opened.model, samples, opened.given_labels, opened.given_labels, half=False,
        sample_rows=opened.sample_rows, file_names=opened.file_names,
    )  # fmt: skip
    refresh()
    report(1.0, "done")
    return entry


def _draft(
    name: str,
    arch: str,
    options: dict[str, int],
    model: nn.Module,
    labels: Tensor,
    train_size: int = 0,
    **fields: Any,
) -> ZooEntry:
    """Return the record of a network to be added, without the hashes and accuracies that storing it brings."""
    return ZooEntry(
        recipe=Recipe(name, arch, label_noise=0.0, seed=0, n_train=train_size, arch_options=options),
        n_parameters=sum(p.numel() for p in model.parameters()),
        train_accuracy=0.0, test_accuracy=None, test_accuracy_by_class=(), pool_accuracy=0.0, log=(), sha256={},
        pool_classes=tuple(labels.unique().tolist()), pool_per_class=int(labels.bincount().max()), called=name,
        **fields,
    )  # fmt: skip


def free_folder(name: str, zoo: Path, *, replace: bool = False) -> Path:
    """Return the folder that a network of that name goes to.

    Raises:
        NmfdiagError: If the name is invalid or taken.
    """
    if not NAME.fullmatch(name) or name.lower() == POOLS or name.endswith("."):
        raise NmfdiagError(f"A network's name is letters, digits and the signs _ . - after the first, got {name!r}.")
    folder = zoo / name
    is_reserved = name in DATASETS or name in RECIPES or (SHIPPED / name / ENTRY_FILE).exists()
    if (
        is_reserved
        or folder.is_symlink()
        or folder.is_file()
        or ((folder / ENTRY_FILE).exists() and not (replace and _was_added(folder)))
    ):
        raise NmfdiagError(f"The name {name!r} is taken: choose another one, or remove the folder {folder}.")
    return folder


def _was_added(folder: Path) -> bool:
    """Return whether a folder holds a network that was added, and is not a link."""
    try:
        called = json.loads((folder / ENTRY_FILE).read_text(encoding="utf-8")).get("called")
    except (OSError, ValueError, AttributeError):
        return False
    return bool(called == folder.name and not folder.is_symlink())


def _network(arch: str, weights: str | Path, preset: Preset) -> tuple[nn.Module, int, dict[str, int]]:
    """Return the network in evaluation mode with its weights, its number of outputs, and the options that build it."""
    if str(weights) != IMAGENET and not os.path.exists(weights):  # Path's own raises for names that are too long
        raise NmfdiagError(
            f"There is no weights file {weights}: accepted are {IMAGENET!r} or a .pth or .safetensors file."
        )
    state = _downloaded(arch, preset) if str(weights) == IMAGENET else read_state_dict(Path(weights))
    options = options_for(arch, state) | ({"transform_input": 1} if arch in TRANSFORM_INPUT else {})
    shape = (3, preset.crop, preset.crop)
    model, n_outputs = network_for(arch, state, shape, title=preset.title, options=options)
    if n_outputs > MAX_LABEL + 1:
        raise NmfdiagError(f"{preset.title} has {n_outputs:,} outputs, accepted are {MAX_LABEL + 1:,}.")
    return model, n_outputs, options


def _downloaded(arch: str, preset: Preset) -> dict[str, Tensor]:
    from torchvision import models

    try:
        state = models.get_weight(preset.title).get_state_dict(check_hash=True, progress=False, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise NmfdiagError(
            f"torchvision could not download its weights of {arch} ({error}). Offline, give the path of a state dict instead."
        ) from None
    return dict(state)


def _class_list(n_outputs: int, preset_names: tuple[str, ...], data: Path, class_index: str | Path | None) -> ClassList:
    if class_index is not None:
        classes = read_class_index(Path(class_index))
        if len(classes.names) != n_outputs:
            raise NmfdiagError(
                f"The class index {Path(class_index).name} has {len(classes.names)} classes, the network {n_outputs}."
            )
        return classes
    if n_outputs == len(preset_names):
        return ClassList.from_names(preset_names)
    folders = [path.name for path in subfolders(data)]
    return ClassList.from_names(folders if len(folders) == n_outputs else [str(c) for c in range(n_outputs)])


def _pool(
    folders: dict[int, Path], names: ClassList, per_class: int, reader: ImageReader, report: Progress
) -> tuple[Tensor, Tensor, list[Path]]:
    """Return images (n, 3, crop, crop) uint8, their classes (n,) and their files."""
    files = {c: image_files(path, per_class) for c, path in folders.items()}
    for c, paths in files.items():
        if len(paths) < 2:
            raise NmfdiagError(f"Class {names.names[c]} needs at least 2 images, {folders[c]} has {len(paths)}.")
    image_bytes, n_images = 3 * reader.preset.crop**2 * 4, sum(map(len, files.values()))
    if n_images * image_bytes > MAX_POOL_BYTES:
        raise NmfdiagError(
            f"{n_images:,} images of {len(files)} classes take {n_images * image_bytes / 2**30:.1f} GiB in memory, accepted are "
            f"{MAX_POOL_BYTES >> 30}: choose classes (--classes), or fewer images of each (--per-class)."
        )
    images = []
    for i, (c, path) in enumerate((c, path) for c, paths in files.items() for path in paths):
        report(0.1 + 0.4 * i / n_images, names.names[c])
        images.append(reader.read(path))
    labels = [c for c, paths in files.items() for _ in paths]
    return torch.stack(images), torch.tensor(labels), [path for paths in files.values() for path in paths]


def _test_accuracies(
    model: nn.Module, test: Path, names: ClassList, present: Sequence[int], reader: ImageReader, report: Progress
) -> dict[str, Any]:
    """Return accuracies on a folder of test images of the pool's classes."""
    hits: dict[int, tuple[int, int]] = {}
    folders = {c: path for c, path in folders_named(test, names, ()).items() if c in present}
    for i, (c, folder) in enumerate(folders.items()):
        report(0.5 + 0.45 * i / len(folders), f"test images, {names.names[c]}")
        answers = [
            a for batch in _batches(image_files(folder), reader) for a in predict(model, batch).argmax(1).tolist()
        ]
        hits[c] = sum(a == c for a in answers), len(answers)
    n = sum(count for _, count in hits.values())
    if not n:
        raise NmfdiagError(f"{test} has no image of the {len(present)} chosen classes.")
    by_class = [hits[c][0] / hits[c][1] if hits.get(c, (0, 0))[1] else None for c in range(len(names.names))]
    return {
        "test_accuracy": sum(correct for correct, _ in hits.values()) / n,
        "test_accuracy_by_class": tuple(by_class),
    }


def _batches(files: list[Path], reader: ImageReader, size: int = 64) -> Iterator[Tensor]:
    for i in range(0, len(files), size):
        yield reader.preset.normalization(torch.stack([reader.read(path) for path in files[i : i + size]]))
