"""AuC of every layer, class and method of one network."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from nmfdiag.data.labels import offset_hint
from nmfdiag.data.probe import ProbeBatch, multi_class_batch, single_class_batches
from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve
from nmfdiag.measures.methods import activations_for, leading_method
from nmfdiag.networks.split import SplitNetwork

ComputeCurves: TypeAlias = Callable[..., list[CompressionCurve | NmfdiagError]]
"""A function like :func:`nmfdiag.measures.compression.compression_curves`."""
SIGNED_ONLY = f'{{}}: its values can be negative; the method "{leading_method("all")}" (signed NMF) measures it'


def layer_profile(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor | None = None,
    *,
    layers: Sequence[str] | None = None,
    by_class: bool = True,
    per_class: int = 50,
    methods: Sequence[str] = ("nmf",),
    ranks: Sequence[int] | None = None,
    seed: int = 0,
    n_draws: int = 1,
    on_progress: Progress | None = None,
    tail_dtype: str = "float32",
    activations: str | None = None,
    logits: str | int | None = None,
    channel_dim: int | Mapping[str, int] | None = None,
    compute: ComputeCurves = compression_curves,
) -> LayerProfile:
    """Compute the curves of every layer, on single-class batches or on one multi-class batch.

    Args:
        model: The network; its mode stays as it is.
        inputs: Training samples (n, ...), in any form that :func:`nmfdiag.data.samples.as_samples` accepts.
        labels: Their given labels (n,); None if ``inputs`` include them.
        layers: Layers to measure; default all.
        by_class: Whether every class is a batch; else one batch holds all classes, as for a network whose answer to a sample
            depends on the rest of the batch.
        per_class: Samples per batch at most.
        methods: Any of ``"nmf"``, ``"pca"``, ``"random"``, ``"signed"`` (signed NMF). Plain NMF leaves out layers with
            negative values.
        ranks: Ranks; default is each layer's own grid.
        seed: Seed of batches, solver and random ablation.
        n_draws: Number of times each batch is drawn and factorised, with the seeds ``seed``, ``seed + 1`` and so on; with two
            or more, each AuC of a class has a spread over draws.
        on_progress: Called with the share done and a short text; may raise to cancel.
        tail_dtype: As for :func:`nmfdiag.compression_curve`.
        activations: Layers of the network: ``"relu"`` for those of ReLUs, ``"all"`` also for those of GELU, SiLU and the like.
            Default is ``"all"`` if ``"signed"`` is among the methods, else ``"relu"``.
        logits: Key or index of the logits in the output of a network that returns several tensors; default is to find them by
            the labels.
        channel_dim: Axis of the channels, counted with the batch axis, of all layers or by layer, if it can't be found.
        compute: Computes the curves of a layer, or looks them up.

    Raises:
        NmfdiagError: If no curve could be computed, a layer is unknown, the batch is invalid, or ``n_draws`` is below 1.
    """
    if n_draws < 1:
        raise NmfdiagError(f"n_draws must be 1 or more, got {n_draws}.")
    inputs, labels = as_samples(inputs, labels, model)
    network = SplitNetwork(
        model,
        inputs[:2],
        activations or activations_for(methods),
        logits=logits,
        channel_dim=channel_dim,
        samples=(inputs, labels),
    )
    if (lowest := int(labels.min())) > 0:
        n_classes, highest = network.logits(inputs[:2]).shape[1], int(labels.max())
        if hint := offset_hint(lowest, highest, n_classes):
            raise NmfdiagError(f"Labels must lie in 0 .. {n_classes - 1}, got {lowest} .. {highest}.{hint}")
    network.check_mixing(inputs)
    by_class = by_class and not network.mixes
    profile_layers = [network.layer(name) for name in layers] if layers is not None else network.checked_layers()
    curves: list[ProfileCurve] = []
    signed_only = [layer for layer in profile_layers if not layer.non_negative] if "nmf" in methods else []
    skipped = {f"{layer.name}, nmf": SIGNED_ONLY.format(layer.kind) for layer in signed_only}
    skipped |= network.skipped if layers is None else {}
    skipped |= {f"class {c}": "has one sample" for c in _classes_of_one_sample(labels)} if by_class else {}
    for draw in range(n_draws):
        tasks = [
            (layer, group, method)
            for group in _groups(inputs, labels, by_class, per_class, seed + draw)
            for layer in profile_layers
            for method in methods
            if method != "nmf" or layer.non_negative
        ]
        this_draw = f", draw {draw + 1} of {n_draws}" if n_draws > 1 else ""
        for i, (layer, group, method) in enumerate(tasks):
            if on_progress is not None:
                on_progress((draw + i / len(tasks)) / n_draws, f"{layer.name}, {i + 1} of {len(tasks)}{this_draw}")
            answers = compute(
                network, layer.name, [(batch.inputs, batch.given_labels) for batch in group],
                method=method, ranks=ranks, seed=seed + draw, tail_dtype=tail_dtype,
            )  # fmt: skip
            for batch, answer in zip(group, answers, strict=True):
                if isinstance(answer, CompressionCurve):
                    curves.append(ProfileCurve(layer.index, batch.class_idx, answer, draw))
                elif len(tasks) == 1 or ranks is not None:
                    raise answer
                else:
                    skipped[f"{layer.name}, class {batch.class_idx}, {method}{this_draw}"] = str(answer)
    if not curves:
        raise NmfdiagError(f"No curve could be computed: {next(iter(skipped.values()), 'no class has two samples')}")
    return LayerProfile(
        tuple(layer.name for layer in profile_layers),
        tuple(curves),
        skipped,
        network_layers=tuple(layer.name for layer in network.layers),
        remarks=tuple(network.remarks),
        class_sizes={int(c): int(n) for c, n in zip(*labels.unique(return_counts=True), strict=True)},
    )


def _groups(inputs: Tensor, labels: Tensor, by_class: bool, per_class: int, seed: int) -> list[list[ProbeBatch]]:
    """Return one draw's batches in groups that are factorised in one call.

    On a GPU a group is all classes of a layer; on the CPU that would gain nothing and need all their memory at once.
    """
    if not by_class:
        return [[multi_class_batch(inputs, labels, size=per_class, seed=seed)]]
    batches = single_class_batches(inputs, labels, size=per_class, seed=seed)
    size = len(batches) if batches and batches[0].inputs.device.type == "cuda" else 1
    return [batches[i : i + size] for i in range(0, len(batches), size)]


def _classes_of_one_sample(labels: Tensor) -> list[int]:
    classes, counts = labels.unique(return_counts=True)
    return classes[counts == 1].tolist()
