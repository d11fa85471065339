"""What a network says about the labels of its samples, for a diagnosis."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.controls import MOST_SCORED
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.text import plural

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nmfdiag.factorize.progress import Progress


def labelled_only(inputs: "Tensor", labels: "Tensor") -> tuple["Tensor", "Tensor", str]:
    """Return the samples without those of negative labels, which mark samples that have none, and a remark if there are any.

    Raises:
        NmfdiagError: If all labels are negative.
    """
    labelled = labels >= 0
    n_labelled = int(labelled.sum())
    if not n_labelled:
        raise NmfdiagError("No sample has a label: all labels are negative.")
    if n_labelled == len(labels):
        return inputs, labels, ""
    remark = f"{len(labels) - n_labelled} of {plural(len(labels), 'sample')} have a negative label, which stands for a missing one: they are left out."
    return inputs[labelled.to(inputs.device)], labels[labelled], remark


def scored_labels(
    model: "nn.Module",
    inputs: "Tensor",
    labels: "Tensor",
    options: Mapping[str, Any],
    class_names: Sequence[str],
    on_progress: "Progress",
    score: Callable[..., Suspects],
) -> tuple[Suspects | None, str]:
    """Return what the network says about the labels by ``score``, or None and a remark that says why that can't be measured."""
    names = {"logits", "channel_dim"} & set(options)
    per_class = None if len(inputs) <= MOST_SCORED else MOST_SCORED // max(1, len(labels.unique()))
    try:
        return score(
            model,
            inputs,
            labels,
            per_class=per_class,
            class_names=class_names if len(class_names) > int(labels.max()) else (),
            on_progress=on_progress,
            **{name: options[name] for name in names if not isinstance(options[name], Mapping)},
        ), ""
    except NmfdiagError as error:
        return None, f"What it says about the labels could not be measured: {error}"
