"""A network of which p is not known -> figures of the screen: its layers and its mean beside reference networks, and its classes."""

from collections.abc import Sequence

import plotly.graph_objects as go

from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.diagnosis.report_figures import profile_figure, reference_figure
from nmfdiag.measures.methods import METHODS
from nmfdiag.plots.theme import OWN_COLOUR
from nmfdiag.views.classes.figures import map_figure
from nmfdiag.views.classes.tables import ClassCurves


def layers_figure(diagnosis: Diagnosis, layers: Sequence[str], batch: str) -> go.Figure:
    """AuC by layer with 95 % intervals over classes, phases, and the range of reference networks at the same depth.

    Args:
        diagnosis: Of the network.
        layers: All of its layers, from input to output, measured yet or not.
        batch: What the batches are, for the title.
    """
    by_method = {diagnosis.method: diagnosis.profile.auc_by_layer(diagnosis.method)}
    figure = profile_figure(by_method, layers, diagnosis.phases, diagnosis.comparison, colour=OWN_COLOUR.format(1))
    return figure.update_layout(
        title_text="AuC by layer", title_subtitle_text=f"{batch}; bars are 95 % over classes", margin_t=100
    )


def beside_figure(comparison: Comparison, name: str) -> go.Figure:
    """The mean AuC of reference networks by p, and the network's as a line across."""
    figure = reference_figure(comparison, name, colour=OWN_COLOUR.format(1))
    return figure.update_layout(title_text="Mean AuC over all layers, beside reference networks")


def cells_figure(found: ClassCurves, name: str, *, class_idx: int) -> go.Figure:
    """AuC of every class and layer; the framed cell is the class's at the layer of the choice."""
    [p] = found.curves
    figure = map_figure(found, p, class_idx=class_idx)
    return figure.update_layout(title_text=f"{METHODS[found.method].title} AuC by class and layer, {name}")
