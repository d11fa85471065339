"""Find training labels that a trained network contradicts: a score for each sample, a suggested label, and how many labels are wrong.

The score needs no clean data and no other training. Which layers do not yet separate the given labels is told by a leave-one-out linear probe of each
(:mod:`nmfdiag.measures.suspects.probe`). How many labels are wrong comes from a control with swapped labels
(:mod:`nmfdiag.measures.suspects.noise_rate`) on a kernel probe (:mod:`nmfdiag.measures.suspects.kernel_probe`) of the first of these layers, which don't
remember labels; where there are none, on a linear probe of the inputs' principal components. A layer that names more labels than can be right by that rate
has memorised and is left out. The features of the other ones, averaged over the sample and some moved copies (:mod:`nmfdiag.measures.suspects.views`), go to
one leave-one-out kernel probe. Its margin against the given label counts six times, the network's own margin on the copies once, a training's history
twice: the score is the mean of their ranks. No true label is used anywhere.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nmfdiag.data.labels import unlabelled_hint
from nmfdiag.data.samples import as_samples, is_shuffled
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.placement import inputs_on, model_on
from nmfdiag.measures.suspects.features import LayerFeatures, strided
from nmfdiag.measures.suspects.history import TrainingHistory, history_ranks
from nmfdiag.measures.suspects.input_probe import input_log_probabilities
from nmfdiag.measures.suspects.joint_scores import joint_scores, leave_one_out_log_probabilities, ranks
from nmfdiag.measures.suspects.moved_copies import mirror_fits, moves_of, with_mirror
from nmfdiag.measures.suspects.nmf_ratio import nmf_ratios
from nmfdiag.measures.suspects.noise_rate import MOST_SAMPLES, NoiseRate, bounded_rate
from nmfdiag.measures.suspects.probe import Moments, Probe, margins, temperature, with_classes
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.measures.suspects.swap_control import swap_control
from nmfdiag.measures.suspects.views import ViewFeatures
from nmfdiag.measures.training_set import check_train_size
from nmfdiag.networks.evaluation import plainly
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.networks.wrappers import unwrapped
from nmfdiag.networks.zoo_networks import RecordedNetwork
from nmfdiag.provenance import provenance
from nmfdiag.text import join

SEPARATED = 0.95
"""Share of the given labels that a layer's probe names from which on the layer already separates them, in parts of those that the swap control takes for
right: a layer that names more of them than can be right has memorised (AUROC on 10,000 CIFAR-10 images, 40 % uniform errors: .91; .85 at .95 of all)."""
MOST_CLASSES = 100_000
"""Largest label."""
MOST_PROBABILITIES = 2 * 10**7
"""Samples times classes that the rate is read from at most."""
FEW_PREDICTED = 0.5
"""Share of the labels as given by the network below which it is said how many it predicts."""
FEW_IN_CLASS, MANY_IN_CLASS = 5, 50
"""Samples of a class below which its scores say little, and below which the probe finds less (AUROC .74 at 25 samples per class of CIFAR-10)."""
CALIBRATION_SAMPLES = 5000
"""Samples that a probe's temperature is fitted on at most."""
WEIGHTS = {"probe": 3.0, "shift": 0.5}
"""Weight of a component's ranks in the score; 1 where none is given. The probe of all views carries most: with the shift beside it AUROC is .001 to .002
higher on photographs with look-alike errors, and .002 to .010 lower elsewhere."""
REMEMBERED = 0.1
"""Largest share of the labels that the first layer does not name that a further layer may name without counting as one that remembers them. Zoo and
benchmark, 9 networks: mean error of the rate .03, of the first layer's linear probe alone .06."""
CHANCE_ERRORS = 3.0
"""Standard errors above chance that some layer's probe must reach."""
FEW_PER_CLASS = f"most classes have fewer than {FEW_IN_CLASS} samples"
AT_CHANCE = "no layer's features tell the given labels better than chance"
ONLY_ACTIVATIONS = "the inputs are a last layer's activations, which may have memorised them"
"""Reasons why there is no noise rate."""
MANY_REPEATED = 0.01
"""Share of samples with the same input as another from which on it is said."""
SEED = 0


