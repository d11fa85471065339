"""The pre-flight check of a network: what a diagnosis will measure, what it will skip, its cost, and what looks wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from nmfdiag.data.normalization import Normalization
from nmfdiag.data.probe import multi_class_batch, single_class_batch
from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.auc_sentences import FEW_CLASSES, few_classes_text
from nmfdiag.measures.methods import activations_for, method_of
from nmfdiag.measures.preflight.accuracy import Answers, answer_remarks, answers_of
from nmfdiag.measures.preflight.cost import Cost, estimate_cost, places_of
from nmfdiag.measures.suspects.controls import MOST_SCORED
from nmfdiag.networks.activations import RELUS, kinds_of
from nmfdiag.networks.evaluation import plainly
from nmfdiag.networks.layers import ReluLayer
from nmfdiag.networks.outputs import logits_of
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.networks.survey import AUXILIARY_MARK, Survey, survey
from nmfdiag.text import estimated_range, plural

FEW_SAMPLES = 10
"""Samples per class below which a remark is made."""
LONG_SECONDS = 3600.0
"""Estimated duration above which a remark is made, in seconds."""


@dataclass(frozen=True)
class PlannedLayer:
    """A layer that will be measured.

    Attributes:
        name: The layer's name.
        kind: Its activation function, such as ``"ReLU"``.
        width: Number of its channels.
        rows: Rows of the activation matrix of the largest batch.
        bytes: Size of that matrix.
    """

    name: str
    kind: str
    width: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Preflight:
    """What a profile with these settings will measure and cost.

    Attributes:
        layers: The layers that will be measured, from input to output.
        skipped: Reasons why other modules, layers and classes won't be.
        batches: Samples in each class's batch.
        accuracy: Share of the samples that the network classifies as labelled.
        accuracy_by_class: The same of each class.
        seconds: Estimated duration of a diagnosis here, with these curves and the scores of all labels, within :data:`nmfdiag.text.ESTIMATE_FACTOR`.
        bytes: Estimated peak of its tensors, above what is loaded; the layers' graphs take another 1 to 2 MiB each.
        remarks: What looks wrong, or limits what the profile can say.
        better: Name of a normalisation with clearly higher accuracy; empty if none is known.
        label_seconds: The part of ``seconds`` that scores the labels, which does not depend on ``per_class``.
        provenance: Its key in the cache, where it was kept there.
    """

    layers: tuple[PlannedLayer, ...]
    skipped: dict[str, str]
    batches: dict[int, int]
    accuracy: float
    accuracy_by_class: dict[int, float]
    seconds: float
    bytes: int
    remarks: tuple[str, ...]
    better: str = ""
    label_seconds: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON record."""
        by_class = {
            name: {str(c): v for c, v in getattr(self, name).items()} for name in ("batches", "accuracy_by_class")
        }
        return (
            asdict(self)
            | by_class
            | {"layers": [asdict(layer) for layer in self.layers], "remarks": list(self.remarks)}
        )

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Preflight":
        """Return the check of a record made by :meth:`to_dict`."""
        by_class = {name: {int(c): v for c, v in record[name].items()} for name in ("batches", "accuracy_by_class")}
        layers = tuple(PlannedLayer(**layer) for layer in record["layers"])
        return cls(**(record | by_class | {"layers": layers, "remarks": tuple(record["remarks"])}))


