"""Curves of one network by layer, class and draw. No torch here: pages read it, too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.measures.phases import Phases, phases
from nmfdiag.measures.stats.summary import Spread, spread

if TYPE_CHECKING:
    import pandas as pd

ERROR_RANK = 8


@dataclass(frozen=True)
class ProfileCurve:
    """One curve with its layer's depth, its class and its draw.

    ``class_idx`` is None for the multi-class batch. ``draw`` counts batches of the same class, each drawn and factorised with
    its own seed.
    """

    depth: int
    class_idx: int | None
    curve: CompressionCurve
    draw: int = 0


@dataclass(frozen=True)
class LayerProfile:
    """Curves of a network by layer, class, draw and method.

    Attributes:
        layers: Layers to be measured, from input to output.
        measured: The curves.
        skipped: Reasons for missing layers and classes.
        network_layers: All layers of the network, from input to output; empty if unknown.
        class_sizes: Number of available samples of each class; empty if unknown.
        remarks: Remarks on the network, such as which of its outputs are taken as logits.
    """

    layers: tuple[str, ...]
    measured: tuple[ProfileCurve, ...]
    skipped: dict[str, str]
    network_layers: tuple[str, ...] = ()
    class_sizes: Mapping[int, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per curve: layer, depth, class_idx, method, auc, baseline_accuracy, relative_error_at_k (k = 8, or the
        largest computed rank below it), and auc_log, n_samples, converged, draw.
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
                "draw": m.draw,
            }
            for m in self.measured
        ]
        return pd.DataFrame(rows)

    @property
    def methods(self) -> tuple[str, ...]:
        """The measured methods, in the order of the curves."""
        return tuple(dict.fromkeys(m.curve.method for m in self.measured))

    @property
    def main_method(self) -> str:
        """The method that a diagnosis is about: the first that was measured of those that lead, else of all."""
        order = sorted(METHODS, key=lambda name: not METHODS[name].leads)
        return next(name for name in order if name in self.methods)

    @property
    def lowest(self) -> tuple[str, Spread]:
        """The layer of the lowest mean AuC by the main method, and that AuC."""
        by_layer = self.auc_by_layer(self.main_method)
        layer = min(by_layer, key=lambda name: by_layer[name].mean)
        return layer, by_layer[layer]

    @property
    def n_draws(self) -> int:
        """The number of batches drawn from each class."""
        return len({m.draw for m in self.measured})

    def auc_by_class(self, method: str = "nmf", axis: str = "linear") -> dict[str, dict[int | None, Spread]]:
        """Return mean and spread over draws of the AuC of each layer, in order of depth, and class."""
        values: dict[str, dict[int | None, list[float]]] = {}
        for m in self.measured:
            if m.curve.method == method:
                values.setdefault(m.curve.layer, {}).setdefault(m.class_idx, []).append(m.curve.auc_over(axis))
        return {
            layer: {c: spread(areas) for c, areas in values[layer].items()} for layer in self.layers if layer in values
        }

    def auc_by_layer(self, method: str = "nmf") -> dict[str, Spread]:
        """Return mean and spread over classes of each layer's AuC, in order of depth.

        A class's draws are averaged first, so that the spread is between classes; for a single class, or a mixture, it is
        over draws.
        """
        return {
            layer: spread([s.mean for s in by_class.values()]) if len(by_class) > 1 else next(iter(by_class.values()))
            for layer, by_class in self.auc_by_class(method).items()
        }

    def phases(self, method: str = "nmf") -> Phases:
        """Return the phases by the rule of :mod:`nmfdiag.measures.phases`."""
        by_layer = self.auc_by_layer(method)
        return phases(list(by_layer), [s.mean for s in by_layer.values()], [s.sem for s in by_layer.values()])
