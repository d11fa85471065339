"""Classes -> plotly figures: the map of AuC, the curves of one class, test accuracy over AuC (figure 8)."""

import plotly.graph_objects as go

from nmfdiag.measures.methods import METHODS
from nmfdiag.plots.theme import (
    GREY,
    HEIGHT,
    LineName,
    colour_of,
    map_scale,
    marker_of,
    noise_name,
    placeholder_figure,
    scale_ends,
    set_layer_axis,
    set_layout,
)
from nmfdiag.views.classes.sentences import correlation_text
from nmfdiag.views.classes.tables import ClassCurves, correlations, curves_of
from nmfdiag.views.curve_figures import curve_figure
from nmfdiag.views.curve_groups import Curves

WRITTEN_CELLS = 200
"""Most cells whose values are written into them."""
ROW_HEIGHT, LARGEST_HEIGHT = 26, 1600


def map_figure(class_curves: ClassCurves, p: float, *, class_idx: int, line_name: LineName = noise_name) -> go.Figure:
    """Draw AuC of every class (row) and layer (column) of one network; the cell of the curve below is framed.

    Args:
        class_curves: The curves.
        p: The network's label noise.
        class_idx: The class whose curve is shown, at the chosen layer.
        line_name: Names a network after its p.
    """
    layers, classes, names = class_curves.choice.layers, class_curves.classes, list(class_curves.choice.names)
    columns = [class_curves.auc(p, layer) for layer in layers]
    if not any(columns):
        return placeholder_figure(f"No curve of {line_name(p)}")
    z = [[column.get(c) for column in columns] for c in classes]
    figure = go.Figure()
    # One scale for all networks of the choice, so that their maps can be compared.
    figure.add_heatmap(
        z=z, x=layers, y=names, xgap=1, ygap=1, hoverinfo="skip",
        hoverongaps=False, texttemplate="%{z:.2f}" if len(names) * len(layers) <= WRITTEN_CELLS else None,
        **map_scale(scale_ends(value for q in class_curves.curves for layer in layers for value in class_curves.auc(q, layer).values())),
    )  # fmt: skip
    # Streamlit gets no clicks on a heat map, so invisible points lie on it: with no limit to the hover distance the nearest
    # point is the cell that the pointer is in.
    cells = [(layer, c) for c in classes for layer in layers]
    figure.add_scatter(
        x=[layer for layer, _ in cells], y=[class_curves.names[c] for _, c in cells], mode="markers", showlegend=False,
        marker={"size": 18, "symbol": "square", "opacity": 0},
        customdata=[[layer, class_curves.names[c], _cell_text(class_curves, p, layer, c)] for layer, c in cells],
        hovertemplate="class %{customdata[1]} at %{customdata[0]}<br>%{customdata[2]}<extra></extra>",
    )  # fmt: skip
    x, y = layers.index(class_curves.choice.layer), classes.index(class_idx)
    for colour, width in (("white", 5), ("black", 2)):  # seen on every cell
        line = {"color": colour, "width": width}
        figure.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=line)
    set_layer_axis(figure, layers)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(
        title="given class", type="category", range=[len(names) - 0.5, -0.5], showgrid=False, zeroline=False,
        tickmode="linear" if len(names) <= 50 else "auto", automargin=True,
    )  # fmt: skip
    over = " over log k" if class_curves.choice.axis == "log" else ""
    set_layout(
        figure, f"{METHODS[class_curves.method].title} AuC{over}, {line_name(p)}", class_curves.choice.batch_text
    )
    height = min(LARGEST_HEIGHT, max(HEIGHT, 130 + ROW_HEIGHT * len(names)))
    return figure.update_layout(height=height, hoverdistance=-1)


