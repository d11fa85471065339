"""AuC by layer and probe by depth, together: by p, and as tables."""

from collections.abc import Iterable, Mapping

import pandas as pd

from nmfdiag.measures.phases import Phases, phases
from nmfdiag.measures.stats.summary import Spread
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.measures.suspects.probe_depth import ProbeDepth
from nmfdiag.text import join
from nmfdiag.views.curve_groups import Curves
from nmfdiag.views.curve_tables import auc_table
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry, known_noise

PROBE_COLUMN = "probe by depth (ours)"


def phases_by_noise(by_noise: Mapping[float, Mapping[str, Spread]]) -> dict[float, Phases]:
    """Return the phases of each p from its AuC by layer."""
    return {
        p: phases(list(by_layer), [s.mean for s in by_layer.values()], [s.sem for s in by_layer.values()])
        for p, by_layer in by_noise.items()
    }


def shaded_network(choice: Choice, layer_phases: Mapping[float, Phases], depths: Mapping[str, ProbeDepth]) -> ZooEntry:
    """Return the network whose phases are shaded: of those with clear ones the one of the highest p, else the highest p that is known of.

    Args:
        choice: The networks.
        layer_phases: By p, as far as AuC is known.
        depths: By the network's name.
    """
    clear = [n for n in choice.networks if n.label_noise in layer_phases and layer_phases[n.label_noise].clear]
    measured_networks = [n for n in choice.networks if n.label_noise in layer_phases]
    probed = [n for n in choice.networks if n.name in depths]
    return (clear or measured_networks or probed or list(choice.networks))[-1]


def phase_table(layer_phases: Mapping[float, Phases], depths: Mapping[float, ProbeDepth]) -> pd.DataFrame:
    """Return the layers of each phase, and what the probe by depth says, by p."""
    rows = []
    for p in sorted({*layer_phases, *depths}):
        entry_phases = layer_phases.get(p, Phases(reason="AuC is not known yet"))
        rows.append(
            {
                "p": known_noise(p),
                "feature extraction": ", ".join(entry_phases.feature_extraction),
                "memorisation": ", ".join(entry_phases.memorisation),
                "clustering": ", ".join(entry_phases.clustering),
                "no clear phases because": entry_phases.reason,
                PROBE_COLUMN: depths[p].text if p in depths else "not known yet",
            }
        )
    return pd.DataFrame(rows)


def probe_settings(controls: Iterable[Controls]) -> dict[str, str]:
    """Return what the probe was computed from, as rows of the settings."""
    sizes = join(dict.fromkeys(f"{network_controls.n_samples:,}" for network_controls in controls))
    return {"probe by depth": f"leave-one-out linear probe of each layer on {sizes} samples"} if sizes else {}


def export_table(curves: Curves, depths: Mapping[str, ProbeDepth], zoo: Mapping[str, ZooEntry]) -> pd.DataFrame:
    """Return what is drawn by p and layer: AuC with its standard error, and beside it the probe's accuracy.

    Args:
        curves: AuC's; without any there are the probe's accuracies alone.
        depths: By the network's name.
        zoo: All networks.
    """
    probes = pd.DataFrame(
        [
            {"p": known_noise(zoo[name].label_noise), "layer": layer, "probe_accuracy": accuracy}
            for name, depth in depths.items()
            for layer, accuracy in zip(depth.layers, depth.accuracies, strict=True)
        ],
        columns=["p", "layer", "probe_accuracy"],
    )
    if not curves:
        return probes
    numeric = {"p": float}  # a user's network has none, which is an object in one table and a float in the other
    return auc_table(curves, zoo).astype(numeric).merge(probes.astype(numeric), "left", ["p", "layer"])