def preflight(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor | None = None,
    *,
    per_class: int = 50,
    methods: Sequence[str] = ("nmf",),
    activations: str | None = None,
    layers: Sequence[str] | None = None,
    n_draws: int = 1,
    alternatives: tuple[Tensor, Mapping[str, Normalization]] | None = None,
    logits: str | int | None = None,
    channel_dim: int | Mapping[str, int] | None = None,
) -> Preflight:
    """Check, in seconds, what :func:`nmfdiag.layer_profile` would measure of a network and its samples.

    Args:
        model: The network; its mode stays as it is.
        inputs: Training samples (n, ...) as model input.
        labels: Their given labels (n,); None if ``inputs`` include them.
        per_class: Samples per batch at most.
        methods: Methods of the profile.
        activations: Layers of the profile, ``"relu"`` or ``"all"``; default as for the profile.
        layers: Layers to check; default all.
        n_draws: Number of times the profile draws each batch.
        alternatives: The samples before normalisation, and candidate normalisations by name; default is what the range of
            ``inputs`` suggests.
        logits: As for the profile.
        channel_dim: As for the profile.

    Raises:
        NmfdiagError: If the network can't take the samples, there are fewer than two, or an option is out of range.
    """
    inputs, labels = as_samples(inputs, labels, model)
    for method in methods:
        method_of(method)
    activations = activations or activations_for(methods)
    kinds = kinds_of(activations)
    with plainly():
        return _preflight(
            model,
            inputs,
            labels,
            per_class,
            methods,
            activations,
            kinds,
            layers,
            n_draws,
            alternatives,
            logits,
            channel_dim,
        )


def _preflight(
    model: nn.Module, inputs: Tensor, labels: Tensor, per_class: int, methods: Sequence[str], activations: str,
    kinds: frozenset[str], layers: Sequence[str] | None, n_draws: int,
    alternatives: tuple[Tensor, Mapping[str, Normalization]] | None, logits: str | int | None,
    channel_dim: int | Mapping[str, int] | None,
) -> Preflight:  # fmt: skip
    network_survey = survey(model, inputs[:2])
    network, planned, pick = None, [], logits_of
    if any(layer.kind in kinds for layer in network_survey.layers):
        network = SplitNetwork(
            model, inputs[:2], activations, logits=logits, channel_dim=channel_dim, samples=(inputs, labels)
        )
        network.check_mixing(inputs)
        pick = network.pick
    answers = answers_of(model, inputs, labels, network_survey, pick)
    sizes, skipped = _batches(labels, per_class, answers.n_outputs)
    if network is not None:
        skipped |= network.skipped
        planned = network.layers if layers is None else [network.layer(name) for name in layers]
    elif layers:
        raise NmfdiagError(f"Unknown layer {layers[0]!r}: the network calls no {' or '.join(sorted(kinds))}.")
    empty = _dead_layers(network_survey, answers)
    methods_of = {
        layer.name: [m for m in methods if layer.non_negative or not method_of(m).non_negative] for layer in planned
    }
    planned = [layer for layer in planned if methods_of[layer.name] and layer.name not in empty]
    cost = Cost()
    n_scored = min(len(inputs), MOST_SCORED)
    if network is not None and planned and sizes and network.mixes:
        batch = multi_class_batch(inputs, labels.to(inputs.device), size=per_class).inputs
        cost = estimate_cost(
            network, batch, planned, [len(batch)] * n_draws, methods_of, network_survey.bytes, n_scored
        )
    elif network is not None and planned and sizes:
        fullest = max(sizes, key=lambda c: sizes[c])
        batch = single_class_batch(inputs, labels.to(inputs.device), fullest, size=per_class).inputs
        cost = estimate_cost(
            network, batch, planned, list(sizes.values()) * n_draws, methods_of, network_survey.bytes, n_scored
        )
    doubts, better = answer_remarks(model, inputs, labels, answers, alternatives, pick)
    rows = {layer.name: max(sizes.values(), default=0) * places_of(layer) for layer in planned}
    return Preflight(
        layers=tuple(
            PlannedLayer(layer.name, layer.kind, layer.width, rows[layer.name], 4 * rows[layer.name] * layer.width)
            for layer in planned
        ),
        skipped=_skipped_layers(network_survey, kinds, methods) | empty | skipped,
        batches=sizes,
        accuracy=answers.accuracy,
        accuracy_by_class=answers.accuracy_by_class,
        seconds=cost.seconds,
        label_seconds=cost.label_seconds,
        bytes=cost.bytes,
        remarks=(
            *(network.remarks if network is not None else ()),
            *doubts,
            *_batch_remarks(sizes),
            *_layer_remarks(network, planned, network_survey, cost),
        ),
        better=better,
    )


