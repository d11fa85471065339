"""Find the logits in a network's output (a tensor, or a tuple, list, dictionary or record with one in it), and compare logits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

REPRODUCES = {torch.float16: 5e-3, torch.bfloat16: 3e-2}
"""Largest relative difference between logits and the network's own, by their type."""
REPRODUCES_FLOAT = 1e-4
"""The same for all other types."""

NAMED = "logits"
CLEARLY = 0.05
"""Lead in agreement with the labels at which an output is clearly the logits."""


@dataclass(frozen=True)
class LogitsChoice:
    """The choice of the logits among a network's outputs.

    Attributes:
        path: Keys or indices from the outermost to the tensor's, joined by dots; empty if the output is the tensor.
        note: Sentence on what was chosen and why; empty if there was no choice.
    """

    path: str
    note: str = ""

    def take(self, output: Any) -> Tensor:
        """Return the logits (n, classes) of an output of the same network."""
        return dict(_tensors(output))[self.path]


def candidates(output: Any, n: int | None = None) -> dict[str, Tensor]:
    """Return the outputs that may be logits, tensors (n, two or more), by their paths."""
    return {
        path: value
        for path, value in _tensors(output)
        if value.ndim == 2 and value.shape[1] > 1 and value.is_floating_point() and n in (None, len(value))
    }


def named_logits(output: Any, path: str | int | None, n: int | None = None) -> LogitsChoice | None:
    """Choose the logits in an output, by name or if there is no doubt.

    Args:
        output: The network's output.
        path: Key or index of the logits; None to choose them.
        n: Number of samples.

    Returns:
        The choice; None where several tensors may be the logits.

    Raises:
        NmfdiagError: If nothing can be the logits, or the named output can't.
    """
    usable = candidates(output, n)
    if path is not None:
        if str(path) not in usable:
            choices = (
                ", ".join(f"{key or 'the output'} {tuple(value.shape)}" for key, value in usable.items()) or "none"
            )
            raise NmfdiagError(
                f"logits={path!r} is not an output of shape (n, classes): the network returns {choices}."
            )
        return LogitsChoice(str(path), f"Output {path!r} is taken for the logits, as asked for.")
    meant = [value for key, value in _tensors(output) if key.rpartition(".")[2] == NAMED]
    if not usable or (len(meant) == 1 and not any(value is meant[0] for value in usable.values())):
        raise _no_logits(meant or [value for _, value in _tensors(output)], output)
    named_paths = [key for key in usable if key.rpartition(".")[2] == NAMED]
    if len(usable) == 1 or len(named_paths) == 1:
        [key] = named_paths if len(named_paths) == 1 else usable
        listing = ", ".join(f"{name} {tuple(v.shape[1:])}" for name, v in usable.items() if name != key)
        return LogitsChoice(key, f"Output {key!r} is taken for the logits, not {listing}." if listing else "")
    return None


def agreeing_logits(outputs: Mapping[str, Tensor], labels: Tensor) -> LogitsChoice:
    """Choose the logits among several outputs by the number of classes and by how often they agree with the labels.

    Args:
        outputs: Candidates (n, columns) by their paths.
        labels: The given labels (n,).

    Raises:
        NmfdiagError: If none of them has as many columns as there are classes.
    """
    n_classes = int(labels.max()) + 1
    shares = {
        path: float((value.argmax(1).cpu() == labels.cpu()).float().mean())
        for path, value in outputs.items() if value.shape[1] >= n_classes
    }  # fmt: skip
    described = ", ".join(f"{path} of {value.shape[1]}" for path, value in outputs.items())
    if not shares:
        raise NmfdiagError(f"None of the network's outputs ({described}) has {n_classes} columns or more, one a class.")
    best = max(shares, key=lambda path: shares[path])
    close = [path for path, share in shares.items() if share >= shares[best] - CLEARLY]
    exact = [path for path in close if outputs[path].shape[1] == n_classes]
    choice = (exact or close)[0]
    note = f"The network returns {len(outputs)} tensors ({described} columns): {choice!r} is taken for the logits"
    reason = f"it agrees with {shares[choice]:.0%} of the labels"
    doubt = (
        f", and so does {' or '.join(repr(p) for p in close if p != choice)} nearly; logits= names another"
        if len(close) > 1
        else ""
    )
    return LogitsChoice(choice, f"{note}, since {reason}{doubt}.")


