"""AuC of every layer, class and method of one network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nmfdiag.data import multi_class_batch, single_class_batches
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.phases import Phases, phases
from nmfdiag.measures.summary import Spread, spread
from nmfdiag.networks.split import SplitNetwork

if TYPE_CHECKING:
    import pandas as pd

ERROR_RANK = 8


@dataclass(frozen=True)
class Measured:
    """One curve and where it belongs; ``class_idx`` is None for the multi-class batch."""

    depth: int
    class_idx: int | None
    curve: CompressionCurve


@dataclass(frozen=True)
class LayerProfile:
    """Curves of a network by layer, class and method. ``skipped`` says why a layer or class is missing."""

    layers: tuple[str, ...]
    measured: tuple[Measured, ...]
    skipped: dict[str, str]

    def to_frame(self) -> "pd.DataFrame":
        """One row a curve: layer, depth, class_idx, method, auc, baseline_accuracy, relative_error_at_k (k = 8, or the
        largest computed rank below it), and auc_log, n_samples, converged.
        """
        import pandas as pd

        rows = [
            {
                "layer": m.curve.layer,
                "depth": m.depth,
                "class_idx": -1 if m.class_idx is None else m.class_idx,
                "method": m.curve.method,
                "auc": m.curve.auc,
                "auc_log": m.curve.auc_over("log"),
                "baseline_accuracy": m.curve.baseline_accuracy,
                "relative_error_at_k": m.curve.error_near(ERROR_RANK),
                "n_samples": m.curve.n_samples,
                "converged": all(m.curve.converged),
            }
            for m in self.measured
        ]
        return pd.DataFrame(rows)

    def auc_by_layer(self, method: str = "nmf") -> dict[str, Spread]:
        """Mean and spread over classes of each layer's AuC, in order of depth."""
        values: dict[str, list[float]] = {}
        for m in self.measured:
            if m.curve.method == method:
                values.setdefault(m.curve.layer, []).append(m.curve.auc)
        return {layer: spread(values[layer]) for layer in self.layers if layer in values}

    def phases(self, method: str = "nmf") -> Phases:
        """Phases by the rule of :mod:`nmfdiag.measures.phases`."""
        by_layer = self.auc_by_layer(method)
        return phases(list(by_layer), [s.mean for s in by_layer.values()], [s.sem for s in by_layer.values()])


def layer_profile(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    layers: Sequence[str] | None = None,
    by_class: bool = True,
    per_class: int = 50,
    methods: Sequence[str] = ("nmf",),
    ranks: Sequence[int] | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
    tail_dtype: str = "float32",
) -> LayerProfile:
    """Compute the curves of every layer, on single-class batches or on one multi-class batch.

    Args:
        model: The network; its mode is left as it was.
        inputs: Training samples (n, ...).
        labels: Their given labels (n,).
        layers: Layers to measure; default all ReLU layers.
        by_class: Whether every class is a batch; else one batch holds all classes.
        per_class: Samples a batch at most.
        methods: Any of ``"nmf"``, ``"pca"``, ``"random"``.
        ranks: Ranks; default is each layer's own grid.
        seed: Seeds batches, solver and random ablation.
        on_progress: Called with the share done and a few words; may raise to cancel.
        tail_dtype: As :func:`compression_curves` takes it.

    Raises:
        NmfdiagError: If no curve at all could be computed, a layer is unknown, or the batch is no batch.
    """
    if len(inputs) != len(labels) or len(inputs) < 2:
        raise NmfdiagError(
            f"A profile needs at least 2 inputs and as many labels, got {len(inputs)} and {len(labels)}."
        )
    labels = torch.as_tensor(labels)
    network = SplitNetwork(model, inputs[:2])
    chosen = [network.layer(name) for name in layers] if layers is not None else network.layers
    batches = (
        single_class_batches(inputs, labels, size=per_class, seed=seed)
        if by_class
        else [multi_class_batch(inputs, labels, size=per_class, seed=seed)]
    )
    # On a GPU the classes of a layer are factorised in one call; on the CPU that gains nothing and needs their memory at once.
    size = len(batches) if batches and batches[0].inputs.device.type == "cuda" else 1
    groups = [batches[i : i + size] for i in range(0, len(batches), size)]
    tasks = [(layer, group, method) for group in groups for layer in chosen for method in methods]
    measured: list[Measured] = []
    skipped = {f"class {c}": "has one sample" for c in _single_samples(labels)} if by_class else {}
    for i, (layer, group, method) in enumerate(tasks):
        if on_progress is not None:
            on_progress(i / len(tasks), f"{layer.name}, {i + 1} of {len(tasks)}")
        answers = compression_curves(
            network, layer.name, [(batch.inputs, batch.given_labels) for batch in group],
            method=method, ranks=ranks, seed=seed, tail_dtype=tail_dtype,
        )  # fmt: skip
        for batch, answer in zip(group, answers, strict=True):
            if isinstance(answer, CompressionCurve):
                measured.append(Measured(layer.index, batch.class_idx, answer))
            elif len(tasks) == 1 or ranks is not None:
                raise answer
            else:
                skipped[f"{layer.name}, class {batch.class_idx}, {method}"] = str(answer)
    if not measured:
        raise NmfdiagError(f"No curve could be computed: {next(iter(skipped.values()), 'no class has two samples')}")
    return LayerProfile(tuple(layer.name for layer in chosen), tuple(measured), skipped)


def _single_samples(labels: Tensor) -> list[int]:
    classes, counts = labels.unique(return_counts=True)
    return classes[counts == 1].tolist()
