"""Single-class AuC of a network in training, cheap enough to be measured every epoch.

It is cheap because NMF starts from the components that the same layer and class had the last time, and because ranks are tried from the
smallest up: once two ranks in a row have reached the uncompressed accuracy, the rest of the curve is taken to stay there.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import (
    Factorization,
    RandomAblation,
    activation_matrix,
    coarse_ranks,
    nmf,
    random_ablation,
    signed_nmf,
    signed_ranks,
)
from nmfdiag.measures.auc import auc
from nmfdiag.measures.methods import activations_for, leading_method
from nmfdiag.measures.stats.summary import spread
from nmfdiag.measures.stopping import Curves
from nmfdiag.measures.tail import Tail, approximations
from nmfdiag.networks.activations import kinds_of
from nmfdiag.networks.evaluation import plainly
from nmfdiag.networks.matrix_fold import fold
from nmfdiag.networks.split import SplitNetwork

METHODS: tuple[Curves, ...] = ("nmf", "random", "signed")
"""Methods that can be measured."""
SOLVERS: dict[str, Callable[..., Factorization]] = {"nmf": nmf, "signed": signed_nmf}
FIRST_RANKS = 3
"""Ranks that are computed in any case, in one call."""
TOLERANCE, MOST_ITERATIONS = 1e-3, 50

LayerValues = dict[str, dict[str, dict[str, float]]]
"""``[method][layer]`` -> values by :data:`nmfdiag.measures.stopping.Value`."""
Curve = tuple[list[int], list[float], float]
"""Ranks, accuracies and uncompressed accuracy of one batch."""


class Probe:
    """Fixed probe batches, and the components of each layer that the next measurement starts from.

    Args:
        batches: Inputs (n, ...) and given labels (n,) of each class.
        layers: Names of the layers to measure; default all.
        methods: Any of :data:`METHODS`; default the leading one and random ablation. Plain NMF leaves out layers that can be
            negative.
        seed: Seeds the first start of NMF and random ablation.
        activations: Layers that the network has: ``"relu"``: those of ReLUs; ``"all"``: those of GELU, SiLU and the like too.
            Default ``"all"`` where ``"signed"`` is among the methods, else ``"relu"``.

    Raises:
        NmfdiagError: If there is no batch, or an option is unknown.
    """

    def __init__(
        self,
        batches: Sequence[tuple[Tensor, Tensor]],
        *,
        layers: Sequence[str] | None = None,
        methods: Sequence[str] | None = None,
        seed: int = 0,
        activations: str | None = None,
    ):
        if not batches:
            raise NmfdiagError("There is no probe batch: no class has two samples.")
        self.activations = activations or activations_for(methods or ())
        kinds_of(self.activations)  # raises for others
        methods = (leading_method(self.activations), "random") if methods is None else methods
        for method in methods:
            if method not in METHODS:
                raise NmfdiagError(f"Unknown method {method!r}: accepted are {', '.join(METHODS)}.")
        self.batches, self.layers, self.methods, self.seed = list(batches), layers, tuple(methods), seed
        self._components: dict[tuple[str, str, int], dict[int, Tensor]] = {}

    def measure(self, model: nn.Module, *, trial: AbstractContextManager[None] | None = None) -> LayerValues:
        """Measure a network as it is now.

        Args:
            model: The network.
            trial: Entered while the network runs for the first time, on two samples.

        Returns:
            The values; a layer that is dead on every batch is left out.

        Raises:
            NmfdiagError: If a layer is unknown, or the network has none.
        """
        values: LayerValues = {}
        samples = torch.cat([inputs for inputs, _ in self.batches]), torch.cat([labels for _, labels in self.batches])
        with plainly():
            with trial or nullcontext():
                network = SplitNetwork(model, self.batches[0][0][:2], self.activations, samples=samples)
            network.check_mixing(samples[0])
            batches = [samples] if network.mixes else self.batches
            for name in self.layers or [layer.name for layer in network.checked_layers()]:
                layer = network.layer(name)
                methods = [m for m in self.methods if m != "nmf" or layer.non_negative]
                curves: dict[str, list[Curve]] = {m: [] for m in methods}
                for i, (inputs, labels) in enumerate(batches):
                    cut = network.cut(name, inputs)
                    try:
                        A = activation_matrix(fold(cut.activation, layer.channel_dim))
                    except NmfdiagError:
                        continue
                    tail = Tail(network, cut, labels, None)
                    baseline = tail.baseline_accuracy()
                    for method in methods:
                        ranks, accuracy = self._curve(A, tail, baseline, (method, name, i))
                        curves[method].append((ranks, accuracy, baseline))
                for method, batch_curves in curves.items():
                    if batch_curves:
                        values.setdefault(method, {})[name] = summarised(batch_curves)
        return values

    def _curve(
        self, A: Tensor, tail: Tail, baseline: float, key: tuple[str, str, int]
    ) -> tuple[list[int], list[float]]:
        """Return ranks and accuracies for a method, layer and batch; ranks that need no computing have the baseline."""
        if key[0] == "signed":
            ranks = signed_ranks(A, coarse_ranks)
        else:
            ranks = coarse_ranks(A.shape[1] if key[0] == "random" else min(A.shape))
        near = baseline - 0.5 / len(tail.labels)
        accuracy: list[float] = []
        while len(accuracy) < len(ranks):
            if len(accuracy) >= FIRST_RANKS and min(accuracy[-2:]) > near:
                return ranks, [*accuracy, *[baseline] * (len(ranks) - len(accuracy))]
            missing = ranks[len(accuracy) : max(FIRST_RANKS, len(accuracy) + 1)]
            accuracy += self._accuracies(A, tail, baseline, key, missing)
        return ranks, accuracy

    def _accuracies(
        self, A: Tensor, tail: Tail, baseline: float, key: tuple[str, str, int], ranks: list[int]
    ) -> list[float]:
        method, _, i = key
        if method == "random":
            solved: RandomAblation = random_ablation(A, ranks, draws=1, seed=self.seed + i)
            return [
                fmean(tail.accuracy(*factors) for factors in approximations(A, solved, k, "compress")) for k in ranks
            ]
        components = self._components.setdefault(key, {})
        start = {k: H.to(A) for k, H in components.items() if H.shape[1] == A.shape[1]}
        options: dict[str, Any] = {"tol": TOLERANCE, "max_iter": MOST_ITERATIONS, "seed": self.seed, "n_starts": 1}
        factors = SOLVERS[method](A, ranks, start=start, **options)
        components |= {k: factors.factors(k)[1] for k in ranks if k < factors.full_rank}
        return [baseline if k == factors.full_rank else tail.accuracy(*factors.factors(k)) for k in ranks]


def summarised(curves: Sequence[Curve]) -> dict[str, float]:
    """Return the values of one layer, by :data:`nmfdiag.measures.stopping.Value`, from the curves of its batches."""
    areas = [auc(ranks, accuracy) for ranks, accuracy, _ in curves]
    relative = [area / baseline for area, (_, _, baseline) in zip(areas, curves, strict=True) if baseline > 0]
    mean_area = spread(areas)
    return {
        "auc": mean_area.mean,
        "sem": mean_area.sem,
        "auc_log": fmean(auc(ranks, accuracy, axis="log") for ranks, accuracy, _ in curves),
        **({"relative": fmean(relative)} if relative else {}),
        "first": fmean(accuracy[0] for _, accuracy, _ in curves),
        "baseline": fmean(baseline for _, _, baseline in curves),
    }
