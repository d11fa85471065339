"""Estimates on the jury's networks over the truth."""

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.diagnosis.reliability import Quantity
from nmfdiag.evidence.suspects_records import CLEAN, LOOK_ALIKE, PAIR_FLIP, UNIFORM
from nmfdiag.plots.theme import GREY, HEIGHT, set_layout
from nmfdiag.text import for_plot
from nmfdiag.views.trust.tables import KIND_NAMES

STYLES = {
    CLEAN: ("122,130,138", "circle"),
    UNIFORM: ("34,144,140", "square"),
    PAIR_FLIP: ("138,132,36", "diamond"),
    LOOK_ALIKE: ("166,116,78", "x"),
}
"""Kind of errors -> colour and marker; none is a colour of p, and each has a contrast of at least 3:1 on white and on the dark background."""
RANGE = (-0.03, 1.03)


def calibration_figure(points: pd.DataFrame, quantity: Quantity, subtitle: str) -> go.Figure:
    """Draw estimates with their intervals over the truth, one point a network; on the dashed line they are right.

    Args:
        points: By :func:`nmfdiag.diagnosis.reliability.calibration`.
        quantity: What is estimated.
        subtitle: Which networks.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="estimate = truth", mode="lines", hoverinfo="skip",
        line={"color": GREY, "dash": "dash", "width": 1},
    )  # fmt: skip
    for kind, (rgb, symbol) in STYLES.items():
        members = points[points["kind"] == kind]
        if members.empty:
            continue
        figure.add_scatter(
            x=members["truth"], y=members["estimate"], name=KIND_NAMES[kind], mode="markers",
            marker={"color": f"rgb({rgb})", "symbol": symbol, "size": 9},
            error_y={
                "type": "data", "symmetric": False, "array": members["high"] - members["estimate"],
                "arrayminus": members["estimate"] - members["low"], "color": f"rgba({rgb},0.45)", "thickness": 1.5, "width": 3,
            },
            customdata=[
                [for_plot(str(row.name)), f"{row.low:.3f} to {row.high:.3f}"] for row in members.itertuples(index=False, name="Point")
            ],
            hovertemplate="%{customdata[0]}<br>truth %{x:.3f}<br>estimate %{y:.3f} (%{customdata[1]})<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title=quantity.truth_title, range=RANGE, zeroline=False)
    figure.update_yaxes(title=quantity.title, range=RANGE, zeroline=False)
    set_layout(figure, f"{quantity.title.capitalize()} over the truth", subtitle)
    return figure.update_layout(height=HEIGHT + 40)
