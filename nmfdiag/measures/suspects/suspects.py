"""Which labels of its training samples a finished network speaks against: a score for each sample, a suggestion, and how many are wrong.

The score is the mean rank of two things that need no clean data and no other training: a leave-one-out linear probe of the given labels on
every layer that does not yet separate them (:mod:`nmfdiag.measures.suspects.probe`), and the network's own margin on moved copies
(:mod:`nmfdiag.measures.suspects.moved_copies`). How many labels are wrong comes from a control with swapped labels
(:mod:`nmfdiag.measures.suspects.noise_rate`). No true label is used anywhere.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.suspects.features import LayerFeatures
from nmfdiag.measures.suspects.moved_copies import mirror_fits, moved_margins, moves_of
from nmfdiag.measures.suspects.noise_rate import MOST_SAMPLES, NoiseRate, SwapControl, swap_control
from nmfdiag.measures.suspects.probe import Moments, Probe, margins, temperature
from nmfdiag.networks.evaluation import plainly
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.provenance import provenance
from nmfdiag.text import join

if TYPE_CHECKING:
    import pandas as pd

SEPARATED = 0.95
"""Share of samples whose given label a layer's probe names, from which on the layer's features hold the labels themselves."""
FEW_IN_CLASS, MANY_IN_CLASS = 5, 50
"""Samples of a class below which its scores say nothing, and below which the probe is known to fall (AUROC .74 at 25)."""
CALIBRATION_SAMPLES = 5000
"""Samples that a probe's temperature is fitted on at most."""
COMPONENTS_OF_INPUT, SAMPLES_PER_COMPONENT = 64, 10
"""Principal components of the inputs that the noise rate is read from where the first layer has no places, and samples per component."""
SKETCH = 64
"""Numbers kept of each sample for finding its neighbours."""
CHANCE_ERRORS = 3.0
"""Standard errors above chance that some layer's probe must reach."""
SEED = 0


@dataclass(frozen=True)
class Reasons:
    """Why a sample is suspicious.

    Attributes:
        index: The sample.
        given: Its given label.
        suggested: The suggested one.
        nearest_given: Trusted samples of the given class, the nearest first.
        nearest_suggested: Trusted samples of the suggested class, the nearest first.
        layers_against: How many layers speak against the given label.
        layers: How many were asked.
        contradicts: Samples with the same input and another label.
    """

    index: int
    given: int
    suggested: int
    nearest_given: tuple[int, ...]
    nearest_suggested: tuple[int, ...]
    layers_against: int
    layers: int
    contradicts: tuple[int, ...]