def _batches(labels: Tensor, per_class: int, n_outputs: int) -> tuple[dict[int, int], dict[str, str]]:
    """Return the size of each class's batch, and why other classes have none."""
    sizes, skipped = {}, {}
    for c, count in zip(*(part.tolist() for part in labels.unique(return_counts=True)), strict=True):
        if not 0 <= c < n_outputs:
            skipped[f"class {c}"] = f"is none of the network's {n_outputs} outputs"
        elif count < 2:
            skipped[f"class {c}"] = "has one sample"
        else:
            sizes[c] = min(per_class, count)
    return sizes, skipped


def _dead_layers(network_survey: Survey, answers: Answers) -> dict[str, str]:
    """Return the layers that are all zero on every sample that was run, with the reason."""
    dead_layers: dict[str, str] = {}
    if answers.largest is not None:
        for layer, largest in zip(network_survey.layers, answers.largest.amax(0).tolist(), strict=True):
            if largest == 0:
                dead_layers[layer.name] = "dead on these samples: all zero"
    return dead_layers


def _skipped_layers(network_survey: Survey, kinds: frozenset[str], methods: Sequence[str]) -> dict[str, str]:
    """Return why activation functions won't be measured, and which modules are never called."""
    reasons = {}
    for layer in network_survey.layers:
        if layer.kind not in kinds:
            cause = "is no ReLU" if layer.non_negative else "its values can be negative"
            reasons[layer.name] = f"{layer.kind}: {cause}; the method signed measures it"
        elif not layer.non_negative and all(method == "nmf" for method in methods):
            reasons[layer.name] = f"{layer.kind}: its values can be negative; the method signed measures it"
    for path, kind in network_survey.gates.items():
        reasons[path] = f"a gate ({kind}): it weighs other activations"
    for path, kind in network_survey.never_called.items():
        auxiliary = AUXILIARY_MARK in path.lower()
        reasons[path] = f"never called ({'an auxiliary head, in evaluation mode' if auxiliary else kind})"
    return reasons


def _batch_remarks(sizes: dict[int, int]) -> list[str]:
    if not sizes:
        return ["No class has two samples: there is nothing to measure."]
    remarks = []
    if small_batches := {c: n for c, n in sizes.items() if n < FEW_SAMPLES}:
        c, n = min(small_batches.items(), key=lambda pair: pair[1])
        size = plural(n, "sample")
        classes = (
            f"{len(small_batches)} classes have fewer than {FEW_SAMPLES} samples, class {c} only {size}"
            if len(small_batches) > 1
            else f"Class {c} has {size}"
        )
        remarks.append(
            f"{classes}; with fewer than {FEW_SAMPLES} the curves of a class are coarse, and the network is not compared with references."
        )
    if len(sizes) < FEW_CLASSES:
        remarks.append(few_classes_text(len(sizes)))
    return remarks


def _layer_remarks(
    network: SplitNetwork | None, planned: Sequence[ReluLayer], network_survey: Survey, cost: Cost
) -> list[str]:
    other_layers = [layer for layer in network_survey.layers if layer.kind not in RELUS]
    if not planned:
        detail = f": it calls {', '.join(sorted({layer.kind for layer in other_layers}))}" if other_layers else ""
        return [f"No layer can be measured with these methods{detail}."]
    remarks = []
    if network is not None and not network.traced:
        remarks.append(
            "The network can't be written down as a graph, so it runs as a whole for every rank: slower, the same answers."
        )
    if cost.seconds > LONG_SECONDS:
        remarks.append(
            f"This takes {estimated_range(cost.seconds)} here. Fewer samples a class, some of the layers, or a GPU shorten it."
        )
    return remarks
