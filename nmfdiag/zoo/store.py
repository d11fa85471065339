"""Write a trained network into a zoo folder, and check that its files are still those that were written."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from nmfdiag.data.datasets import Dataset, load
from nmfdiag.data.probe import stratified_subset
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.split import find_relu_layers
from nmfdiag.provenance import provenance
from nmfdiag.zoo.files import sha256_of
from nmfdiag.zoo.placement import placed
from nmfdiag.zoo.recipes import Recipe
from nmfdiag.zoo.registry import ZooEntry, write_entry
from nmfdiag.zoo.sample_names import record_samples
from nmfdiag.zoo.training import Trained, TrainingSet, accuracy, predict, training_set

POOL_SIZE, POOL_BYTES = 1000, 2**21
SAME_ACCURACY = 0.005
MAX_LABEL = 2**15 - 1
"""Largest label: labels are stored as int16."""


def keep(recipe: Recipe, trained: Trained, samples: TrainingSet, train: Dataset, zoo: Path) -> ZooEntry:
    """Write weights (float16), probe labels, the probe pool of this data set and seed, and the entry's record.

    Args:
        recipe: The recipe.
        trained: The result of training.
        samples: The samples that it was trained on.
        train: Their data set.
        zoo: Folder of the zoo; the network goes into a folder of its name.

    Returns:
        The entry, with the accuracies of the stored weights.
    """
    bytes_each = samples.inputs[0].numel() * (2 if samples.inputs.is_floating_point() else 1)
    size = min(POOL_SIZE, POOL_BYTES // bytes_each, len(samples.index))
    pool = stratified_subset(samples.labels.true, size, recipe.seed)
    example = samples.normalization(samples.inputs[:2])
    draft = ZooEntry(
        recipe=recipe,
        class_names=train.class_names,
        input_shape=train.input_shape,
        mean=samples.normalization.mean,
        std=samples.normalization.std,
        layers={layer.name: layer.width for layer in find_relu_layers(trained.model, example)},
        n_parameters=sum(p.numel() for p in trained.model.parameters()),
        train_accuracy=trained.train_accuracy,
        test_accuracy=trained.test_accuracy,
        test_accuracy_by_class=tuple(trained.test_accuracy_by_class),
        pool_accuracy=0.0,
        log=tuple(trained.log),
        pool=f"{recipe.dataset}-n{recipe.n_train}-s{recipe.seed}",
        sha256={},
        trained_with=provenance("torch", "processor", seconds=f"{trained.seconds:.0f}"),
        folder=zoo / recipe.name,
    )
    labels = samples.labels
    return store(
        draft,
        trained.model,
        samples.inputs[pool],
        labels.given[pool],
        labels.true[pool],
        sample_rows=samples.index[pool],
    )


def store(
    draft: ZooEntry,
    model: nn.Module,
    inputs: Tensor,
    given_labels: Tensor,
    true_labels: Tensor,
    *,
    half: bool = True,
    sample_rows: Tensor | None = None,
    file_names: Sequence[str] = (),
) -> ZooEntry:
    """Write a network's files and its record, all of them or none, in place of an earlier one.

    Args:
        draft: The record, without the hashes of the files and the accuracy on the pool.
        model: The network.
        inputs: The pool's inputs (n, ...), uint8 or before normalisation.
        given_labels: Their given labels (n,).
        true_labels: Their true labels (n,).
        half: Whether weights and inputs are stored in float16 where they fit; else in their precision.
        sample_rows: The samples' numbers in the training data (n,), ascending, where they are known.
        file_names: Their paths in the folder or zip that they came from (n,), where there are any.

    Returns:
        The draft with hashes and the accuracy of the stored weights; for a user's network that is also its accuracy
        on training samples.

    Raises:
        NmfdiagError: If a label is above :data:`MAX_LABEL`, or a file can't be written.
    """
    labels = {"given": given_labels, "true": true_labels}
    names = record_samples(sample_rows, file_names)
    with placed(draft.folder) as aside:
        written = _written(replace(draft, folder=aside), model, inputs, labels, names, in_half=half)
    return replace(written, folder=draft.folder)


def _written(
    draft: ZooEntry,
    model: nn.Module,
    inputs: Tensor,
    labels: dict[str, Tensor],
    names: dict[str, Tensor],
    *,
    in_half: bool = True,
) -> ZooEntry:
    largest = max(int(values.max()) if len(values) else 0 for values in labels.values())
    if largest > MAX_LABEL:
        raise NmfdiagError(f"{draft.name} has samples of class {largest:,}, accepted are up to {MAX_LABEL:,}.")
    for path in draft.files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    convert = _halved if in_half else _copied
    _save({name: convert(value) for name, value in model.state_dict().items()}, draft.files["weights"])
    _save({name: values.short() for name, values in labels.items()} | names, draft.files["labels"])
    _save({"inputs": convert(inputs)}, draft.files["pool"])
    hashed = replace(draft, sha256={part: sha256_of(path) for part, path in draft.files.items()})
    accuracy_on_pool = pool_accuracy(hashed)
    entry = replace(
        hashed,
        pool_accuracy=accuracy_on_pool,
        train_accuracy=accuracy_on_pool if draft.called else draft.train_accuracy,
    )
    write_entry(entry)
    return entry


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # a full disk
        raise NmfdiagError(f"{path} can't be written: {error}") from None


def _halved(values: Tensor) -> Tensor:
    half = values.half() if values.is_floating_point() else values
    return (half if bool(torch.isfinite(half).all()) else values).contiguous()


def _copied(values: Tensor) -> Tensor:
    """Return a copy that shares no memory with another tensor, which the format would refuse."""
    return values.detach().clone().contiguous()


def pool_accuracy(entry: ZooEntry) -> float:
    """Return the accuracy of the stored weights on the given labels of the probe pool."""
    pool = entry.load_pool()
    return accuracy(predict(entry.load_model(), pool.inputs), pool.given_labels)


def verify(entry: ZooEntry, *, root: str | None = None) -> list[str]:
    """Recompute a network's hashes and accuracies; return what is wrong, nothing if all is well.

    Accuracy on the probe pool is always recomputed; accuracies on the data set where it is on disk.
    """
    try:
        damaged = [part for part, path in entry.files.items() if sha256_of(path) != entry.sha256[part]]
        if damaged:
            return [f"{part}: the file's hash is not the recorded one" for part in damaged]
        accuracies = {"probe pool": (pool_accuracy(entry), entry.pool_accuracy)}
    except NmfdiagError as error:
        return [str(error)]
    with suppress(NmfdiagError):
        accuracies |= _dataset_accuracies(entry, root)  # the data set may not be on this disk
    return [
        f"{name}: accuracy is {accuracy_now:.4f}, recorded is {accuracy_then:.4f}"
        for name, (accuracy_now, accuracy_then) in accuracies.items()
        if abs(accuracy_now - accuracy_then) > SAME_ACCURACY
    ]


def _dataset_accuracies(entry: ZooEntry, root: str | None) -> dict[str, tuple[float, float]]:
    if entry.called or entry.test_accuracy is None:
        raise NmfdiagError(f"{entry.name} was added: its data set has no name.")
    test = load(entry.recipe.dataset, "test", root=root)
    samples = training_set(entry.recipe, load(entry.recipe.dataset, "train", root=root))
    model = entry.load_model()
    on_train = accuracy(predict(model, samples.normalization(samples.inputs)), samples.labels.given)
    on_test = accuracy(predict(model, samples.normalization(test.inputs)), test.labels)
    return {"training set": (on_train, entry.train_accuracy), "test set": (on_test, entry.test_accuracy)}