@dataclass(frozen=True)
class Suspects:
    """What a network says about the labels of its training samples.

    Attributes:
        given: Given labels (n,).
        score: In [0, 1], higher is more suspicious (n,); 1 where the same input has two labels.
        suggested: The label suggested instead (n,).
        confidence: Probability of the suggestion by the probes (n,).
        layers_against: How many of the layers speak against the given label (n,).
        components: Parts of the score as ranks in [0, 1], and the loss, by name (n,).
        noise_rate: The share of wrong labels.
        layers: The layers asked.
        duplicates: Groups of samples with the same input, those with several labels first.
        class_names: Names by class, where they are known.
        remarks: What can't be said, or only with care.
        provenance: What it was computed with.
    """

    given: np.ndarray
    score: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray
    layers_against: np.ndarray
    components: Mapping[str, np.ndarray]
    noise_rate: NoiseRate
    layers: tuple[str, ...]
    duplicates: tuple[tuple[int, ...], ...] = ()
    class_names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    _control: SwapControl | None = field(default=None, repr=False)
    _sketch: np.ndarray | None = field(default=None, repr=False)

    @property
    def order(self) -> np.ndarray:
        """Samples, the most suspicious first (n,)."""
        return np.lexsort((np.arange(len(self.score)), -self.score))

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per sample, the most suspicious first: index, given, score, rank, suggested, confidence, layers_against, components."""
        import pandas as pd

        order = self.order
        columns = {
            "index": order,
            "given": self.given[order],
            "score": self.score[order],
            "rank": np.arange(1, len(order) + 1),
            "suggested": self.suggested[order],
            "confidence": self.confidence[order],
            "layers_against": self.layers_against[order],
        }
        return pd.DataFrame(columns | {name: values[order] for name, values in self.components.items()})

    def expected_precision(self, n: int) -> float:
        """Return the expected share of wrong labels among the n most suspicious samples, by the swap control.

        Raises:
            NmfdiagError: If n is not between 1 and the number of samples.
        """
        if not 1 <= n <= len(self.given):
            raise NmfdiagError(f"n is {n}: accepted are 1 to {len(self.given)}.")
        assert self._control is not None
        return self._control.precision(n / len(self.given), self.noise_rate.estimate)

    def reasons(self, index: int, n_nearest: int = 5) -> Reasons:
        """Return why a sample is suspicious.

        Args:
            index: The sample.
            n_nearest: How many neighbours of each class.

        Raises:
            NmfdiagError: If there is no such sample.
        """
        if not 0 <= index < len(self.given):
            raise NmfdiagError(f"There is no sample {index}: accepted are 0 to {len(self.given) - 1}.")
        given, suggested = int(self.given[index]), int(self.suggested[index])
        group = next((group for group in self.duplicates if index in group), ())
        return Reasons(
            index,
            given,
            suggested,
            self._nearest(index, given, n_nearest),
            self._nearest(index, suggested, n_nearest),
            int(self.layers_against[index]),
            len(self.layers),
            tuple(i for i in group if self.given[i] != given),
        )

    def cleaned(self, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return the samples that are left without these; default without as many of the most suspicious as the rate says."""
        left_out = self._wrong() if indices is None else np.asarray(indices, int)
        return np.setdiff1d(np.arange(len(self.given)), left_out)

    def relabelled(self, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return labels (n,) with the suggestion for these samples; default for as many of the most suspicious as the rate says."""
        changed = self._wrong() if indices is None else np.asarray(indices, int)
        labels = self.given.copy()
        labels[changed] = self.suggested[changed]
        return labels

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it: ``suspects`` holds one object per sample, the most suspicious first."""
        rate = self.noise_rate
        return {
            "schema": "nmfdiag-suspects-1",
            "noise_rate": {
                "estimate": rate.estimate, "low": rate.low, "high": rate.high, "n_samples": rate.n_samples,
                "statement": rate.statement,
            },
            "layers": list(self.layers),
            "duplicates": [list(group) for group in self.duplicates],
            "class_names": list(self.class_names),
            "remarks": list(self.remarks),
            "suspects": json.loads(self.to_frame().to_json(orient="records", double_precision=6)),
            "provenance": self.provenance,
        }  # fmt: skip

    def to_json(self, path: str | Path) -> None:
        """Write :meth:`to_dict` to a file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def to_csv(self, path: str | Path) -> None:
        """Write :meth:`to_frame` to a file."""
        self.to_frame().to_csv(path, index=False)

    def _wrong(self) -> np.ndarray:
        return self.order[: round(self.noise_rate.estimate * len(self.given))]

    def _nearest(self, index: int, class_idx: int, n_nearest: int) -> tuple[int, ...]:
        assert self._sketch is not None
        trusted = (self.score <= np.median(self.score)) & (self.given == class_idx)
        trusted[index] = False
        places = np.flatnonzero(trusted)
        distances = ((self._sketch[places] - self._sketch[index]) ** 2).sum(1)
        return tuple(map(int, places[np.argsort(distances, kind="stable")[:n_nearest]]))


@plainly()
def suspects(
    model: nn.Module | SplitNetwork,
    inputs: Tensor,
    labels: Tensor | None = None,
    *,
    layers: Sequence[str] | None = None,
    class_names: Sequence[str] = (),
    activations: str = "all",
    device: str | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> Suspects:
    """Score each training sample by how much the network speaks against its given label, and estimate how many labels are wrong.

    Args:
        model: The finished network; it is left as it was. It need not have fitted the labels.
        inputs: Training samples (n, ...), prepared as in training, in any form that :func:`nmfdiag.data.samples.as_samples` takes.
        labels: Their given labels (n,); None where ``inputs`` bring them.
        layers: Names of the layers to ask; default all.
        class_names: Names by class.
        activations: As for :func:`nmfdiag.relu_layers`; layers of any activation function can be asked.
        device: Where to compute; default where the network is.
        on_progress: Called with the share done and a few words; may raise to cancel.
        **options: ``logits`` and ``channel_dim``, as for :func:`nmfdiag.relu_layers`.

    Raises:
        NmfdiagError: If the samples don't fit the network, hold NaN, or have labels of one class only.
    """
    report = on_progress or (lambda done, words: None)
    network = model.model if isinstance(model, SplitNetwork) else model
    inputs, labels = as_samples(inputs, labels, network)
    if device is not None:
        network, inputs = network.to(device), inputs.to(device)
    labels = torch.as_tensor(labels).long().cpu()
    counts, remarks = _class_counts(labels, class_names)
    split = (
        model
        if isinstance(model, SplitNetwork)
        else SplitNetwork(network, inputs[:2], activations, samples=(inputs, labels), **options)
    )
    features = LayerFeatures(split, inputs, None if layers is None else list(layers))
    n_classes, n = len(counts), len(inputs)

    report(0.0, "features of all layers")
    moments: dict[str, Moments] = {}
    losses = torch.empty(n)
    for batch in features:
        given = labels[batch.rows]
        for name, z in batch.by_layer.items():
            moments.setdefault(name, Moments(n_classes)).add(z.cpu(), given)
        losses[batch.rows] = _loss(batch.logits.cpu(), given)
    probes = {name: moments[name].fit() for name in features.layers if name in moments}
    report(0.3, "probes")
    margin, agreement, temperatures = _ask(features, probes, labels)
    asked = [name for name in probes if agreement[name] < SEPARATED] or [min(probes, key=agreement.__getitem__)]
    remarks += _chance_remark(agreement, counts, n)
    suggested, confidence, sketch = _suggest(features, probes, temperatures, asked, labels)
    probe_rank = np.mean([_ranks(margin[name].numpy()) for name in asked], 0)
    components = {"probe": probe_rank}
    report(0.5, "moved copies")
    moves = moves_of(inputs)
    if moves:
        if inputs.ndim == 4 and mirror_fits(split, inputs, labels, torch.as_tensor(probe_rank)):
            moves["mirrored"] = lambda batch: batch.flip(-1)
        moved = torch.zeros(n)
        for done, (name, values) in enumerate(moved_margins(split, inputs, labels, moves), 1):
            moved += values.cpu() / len(moves)
            report(0.5 + 0.4 * done / len(moves), f"copies moved: {name}")
        components["shift"] = _ranks(moved.numpy())
    else:
        remarks.append("No moved copies fit these samples: the score is the probes' alone.")
    score = np.mean(list(components.values()), 0)
    duplicates = _duplicates(inputs, labels)
    for group in duplicates:
        if len(set(labels[list(group)].tolist())) > 1:
            score[list(group)] = 1.0
    report(0.9, "swap control")
    control = _control(features, probes, labels, counts)
    return Suspects(
        given=labels.numpy(),
        score=score,
        suggested=suggested,
        confidence=confidence,
        layers_against=np.sum([margin[name].numpy() > 0 for name in asked], 0),
        components=components | {"loss": losses.numpy()},
        noise_rate=control.rate(),
        layers=tuple(asked),
        duplicates=duplicates,
        class_names=tuple(map(str, class_names)),
        remarks=(*split.remarks, *remarks),
        provenance=provenance(
            "nmfdiag",
            "torch",
            "numpy",
            "date",
            network=type(network).__name__,
            samples=n,
            moves=", ".join(moves) or "none",
        ),
        _control=control,
        _sketch=sketch,
    )


def _class_counts(labels: Tensor, class_names: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Return the samples of each class (K,), and remarks on those that are few."""
    counts = torch.bincount(labels, minlength=len(class_names))
    present = counts[counts > 0]
    if len(present) < 2:
        raise NmfdiagError("All samples have the same given label: suspects need at least two classes.")
    few = [c for c, n in enumerate(counts.tolist()) if 0 < n < FEW_IN_CLASS]
    remarks = []
    if few:
        shown = join(class_names[c] if c < len(class_names) else c for c in few[:5])
        remarks.append(f"Classes with fewer than {FEW_IN_CLASS} samples ({shown}): their scores say little.")
    if float(present.double().median()) < MANY_IN_CLASS:
        remarks.append(f"Most classes have fewer than {MANY_IN_CLASS} samples: wrong labels are found less reliably.")
    return counts, remarks


def _ask(
    features: LayerFeatures, probes: Mapping[str, Probe], labels: Tensor
) -> tuple[dict[str, Tensor], dict[str, float], dict[str, float]]:
    """Return each layer's margins against the given labels (n,), the share of labels that it names, and its temperature."""
    n = len(labels)
    step = max(1, n // CALIBRATION_SAMPLES)
    margin = {name: torch.full((n,), torch.nan) for name in probes}
    calibration: dict[str, list[Tensor]] = defaultdict(list)
    for batch in features:
        given = labels[batch.rows]
        for name, z in batch.by_layer.items():
            values = probes[name].values(z.cpu(), given)
            margin[name][batch.rows] = margins(values, given).float()
            calibration[name].append(values[(-batch.rows.start) % step :: step])
    agreement = {name: float((values < 0).float().mean()) for name, values in margin.items()}
    temperatures = {name: temperature(torch.cat(parts), labels[::step]) for name, parts in calibration.items()}
    return margin, agreement, temperatures


def _suggest(
    features: LayerFeatures,
    probes: Mapping[str, Probe],
    temperatures: Mapping[str, float],
    asked: Sequence[str],
    labels: Tensor,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best other class of each sample (n,), its probability (n,), and a sketch of the sample at the last layer asked (n, 64)."""
    n, last = len(labels), probes[asked[-1]]
    suggested, confidence = torch.empty(n, dtype=torch.long), torch.empty(n)
    width = min(SKETCH, len(last.whiten))
    generator = torch.Generator().manual_seed(SEED)
    projection = torch.randn(width, len(last.whiten), generator=generator, dtype=torch.float64) / width**0.5
    sketch = torch.empty(n, width)
    for batch in features:
        given = labels[batch.rows]
        log_mean = torch.stack([
            torch.log_softmax(temperatures[name] * probes[name].values(batch.by_layer[name].cpu(), given), 1) for name in asked
        ]).mean(0)  # fmt: skip
        probability = torch.softmax(log_mean, 1)
        log_mean[torch.arange(len(given)), given] = -torch.inf
        suggested[batch.rows] = log_mean.argmax(1)
        confidence[batch.rows] = probability.gather(1, suggested[batch.rows][:, None])[:, 0].float()
        whitened = (batch.by_layer[asked[-1]].cpu().double() - last.centre) @ last.whiten.T
        sketch[batch.rows] = (whitened @ projection.T).float()
    return suggested.numpy(), confidence.numpy(), sketch.numpy()


def _control(features: LayerFeatures, probes: Mapping[str, Probe], labels: Tensor, counts: Tensor) -> SwapControl:
    """Return the swap control at the first layer if it has places, else on principal components of the inputs."""
    first = features.layers[0]
    n = len(labels)
    step = max(1, n // MOST_SAMPLES)
    if first in probes and len(features.network.layer(first).output_shape) > 1:
        probe = probes[first]
        parts = [
            probe.values(batch.by_layer[first].cpu(), labels[batch.rows])[(-batch.rows.start) % step :: step]
            for batch in features
        ]
        values, given = torch.cat(parts), labels[::step]
    else:
        given = labels[::step]
        z = _principal_components(
            features.inputs[::step], min(COMPONENTS_OF_INPUT, max(1, len(given) // SAMPLES_PER_COMPONENT))
        )
        moments = Moments(len(counts))
        moments.add(z, given)
        values = moments.fit().values(z, given)
    values = values.clamp(min=-1e30)
    log_probabilities = torch.log_softmax(temperature(values, given) * values, 1).numpy()
    return swap_control(log_probabilities, given.numpy(), counts.numpy())


def _principal_components(inputs: Tensor, n_components: int) -> Tensor:
    from sklearn.decomposition import PCA

    flat = inputs.flatten(1).cpu().double().numpy()
    n_components = min(n_components, *flat.shape)
    return torch.from_numpy(PCA(n_components, svd_solver="auto", random_state=SEED).fit_transform(flat))


def _duplicates(inputs: Tensor, labels: Tensor) -> tuple[tuple[int, ...], ...]:
    """Return groups of samples with the very same input, those with several labels first."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for i, sample in enumerate(inputs.cpu()):
        groups[hashlib.blake2b(sample.contiguous().numpy().tobytes(), digest_size=16).digest()].append(i)
    repeated = [tuple(group) for group in groups.values() if len(group) > 1]
    return tuple(sorted(repeated, key=lambda group: (len(set(labels[list(group)].tolist())) == 1, group)))


def _chance_remark(agreement: Mapping[str, float], counts: Tensor, n: int) -> list[str]:
    chance = float(counts.max()) / n
    best = max(agreement.values())
    if best > chance + CHANCE_ERRORS * (chance * (1 - chance) / n) ** 0.5:
        return []
    return [
        f"No layer's features tell the given labels better than chance ({best:.0%}; the largest class has {chance:.0%}): scores and suggestions "
        "mean nothing for this network."
    ]


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(np.nan_to_num(values, nan=0.0)) / len(values)


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy (m,); infinite where the network has no output for the given class."""
    if logits.shape[1] <= int(labels.max()):
        logits = torch.nn.functional.pad(logits, (0, int(labels.max()) + 1 - logits.shape[1]), value=-torch.inf)
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")