def class_curve_figure(
    class_curves: ClassCurves, results: Curves, *, class_idx: int, line_name: LineName = noise_name
) -> go.Figure:
    """Draw accuracy over rank of one class at the chosen layer, one line per p; ranks that beat the baseline are ringed."""
    choice, name = class_curves.choice, class_curves.names[class_idx]
    by_request = curves_of(choice, results, class_idx)
    if not by_request:
        return placeholder_figure(f"No curve of class {name} at {choice.layer}")
    curves = {(choice.label_noise(r), r.method): [curve] for r, curve in by_request.items()}
    batch = f"class {name}, {max(curve.n_samples for curve in by_request.values())} samples"
    figure = curve_figure(
        dict(sorted(curves.items())), layer=choice.layer, axis=choice.axis, batch=batch, line_name=line_name
    )
    ringed = [
        (k, accuracy, curve.baseline_accuracy)
        for [curve] in curves.values()
        for k, accuracy in zip(curve.ranks, curve.accuracy, strict=True)
        if accuracy > curve.baseline_accuracy
    ]
    if ringed:
        figure.add_scatter(
            x=[k for k, *_ in ringed], y=[accuracy for _, accuracy, _ in ringed], name="above uncompressed",
            mode="markers", marker={"symbol": "circle-open", "size": 15, "color": GREY, "line": {"width": 2}},
            customdata=[baseline for *_, baseline in ringed],
            hovertemplate="k = %{x}<br>%{y:.3f} against %{customdata:.3f} uncompressed<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=[None], y=[None], name="uncompressed", mode="lines", line={"color": GREY, "dash": "dash", "width": 1}
    )
    return figure


def scatter_figure(class_curves: ClassCurves, *, class_idx: int, line_name: LineName = noise_name) -> go.Figure:
    """Draw test accuracy by true class over AuC by given class at the chosen layer: one point per class and p.

    Args:
        class_curves: The curves.
        class_idx: The class to mark with rings.
        line_name: Names a network's points after its p.
    """
    layer, points = class_curves.choice.layer, class_curves.points(class_curves.choice.layer)
    if not points:
        return placeholder_figure(f"No class with a curve at {layer} and a test accuracy")
    figure, pooled = go.Figure(), ""
    for p, correlation in correlations(class_curves, layer).items():
        level = [point for point in points if point[0] == p]
        if isinstance(p, str):
            pooled = f"{p}: {correlation_text(correlation)}"
        elif level:
            figure.add_scatter(
                x=[auc for *_, auc, _ in level], y=[test for *_, test in level], name=f"{line_name(p)}: {correlation_text(correlation).split(' (')[0]}",
                mode="markers", marker={"color": colour_of(p), "symbol": marker_of(p), "size": 10},
                customdata=[[layer, class_curves.names[c]] for _, c, *_ in level],
                hovertemplate=f"class %{{customdata[1]}}, {line_name(p)}<br>AuC %{{x:.3f}}<br>"
                f"test accuracy %{{y:.3f}}<br>over classes {correlation_text(correlation)}<extra></extra>",
            )  # fmt: skip
    rings = [point for point in points if point[1] == class_idx]
    figure.add_scatter(
        x=[auc for *_, auc, _ in rings], y=[test for *_, test in rings], name=f"class {class_curves.names[class_idx]}", mode="markers",
        marker={"symbol": "circle-open", "size": 18, "color": GREY, "line": {"width": 2}}, hoverinfo="skip",
    )  # fmt: skip
    over = " over log k" if class_curves.choice.axis == "log" else ""
    figure.update_xaxes(title=f"AuC{over} of the given class, {class_curves.choice.batch_text}", range=[0, 1.05])
    figure.update_yaxes(title="test accuracy of the true class", range=[-0.03, 1.05])
    return set_layout(
        figure, f"Test accuracy by class over {METHODS[class_curves.method].title} AuC at {layer}", pooled
    )


def _cell_text(class_curves: ClassCurves, p: float, layer: str, c: int) -> str:
    curve = class_curves.curves.get(p, {}).get(layer, {}).get(c)
    if curve is None:
        return "no curve"
    value = curve.auc_over(class_curves.choice.axis)
    return f"AuC {value:.3f}, {curve.n_samples} samples<br>uncompressed accuracy {curve.baseline_accuracy:.2f}"
