"""Turn samples and labels in any form into one tensor each. Every public function reads its samples here."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from nmfdiag.data.arrays import as_tensor, describe_values
from nmfdiag.data.labels import as_labels
from nmfdiag.errors import NmfdiagError

ACCEPTED_SAMPLES = "accepted are a tensor or array (n, ...) as the network takes it, a Dataset, or a DataLoader"
LABEL_NAMES = ("y", "label", "labels", "target", "targets")
"""Entries of a dictionary that hold labels."""
CASTABLE = (torch.float32, torch.float64)
"""Precisions of a network to which inputs are converted; half precision is not supported."""
MAX_SAMPLE_BYTES = 8 * 2**30
"""Largest size of the samples that are read from a Dataset or DataLoader."""


@dataclass(frozen=True)
class _Source:
    """A caller's inputs: the samples, the labels that come with them (by batch), and whether their order may change."""

    inputs: Any
    labels: Any = None
    batched: bool = False
    shuffled: bool = False

    def own_labels(self) -> Tensor | None:
        """Return the labels that come with the samples."""
        if self.labels is None:
            return None
        return torch.cat([as_labels(part) for part in self.labels]) if self.batched else as_labels(self.labels)


def as_samples(
    inputs: Any, labels: Any = None, model: nn.Module | None = None, *, role: str = "", at_least: int = 2
) -> tuple[Tensor, Tensor]:
    """Return inputs and labels in the form in which they are measured; the caller's objects are not changed.

    Args:
        inputs: Samples (n, ...), as the network takes them: a tensor, a NumPy array, a pandas frame or a list; or a Dataset,
            DataLoader, list of pairs, pair or dictionary that has labels, too.
        labels: Their given labels: whole numbers (n,), or one-hot rows (n, classes). None if ``inputs`` include them; those
            of a Dataset that is read in order are replaced.
        model: The network, to whose precision floating-point inputs are converted.
        role: A word before "inputs" in errors, such as ``"probe"``.
        at_least: Smallest number of samples.

    Returns:
        Inputs (n, ...), and labels (n,) int64 on the CPU.

    Raises:
        NmfdiagError: If they are of another kind, not finite, of different lengths or too few; or if labels are text,
            probabilities or missing.
    """
    source = _source(inputs, alone=labels is None)
    own_labels = source.own_labels() if labels is None or source.shuffled else None
    given_labels = as_labels(labels) if labels is not None or own_labels is None else own_labels
    if (
        source.shuffled
        and labels is not None
        and not (own_labels is not None and torch.equal(given_labels, own_labels))
    ):
        raise NmfdiagError(
            "The labels differ from the DataLoader's, and it shuffles its samples, so labels can't be matched with samples: "
            "give the DataLoader alone (labels=None), or one with shuffle=False."
        )
    samples = _checked(source.inputs, model)
    if len(samples) != len(given_labels):
        hint = _several_inputs_hint(inputs, len(given_labels))
        raise NmfdiagError(
            f"There are {len(samples)} {f'{role} ' * bool(role)}inputs but {len(given_labels)} labels: a measurement needs at least 2 inputs and "
            f"as many whole labels.{hint}"
        )
    if len(given_labels) < at_least:
        raise NmfdiagError(f"A measurement needs at least {at_least} samples, got {len(given_labels)}.")
    return samples, given_labels


def as_inputs(inputs: Any, model: nn.Module | None = None) -> Tensor:
    """Return inputs alone as a tensor (n, ...), as :func:`as_samples` does.

    Raises:
        NmfdiagError: As in :func:`as_samples`.
    """
    return _checked(_source(inputs, alone=True).inputs, model)


def _checked(inputs: Any, model: nn.Module | None) -> Tensor:
    """Return inputs as a tensor of finite numbers, in the precision of the network."""
    samples = as_tensor(inputs, "inputs", ACCEPTED_SAMPLES)
    if samples.ndim == 0:
        raise NmfdiagError(f"The inputs are one number: {ACCEPTED_SAMPLES}.")
    if samples.is_floating_point() and not _is_finite(samples):
        raise NmfdiagError("The inputs hold NaN or infinite values: only finite ones are accepted.")
    precisions = (
        {p.dtype for p in model.parameters() if p.is_floating_point()} if isinstance(model, nn.Module) else set()
    )
    dtype = precisions.pop() if len(precisions) == 1 else samples.dtype
    return samples.to(dtype) if samples.is_floating_point() and dtype in CASTABLE else samples


def _is_finite(samples: Tensor) -> bool:
    """Return whether all values are finite; unlike ``torch.isfinite`` this takes no memory."""
    return not samples.numel() or all(bool(torch.isfinite(value)) for value in torch.aminmax(samples))


