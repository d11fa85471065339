"""AuC of every layer, class and method of one network."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nmfdiag.data.labels import counted_from_one
from nmfdiag.data.probe import ProbeBatch, multi_class_batch, single_class_batches
from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve
from nmfdiag.measures.methods import activations_for, leading_method
from nmfdiag.networks.split import SplitNetwork

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
) -> LayerProfile:
    """Compute the curves of every layer, on single-class batches or on one multi-class batch.

    Args:
        model: The network; its mode is left as it was.
        inputs: Training samples (n, ...), in any form that :func:`nmfdiag.data.samples.as_samples` takes.
        labels: Their given labels (n,); None where ``inputs`` bring them.
        layers: Layers to measure; default all.
        by_class: Whether every class is a batch; else one batch holds all classes, as it does for a network whose answer to a
            sample depends on the others of its batch.
        per_class: Samples a batch at most.
        methods: Any of ``"nmf"``, ``"pca"``, ``"random"``, ``"signed"`` (signed NMF). Plain NMF leaves out layers that can be
            negative.
        ranks: Ranks; default is each layer's own grid.
        seed: Seeds batches, solver and random ablation.
        n_draws: How often each batch is drawn and factorised, with the seeds ``seed``, ``seed + 1`` and on; from two on, each
            AuC of a class has a spread over draws.
        on_progress: Called with the share done and a few words; may raise to cancel.
        tail_dtype: As :func:`compression_curves` takes it.
        activations: Which layers the network has: ``"relu"``: those of ReLUs; ``"all"``: those of GELU, SiLU and their like too.
            Default is ``"all"`` where ``"signed"`` is among the methods, else ``"relu"``.
        logits: Key or index of the logits, of a network that returns several tensors; default is to choose them by the labels.
        channel_dim: Axis of the channels, counted with the batch axis, of all layers or by their names, where it can't be told.

    Raises:
        NmfdiagError: If no curve at all could be computed, a layer is unknown, the batch is no batch, or nothing is drawn.
    """
    if n_draws < 1:
        raise NmfdiagError(f"Every batch is drawn once or more, got n_draws={n_draws}.")
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
        if hint := counted_from_one(lowest, highest, n_classes):
            raise NmfdiagError(f"Labels must lie in 0 .. {n_classes - 1}, got {lowest} .. {highest}.{hint}")
    network.check_mixing(inputs)
    by_class = by_class and not network.mixes
    chosen = [network.layer(name) for name in layers] if layers is not None else network.checked_layers()
    measured: list[ProfileCurve] = []
    signed_only = [one for one in chosen if not one.non_negative] if "nmf" in methods else []
    skipped = {f"{one.name}, nmf": SIGNED_ONLY.format(one.kind) for one in signed_only}
    skipped |= network.skipped if layers is None else {}
    skipped |= {f"class {c}": "has one sample" for c in _single_samples(labels)} if by_class else {}
    for draw in range(n_draws):
        tasks = [
            (layer, group, method)
            for group in _groups(inputs, labels, by_class, per_class, seed + draw)
            for layer in chosen
            for method in methods
            if method != "nmf" or layer.non_negative
        ]
        this_draw = f", draw {draw + 1} of {n_draws}" if n_draws > 1 else ""
        for i, (layer, group, method) in enumerate(tasks):
            if on_progress is not None:
                on_progress((draw + i / len(tasks)) / n_draws, f"{layer.name}, {i + 1} of {len(tasks)}{this_draw}")
            answers = compression_curves(
                network, layer.name, [(batch.inputs, batch.given_labels) for batch in group],
                method=method, ranks=ranks, seed=seed + draw, tail_dtype=tail_dtype,
            )  # fmt: skip
            for batch, answer in zip(group, answers, strict=True):
                if isinstance(answer, CompressionCurve):
                    measured.append(ProfileCurve(layer.index, batch.class_idx, answer, draw))
                elif len(tasks) == 1 or ranks is not None:
                    raise answer
                else:
                    skipped[f"{layer.name}, class {batch.class_idx}, {method}{this_draw}"] = str(answer)
    if not measured:
        raise NmfdiagError(f"No curve could be computed: {next(iter(skipped.values()), 'no class has two samples')}")
    return LayerProfile(
        tuple(layer.name for layer in chosen),
        tuple(measured),
        skipped,
        network_layers=tuple(layer.name for layer in network.layers),
        remarks=tuple(network.remarks),
        class_sizes={int(c): int(n) for c, n in zip(*labels.unique(return_counts=True), strict=True)},
    )


def _groups(inputs: Tensor, labels: Tensor, by_class: bool, per_class: int, seed: int) -> list[list[ProbeBatch]]:
    """One draw's batches, those that are factorised in one call together.

    On a GPU that is all classes of a layer; on the CPU it gains nothing and needs their memory at once.
    """
    if not by_class:
        return [[multi_class_batch(inputs, labels, size=per_class, seed=seed)]]
    batches = single_class_batches(inputs, labels, size=per_class, seed=seed)
    size = len(batches) if batches and batches[0].inputs.device.type == "cuda" else 1
    return [batches[i : i + size] for i in range(0, len(batches), size)]


def _single_samples(labels: Tensor) -> list[int]:
    classes, counts = labels.unique(return_counts=True)
    return classes[counts == 1].tolist()
