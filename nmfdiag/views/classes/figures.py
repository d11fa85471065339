"""Classes -> plotly figures: the map of AuC, the curves of one class, test accuracy over AuC (figure 8)."""

import plotly.graph_objects as go

from nmfdiag.measures.methods import METHODS
from nmfdiag.plots.theme import GREY, HEIGHT, colour_of, marker_of, placeholder_figure, set_layout
from nmfdiag.views.classes.sentences import correlation_words
from nmfdiag.views.classes.tables import ClassCurves, correlations, curves_of
from nmfdiag.views.curve_figures import curve_figure
from nmfdiag.views.curve_groups import Curves

WRITTEN_CELLS = 200  # up to here the values fit into their cells
ROW_HEIGHT, LARGEST_HEIGHT = 26, 1600


def map_figure(found: ClassCurves, p: float, *, class_idx: int) -> go.Figure:
    """AuC of every class (row) and layer (column) of one network; the cell whose curve is shown is framed.

    Args:
        found: The curves.
        p: The network's label noise.
        class_idx: The class whose curve is shown, at the chosen layer.
    """
    layers, classes, names = found.choice.layers, found.classes, list(found.choice.names)
    columns = [found.auc(p, layer) for layer in layers]
    if not any(columns):
        return placeholder_figure(f"No curve of p = {p:g}")
    z = [[column.get(c) for column in columns] for c in classes]
    figure = go.Figure()
    # No colours of its own: the theme's sequential scale, one hue and ordered in lightness, goes from the background's side (AuC
    # of 1) to the strongest (0), in light and in dark.
    figure.add_heatmap(
        z=z, x=layers, y=names, zmin=0, zmax=1, reversescale=True, xgap=1, ygap=1, hoverinfo="skip",
        hoverongaps=False, texttemplate="%{z:.2f}" if len(names) * len(layers) <= WRITTEN_CELLS else None,
        colorbar={"title": {"text": "AuC"}, "thickness": 12, "outlinewidth": 0, "tickvals": [0, 0.25, 0.5, 0.75, 1]},
    )  # fmt: skip
    # Streamlit gets no clicks on a heat map, so invisible points lie on it: with no limit to the hover distance the nearest
    # point is the cell that the pointer is in.
    cells = [(layer, c) for c in classes for layer in layers]
    figure.add_scatter(
        x=[layer for layer, _ in cells], y=[found.names[c] for _, c in cells], mode="markers", showlegend=False,
        marker={"size": 18, "symbol": "square", "opacity": 0},
        customdata=[[layer, found.names[c], _cell_words(found, p, layer, c)] for layer, c in cells],
        hovertemplate="class %{customdata[1]} at %{customdata[0]}<br>%{customdata[2]}<extra></extra>",
    )  # fmt: skip
    x, y = layers.index(found.choice.layer), classes.index(class_idx)
    for colour, width in (("white", 5), ("black", 2)):  # seen on every cell
        line = {"color": colour, "width": width}
        figure.add_shape(type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5, line=line)
    figure.update_xaxes(
        title="layer, input to output", type="category", range=[-0.5, len(layers) - 0.5], showgrid=False, zeroline=False
    )
    figure.update_yaxes(
        title="given class", type="category", range=[len(names) - 0.5, -0.5], showgrid=False, zeroline=False,
        tickmode="linear" if len(names) <= 50 else "auto", automargin=True,
    )  # fmt: skip
    over = " over log k" if found.choice.axis == "log" else ""
    set_layout(figure, f"{METHODS[found.method].title} AuC{over}, p = {p:g}", found.choice.batch_words)
    height = min(LARGEST_HEIGHT, max(HEIGHT, 130 + ROW_HEIGHT * len(names)))
    return figure.update_layout(height=height, hoverdistance=-1)


def class_curve_figure(found: ClassCurves, results: Curves, *, class_idx: int) -> go.Figure:
    """k-vs-accuracy of one class at the chosen layer, one line a p; ranks at which it beats its baseline are ringed."""
    choice, name = found.choice, found.names[class_idx]
    some = curves_of(choice, results, class_idx)
    if not some:
        return placeholder_figure(f"No curve of class {name} at {choice.layer}")
    curves = {(choice.label_noise(r), r.method): [curve] for r, curve in some.items()}
    batch = f"class {name}, {max(curve.n_samples for curve in some.values())} samples"
    figure = curve_figure(dict(sorted(curves.items())), layer=choice.layer, axis=choice.axis, batch=batch)
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


def scatter_figure(found: ClassCurves, *, class_idx: int) -> go.Figure:
    """Test accuracy by true class over AuC by given class, at the chosen layer: one point a class and p.

    Args:
        found: The curves.
        class_idx: The class whose points are ringed.
    """
    layer, points = found.choice.layer, found.points(found.choice.layer)
    if not points:
        return placeholder_figure(f"No class with a curve at {layer} and a test accuracy")
    figure = go.Figure()
    for p, of in correlations(found, layer).items():
        mine = [point for point in points if point[0] == p]
        if isinstance(p, str):
            name, marker = f"{p}: {correlation_words(of)}", {"color": GREY, "symbol": "line-ew-open"}
            figure.add_scatter(x=[None], y=[None], name=name, mode="markers", marker=marker)
        elif mine:
            figure.add_scatter(
                x=[auc for *_, auc, _ in mine], y=[test for *_, test in mine], name=f"p = {p:g}: {correlation_words(of)}",
                mode="markers", marker={"color": colour_of(p), "symbol": marker_of(p), "size": 10},
                customdata=[[layer, found.names[c]] for _, c, *_ in mine],
                hovertemplate=f"class %{{customdata[1]}}, p = {p:g}<br>AuC %{{x:.3f}}<br>"
                "test accuracy %{y:.3f}<extra></extra>",
            )  # fmt: skip
    chosen = [point for point in points if point[1] == class_idx]
    figure.add_scatter(
        x=[auc for *_, auc, _ in chosen], y=[test for *_, test in chosen], name=f"class {found.names[class_idx]}", mode="markers",
        marker={"symbol": "circle-open", "size": 18, "color": GREY, "line": {"width": 2}}, hoverinfo="skip",
    )  # fmt: skip
    over = " over log k" if found.choice.axis == "log" else ""
    figure.update_xaxes(title=f"AuC{over} of the given class, {found.choice.batch_words}", range=[0, 1.05])
    figure.update_yaxes(title="test accuracy of the true class", range=[-0.03, 1.05])
    set_layout(figure, f"Test accuracy by class over {METHODS[found.method].title} AuC at {layer}")
    legend = {"orientation": "v", "x": 0, "y": -0.16, "yanchor": "top"}
    return figure.update_layout(legend=legend, height=HEIGHT + 22 * (len(figure.data) - 1))


def _cell_words(found: ClassCurves, p: float, layer: str, c: int) -> str:
    curve = found.curves.get(p, {}).get(layer, {}).get(c)
    if curve is None:
        return "no curve"
    value = curve.auc_over(found.choice.axis)
    return f"AuC {value:.3f}, {curve.n_samples} samples<br>uncompressed accuracy {curve.baseline_accuracy:.2f}"