def _source(inputs: Any, *, alone: bool) -> _Source:
    """Separate samples from their labels where both are in one object.

    Args:
        inputs: As in :func:`as_samples`.
        alone: Whether there are no separate labels.
    """
    if isinstance(inputs, DataLoader):
        batched = inputs.batch_size is not None or inputs.batch_sampler is not None
        return _read_all(inputs, batched, shuffled=is_shuffled(inputs))
    if isinstance(inputs, Dataset) or _is_dataset(inputs):
        return _read_all(inputs, False)
    if isinstance(inputs, list) and inputs and all(_is_pair(value) for value in inputs):
        return _read_all(inputs, False)
    if isinstance(inputs, Mapping):
        if not (alone and any(str(name).lower() in LABEL_NAMES for name in inputs)):
            raise NmfdiagError(
                f"The inputs are {describe_values(inputs)}: give the tensor itself; wrap a network that takes a dictionary "
                "into a module whose forward takes one tensor."
            )
        return _Source(*_entries(inputs, "inputs"))
    if isinstance(inputs, tuple) and any(hasattr(value, "shape") for value in inputs):
        if alone and len(inputs) == 2 and _are_samples_and_labels(*inputs):
            return _Source(*inputs)
        shapes = ", ".join(str(tuple(getattr(value, "shape", ()))) for value in inputs)
        raise NmfdiagError(
            f"The inputs are a tuple of {len(inputs)} ({shapes}): give one tensor (n, ...); wrap a network of several inputs into a "
            "module whose forward takes one."
        )
    return _Source(inputs)


def is_shuffled(inputs: Any) -> bool:
    """Return whether samples come in another order each time that they are read."""
    return isinstance(inputs, DataLoader) and not isinstance(inputs.sampler, SequentialSampler)


def _read_all(source: Any, batched: bool, *, shuffled: bool = False) -> _Source:
    """Read all samples of a Dataset, or batches of a DataLoader."""
    name = type(source).__name__
    parts: list[Tensor] = []
    labels: list[Any] = []
    n_bytes = 0
    with _preserved_random_state(), _own_code_errors(f"The {name} can't be read"):
        for item in iter(source) if hasattr(source, "__iter__") else (source[i] for i in range(len(source))):
            x, y = _entries(item, f"samples of the {name}")
            parts.append(as_tensor(x, f"samples of the {name}", ACCEPTED_SAMPLES))
            labels.append(y)
            n_bytes += parts[-1].nbytes
            if n_bytes > MAX_SAMPLE_BYTES:
                raise NmfdiagError(
                    f"The {name} holds more than {MAX_SAMPLE_BYTES >> 30} GiB of samples: give a Subset of it."
                )
    if not parts:
        raise NmfdiagError(f"The {name} holds no samples.")
    shapes = sorted({tuple(part.shape[batched:]) for part in parts})
    if len(shapes) > 1:
        raise NmfdiagError(
            f"The {name} holds samples of different shapes ({', '.join(map(str, shapes[:3]))}): give all of them one shape."
        )
    together = torch.cat(parts) if batched else torch.stack(parts)
    return _Source(together, None if all(y is None for y in labels) else labels, batched, shuffled)


@contextmanager
def _own_code_errors(sentence: str) -> Iterator[None]:
    """Turn an exception of a caller's own code into one sentence."""
    try:
        yield
    except NmfdiagError:
        raise
    except Exception as error:
        raise NmfdiagError(f"{sentence}: {type(error).__name__}: {str(error)[:200]}") from error


def _entries(item: Any, role: str) -> tuple[Any, Any]:
    """Return input and label of an item: a pair, a dictionary with one of each, or an input alone."""
    if isinstance(item, Mapping):
        labels = [name for name in item if str(name).lower() in LABEL_NAMES]
        inputs = [name for name in item if name not in labels]
        if len(labels) > 1 or len(inputs) != 1:
            raise NmfdiagError(
                f"The {role} are {describe_values(item)}: expected one input, and one label under {' or '.join(LABEL_NAMES)}."
            )
        return item[inputs[0]], item[labels[0]] if labels else None
    if isinstance(item, tuple | list):
        if len(item) not in (1, 2):
            raise NmfdiagError(f"The {role} are {type(item).__name__}s of {len(item)} parts: expected (input, label).")
        return item[0], item[1] if len(item) == 2 else None
    return item, None


@contextmanager
def _preserved_random_state() -> Iterator[None]:
    """Preserve random states: a Dataset that augments its samples, or a DataLoader that shuffles, draws random numbers."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _is_dataset(source: Any) -> bool:
    """Return whether an object is read sample by sample, like a Dataset of another library."""
    sized = hasattr(type(source), "__getitem__") and hasattr(type(source), "__len__")
    array = (
        isinstance(source, Tensor | Mapping | list | tuple | str | bytes)
        or hasattr(source, "__array__")
        or hasattr(source, "to_numpy")
    )
    return sized and not array


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "shape")


def _are_samples_and_labels(x: Any, y: Any) -> bool:
    """Return whether two arrays are samples, and one label or one-hot row for each."""
    x, y = tuple(getattr(x, "shape", ())), np.asarray(y) if isinstance(y, list) else y
    whole = not getattr(y, "is_floating_point", lambda: getattr(y, "dtype", None) is not None and y.dtype.kind == "f")()
    return len(x) > 0 and tuple(getattr(y, "shape", ()))[:1] == x[:1] and (whole or y.ndim == 1) and y.ndim <= 2


def _several_inputs_hint(inputs: Any, n: int) -> str:
    """Return a hint for a list of several inputs, each as long as the labels."""
    if isinstance(inputs, list) and all(hasattr(value, "__len__") and len(value) == n for value in inputs):
        return f" The list has {len(inputs)} parts of {n} each: give one tensor (n, ...)."
    return ""