def logits_of(output: Any) -> Tensor:
    """Return the logits (n, classes) in an output: the entry named ``logits``, or the first that may be.

    Raises:
        NmfdiagError: If no entry has two classes or more.
    """
    choice = named_logits(output, None)
    return next(iter(candidates(output).values())).detach() if choice is None else choice.take(output).detach()


def _entries(output: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of an output that holds several."""
    if isinstance(output, Mapping):
        yield from ((str(key), value) for key, value in output.items())
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        yield from zip(output._fields, output, strict=True)
    elif isinstance(output, tuple | list):
        yield from ((str(index), value) for index, value in enumerate(output))
    elif is_dataclass(output) and not isinstance(output, type):
        yield from ((entry.name, getattr(output, entry.name)) for entry in fields(output))
    elif hasattr(output, "__dict__") and not isinstance(output, Tensor | torch.nn.Module):
        yield from vars(output).items()


def _tensors(output: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        yield prefix, output
    elif depth < 4:
        for key, value in _entries(output):
            yield from _tensors(value, f"{prefix}.{key}" if prefix else key, depth + 1)


def _no_logits(tensors: list[Tensor], output: Any) -> NmfdiagError:
    if not tensors:
        return NmfdiagError(
            f"The network must return logits, a tensor or a tuple or dict with one; got {type(output).__name__}."
        )
    first = tensors[0]
    single = first.ndim == 1 or (first.ndim == 2 and first.shape[1] == 1)
    cure = " Of a network with one logit x make one with two, torch.cat([-x, x], 1)." if single else ""
    return NmfdiagError(
        f"The network must return logits (n, classes), a row a sample and two classes or more; got {tuple(first.shape)}.{cure}"
    )


def same_logits(got: Tensor, expected: Tensor) -> bool:
    """Return whether logits (n, classes) are as expected, each up to a small share of its distance from the sample's best one."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    equal = (got == expected) | (got.isnan() & expected.isnan())
    if bool(equal.all()):
        return True
    got, expected, equal = (torch.atleast_2d(value).flatten(1) for value in (got, expected, equal))
    comparable = got.isfinite() & expected.isfinite()
    return bool(
        (equal | (comparable & ((got.double() - expected.double()).abs() <= _allowed_distance(expected)))).all()
    )


def _allowed_distance(expected: Tensor) -> Tensor:
    """Return the largest difference of each logit (n, classes); masked and constant classes don't enlarge it for others."""
    values = expected.double()
    changing = values[:, (values != values[:1]).any(0)]
    competing = values if changing.shape[1] < 2 else changing
    finite = competing.masked_fill(~competing.isfinite(), -torch.inf)
    best = finite.topk(min(2, finite.shape[1]), dim=1).values
    distances = (values - best[:, :1]).abs().nan_to_num(posinf=0.0)
    tolerance = REPRODUCES.get(expected.dtype, REPRODUCES_FLOAT)
    rounding = 32 * torch.finfo(expected.dtype).eps
    usual_gap, usual_size = _upper_median(best[:, 0] - best[:, -1]), _upper_median(best.abs())
    return tolerance * distances.clamp(min=usual_gap) + rounding * values.abs().nan_to_num(posinf=0.0).clamp(
        min=usual_size
    )


def _upper_median(values: Tensor) -> float:
    ordered = values[values.isfinite()].sort().values
    return float(ordered[len(ordered) // 2]) if len(ordered) else 0.0