@plainly()
def suspects(
    model: nn.Module | SplitNetwork,
    inputs: Tensor,
    labels: Tensor | None = None,
    *,
    layers: Sequence[str] | None = None,
    per_class: int | None = None,
    class_names: Sequence[str] = (),
    history: TrainingHistory | str | Path | Mapping[str, Any] | None = None,
    nmf_ratio: bool = False,
    activations: str = "all",
    train_size: int | None = None,
    device: str | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> Suspects:
    """Score each training sample by how strongly the network contradicts its given label, and estimate how many labels are wrong.

    Args:
        model: The finished network; it is left as it was. It need not have fitted the labels.
        inputs: Training samples (n, ...), prepared as in training, in any form that :func:`nmfdiag.data.samples.as_samples` takes.
        labels: Their given labels (n,); None where ``inputs`` bring them.
        layers: Names of the layers to probe; default all.
        per_class: Samples of each class to score at most, spread evenly; default all.
        class_names: Names by class.
        history: What the training saw of each sample, matched by its number: a :class:`TrainingHistory` (as
            :meth:`nmfdiag.MemorizationMonitor.on_batch` records it), its file, or arrays by name, of which only ``margin`` must be there.
        nmf_ratio: Whether to show each sample's NMF error in its own class over that in the best other one as well, as a component that is not
            part of the score.
        activations: As for :func:`nmfdiag.relu_layers`; layers of any activation function can be probed.
        train_size: Number of samples that the network was trained on, of which these are all or some; None if it is not known. It changes no number,
            only what they are said to be about.
        device: Where to compute; default where the network is.
        on_progress: Called with the share done and a few words; may raise to cancel.
        **options: ``logits`` and ``channel_dim``, as for :func:`nmfdiag.relu_layers`.

    Raises:
        NmfdiagError: If the samples don't fit the network, hold NaN, or have labels of one class only, or the history is not theirs.
    """
    report = on_progress or (lambda share, step: None)
    if is_shuffled(inputs):
        raise NmfdiagError(
            "The DataLoader shuffles, so that no sample has a number: give it with shuffle=False, or its data set."
        )
    layers = [layers] if isinstance(layers, str) else layers
    if layers is not None and not len(layers):
        raise NmfdiagError("layers is empty: name at least one, or leave it out for all.")
    network = model.model if isinstance(model, SplitNetwork) else model
    if not isinstance(network, nn.Module):
        raise NmfdiagError(f"The model is a {type(network).__name__}: accepted is a torch.nn.Module.")
    if unknown := sorted(set(options) - {"logits", "channel_dim"}):
        raise NmfdiagError(f"suspects has no option {unknown[0]!r}: further options are logits and channel_dim.")
    inputs, labels = as_samples(inputs, labels, network)
    indices = _indices(labels, per_class)
    n_samples = len(inputs)
    train_size = check_train_size(train_size, n_samples)
    if len(indices) < n_samples:  # of all samples no copy is made
        inputs, labels = inputs[indices], labels[indices]
    inputs = inputs_on(device, inputs)
    class_names = tuple(map(str, class_names or ()))
    counts, remarks = _class_counts(labels, class_names)
    margin_ranks: dict[str, np.ndarray] = {}
    if history is not None:
        margin_ranks["history"], history_remarks = history_ranks(history, labels.numpy(), indices, n_samples)
        remarks += history_remarks
    split = (
        model
        if isinstance(model, SplitNetwork)
        else SplitNetwork(model_on(device, network), inputs[:2], activations, samples=(inputs, labels), **options)
    )
    features = LayerFeatures(split, inputs, None if layers is None else list(layers))
    n_classes, n = len(counts), len(inputs)

    report(0.0, "features of all layers")
    moments: dict[str, Moments] = {}
    losses, predicted = torch.empty(n), torch.empty(n, dtype=torch.long)
    for batch in features:
        given_labels = labels[batch.rows]
        for name, z in batch.by_layer.items():
            linear = features.for_linear_probe(name, z).cpu()
            moments.setdefault(name, Moments(n_classes)).add(linear, given_labels)
        logits = batch.logits.cpu()
        losses[batch.rows] = _loss(logits, given_labels)
        predicted[batch.rows] = logits.argmax(1)
        report(0.3 * batch.rows.stop / n, "features of all layers")
        n_outputs = batch.logits.shape[1]
    probes = {name: moments[name].fit() for name in features.layers if name in moments and moments[name].count == n}
    remarks += [f"{name} is left out: not all samples reach it." for name in features.layers if name not in probes]
    if bool(losses.isnan().any()):
        raise NmfdiagError("The network's logits are NaN or infinite: it says nothing about these samples.")
    n_predicted = int((predicted == labels).sum())
    if n_predicted < FEW_PREDICTED * n:
        remarks.append(
            f"The network predicts {n_predicted / n:.0%} of the labels as given: if it was trained on them, check their order, their numbers and how the "
            "inputs were prepared."
        )
    if not probes:
        raise NmfdiagError("No layer is reached by all samples.")
    margin, agreement, temperatures = _score_by_layer(features, probes, labels, report)
    unseparated = [name for name in probes if agreement[name] < SEPARATED] or [min(probes, key=agreement.__getitem__)]
    report(0.4, "moved copies")
    moves = moves_of(inputs, split.layer(features.layers[0]).channel_dim)
    if moves and inputs.ndim == 4:
        rank_by_layer = np.mean([ranks(margin[name].numpy()) for name in unseparated], 0)
        if mirror_fits(split, inputs, labels, rank_by_layer, (moves["up"], moves["left"])):
            moves = with_mirror(moves, n)
    views = ViewFeatures(features, unseparated, labels, moves)
    views.compute(lambda share, task: report(0.4 + 0.3 * share, task))
    step = max(-(-n // MOST_SAMPLES), -(-n * n_classes // MOST_PROBABILITIES))
    sampled_labels = labels[::step]
    sampled_views = views.sampled(torch.arange(0, n, step), views.columns(unseparated))

    @cache
    def sampled_log_probabilities(layer_names: tuple[str, ...]) -> np.ndarray:
        return leave_one_out_log_probabilities(sampled_views, views.columns(layer_names), sampled_labels, n_classes)

    input_log_p = input_log_probabilities(inputs[::step], sampled_labels, n_classes)
    first_layers = _first_layers(features, agreement, unseparated)
    log_p = sampled_log_probabilities(tuple(first_layers)) if first_layers else input_log_p
    control = swap_control(log_p, sampled_labels.numpy(), counts.numpy())
    swap_rate = control.rate()
    most_named = SEPARATED * (1 - swap_rate.estimate)
    layers_probed = [name for name in unseparated if agreement[name] < most_named] or unseparated[:1]
    joint = joint_scores(views, labels, counts, layers_probed, lambda share, task: report(0.7 + 0.1 * share, task))
    components = {"probe": ranks(joint.margin)}
    if moves:
        components["shift"] = ranks(joint.moved_margin)
    else:
        remarks.append("No moved copies fit these samples: the score is without them.")
    components |= margin_ranks
    score = combined_score(components)
    repeated_rows = _duplicates(inputs, labels)
    n_repeated = sum(map(len, repeated_rows))
    if n_repeated > MANY_REPEATED * n:
        remarks.append(
            f"{n_repeated} samples have the very same input as another one: their labels vouch for each other."
        )
    for rows in repeated_rows:
        if len(set(labels[rows].tolist())) > 1:
            score[rows] = 1.0
    shown_components = {"loss": losses.numpy()}
    if nmf_ratio:
        ratio_ranks, ratio_remarks = nmf_ratios(
            split, inputs, labels, layers_probed, lambda share, task: report(0.8 + 0.1 * share, task)
        )
        shown_components |= {} if ratio_ranks is None else {"nmf_ratio": ratio_ranks}
        remarks += ratio_remarks
    report(0.9, "duplicates and rate")
    if n_outputs < n_classes:
        remarks.append(
            f"The network has {n_outputs} outputs, the labels go up to {n_classes - 1}: labels beyond count as contradicted."
        )
    chance_remarks = _chance_remark(agreement, counts, n)
    reason = AT_CHANCE if chance_remarks else ""
    if float(counts[counts > 0].double().median()) < FEW_IN_CLASS:
        reason = FEW_PER_CLASS
    if isinstance(unwrapped(network), RecordedNetwork):
        reason = ONLY_ACTIVATIONS
    if reason:
        noise_rate = NoiseRate(0.0, 0.0, 1.0, n, reason)
    else:
        n_certain = sum(len(rows) - int(labels[rows].bincount().max()) for rows in repeated_rows)
        noise_rate = bounded_rate(
            swap_rate,
            sampled_labels.numpy(),
            first=log_p,
            inputs=input_log_p,
            probed=sampled_log_probabilities(tuple(layers_probed)),
            contradicted=float((joint.margin > 0).mean()),
            least=n_certain / n,
        )
    report(1.0, "done")
    return Suspects(
        given=labels.numpy(),
        score=score,
        suggested=joint.suggested,
        confidence=joint.confidence,
        layers_against=np.sum([margin[name].numpy() > 0 for name in layers_probed], 0),
        components=components | shown_components,
        noise_rate=noise_rate,
        layers=tuple(layers_probed),
        indices=indices,
        against_by_layer={name: temperatures[name] * margin[name].numpy() for name in probes},
        duplicates=tuple(tuple(indices[rows].tolist()) for rows in repeated_rows),
        class_names=class_names,
        remarks=(*split.remarks, *remarks, *chance_remarks),
        provenance=provenance(
            "nmfdiag",
            "torch",
            "numpy",
            "date",
            network=type(network).__name__,
            samples=n,
            moves="; ".join(moves) or "none",
        ),
        accuracies={
            "network": n_predicted / n,
            "probe of all layers": float((joint.margin < 0).mean()),
            "probe of the inputs": float((input_log_p.argmax(1) == sampled_labels.numpy()).mean()),
            **({"moved copies": joint.moved_accuracy} if moves else {}),
        },
        predicted={
            "network": predicted.numpy(),
            "probe of all layers": np.where(joint.margin < 0, labels.numpy(), joint.suggested),
        },
        train_size=train_size,
        _precision=control.precision_table(noise_rate.estimate),
        _sketch=joint.sketch,
    )


def combined_score(components: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the weighted mean (n,) of the components' ranks; of a sample that lacks one, that of its others."""
    rows = np.stack(list(components.values()))
    weights = np.array([WEIGHTS.get(name, 1.0) for name in components])[:, None] * ~np.isnan(rows)
    return np.asarray((weights * np.nan_to_num(rows)).sum(0) / weights.sum(0))


def _indices(labels: Tensor, per_class: int | None) -> np.ndarray:
    """Return the samples that are scored, ascending.

    Raises:
        NmfdiagError: If ``per_class`` is not a positive whole number.
    """
    if per_class is None:
        return np.arange(len(labels))
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        raise NmfdiagError(f"per_class is {per_class!r}: accepted are whole numbers from 1.")
    by_class = [np.flatnonzero(labels.numpy() == c) for c in labels.unique().tolist()]
    spread = [rows[np.linspace(0, len(rows) - 1, min(per_class, len(rows))).round().astype(int)] for rows in by_class]
    return np.sort(np.concatenate(spread))


def _class_counts(labels: Tensor, class_names: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Return the samples of each class (K,), and remarks on those that are few.

    Raises:
        NmfdiagError: If all labels are the same.
    """
    if int(labels.min()) < 0 or int(labels.max()) >= MOST_CLASSES:
        raise NmfdiagError(
            f"Labels go from {int(labels.min())} to {int(labels.max())}: accepted are class numbers from 0 to {MOST_CLASSES - 1:,}."
            f"{unlabelled_hint(int(labels.min()))}"
        )
    counts = torch.bincount(labels, minlength=len(class_names))
    if class_names and len(counts) > len(class_names):
        raise NmfdiagError(f"There are {len(class_names)} class names, but labels up to {len(counts) - 1}.")
    present = counts[counts > 0]
    if len(present) < 2:
        raise NmfdiagError("All samples have the same given label: suspects need at least two classes.")
    small_classes = [c for c, n in enumerate(counts.tolist()) if 0 < n < FEW_IN_CLASS]
    remarks = []
    if small_classes:
        class_list = join(class_names[c] if c < len(class_names) else c for c in small_classes[:5])
        remarks.append(f"Classes with fewer than {FEW_IN_CLASS} samples ({class_list}): their scores say little.")
    if float(present.double().median()) < MANY_IN_CLASS:
        remarks.append(f"Most classes have fewer than {MANY_IN_CLASS} samples: wrong labels are found less reliably.")
    return counts, remarks


def _score_by_layer(
    features: LayerFeatures, probes: Mapping[str, Probe], labels: Tensor, report: Progress
) -> tuple[dict[str, Tensor], dict[str, float], dict[str, float]]:
    """Return each layer's margins against the given labels (n,), the share of labels that it names, and its temperature."""
    n = len(labels)
    step = -(-n // CALIBRATION_SAMPLES)
    margin = {name: torch.full((n,), torch.nan) for name in probes}
    calibration: dict[str, list[Tensor]] = defaultdict(list)
    for batch in features:
        given_labels = labels[batch.rows]
        for name, probe in probes.items():
            values = probe.values(features.for_linear_probe(name, batch.by_layer[name]).cpu(), given_labels)
            margin[name][batch.rows] = margins(values, given_labels).float()
            calibration[name].append(values[strided(step, batch.rows)])
        report(0.3 + 0.1 * batch.rows.stop / n, "probes")
    agreement = {name: float((values < 0).float().mean()) for name, values in margin.items()}
    temperatures = {name: temperature(torch.cat(parts), labels[::step]) for name, parts in calibration.items()}
    return margin, agreement, temperatures


def _first_layers(features: LayerFeatures, agreement: Mapping[str, float], unseparated: Sequence[str]) -> list[str]:
    """Return the unseparated layers that don't remember given labels: those from the first on that name hardly more of them than it does.

    None where the network's first layer is not among them, or has no places: it may itself have memorised.
    """
    first = unseparated[0]
    if first != features.first or len(features.network.layer(first).output_shape) < 2:
        return []
    limit = agreement[first] + REMEMBERED * (1 - agreement[first])
    return list(takewhile(lambda name: agreement[name] <= limit, unseparated))


def _duplicates(inputs: Tensor, labels: Tensor) -> list[list[int]]:
    """Return groups of rows with the very same input, those with several labels first."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    zero = 0.0 if inputs.is_floating_point() else 0  # minus zero is zero
    for i, sample in enumerate(inputs.cpu()):
        groups[
            hashlib.blake2b(
                (sample + zero).contiguous().flatten().view(torch.uint8).numpy().tobytes(), digest_size=16
            ).digest()
        ].append(i)
    repeated = [group for group in groups.values() if len(group) > 1]
    return sorted(repeated, key=lambda group: (len(set(labels[group].tolist())) == 1, group))


def _chance_remark(agreement: Mapping[str, float], counts: Tensor, n: int) -> list[str]:
    chance = float(counts.max()) / n
    best = max(agreement.values())
    if best > chance + CHANCE_ERRORS * (chance * (1 - chance) / n) ** 0.5:
        return []
    return [
        f"No layer's features tell the given labels better than chance ({best:.0%}; the largest class has {chance:.0%}): scores and suggestions "
        "mean nothing for this network."
    ]


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy (m,); infinite where the network has no output for the given class."""
    logits = with_classes(logits, labels)
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")
