"""Suspects -> plotly figures: a sample through the layers, precision over recall, components compared."""

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from nmfdiag.measures.suspects.ranking_quality import RankingQuality, precision_recall
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.plots.theme import GREY, colour_of, set_layer_axis, set_layout
from nmfdiag.views.suspects.tables import SCORE

DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
MOST_POINTS = 300
"""Points of a line."""
MOST_ODDS = 700.0
"""Log odds whose exponential is finite."""
SMALL_HEIGHT = 330
"""Pixels."""


def layers_figure(suspects: Suspects, row: int, p: float) -> go.Figure:
    """Draw how strongly each layer speaks against a sample's given label; full markers make the score.

    Args:
        suspects: All samples.
        row: The sample.
        p: The network's label noise, for its colour.
    """
    layers = list(suspects.against_by_layer)
    log_odds = [float(suspects.against_by_layer[layer][row]) for layer in layers]
    values = [1 / (1 + math.exp(-min(max(value, -MOST_ODDS), MOST_ODDS))) for value in log_odds]
    figure = go.Figure()
    figure.add_hline(0.5, line={"color": GREY, "dash": "dash", "width": 1})
    figure.add_scatter(
        x=layers, y=values, mode="lines", line={"color": colour_of(p), "width": 2}, hoverinfo="skip", showlegend=False
    )
    for name, symbol, is_in_score in (
        ("read for the score", "circle", True),
        ("left out of it", "circle-open", False),
    ):
        points = [
            (layer, value, odds)
            for layer, value, odds in zip(layers, values, log_odds, strict=True)
            if (layer in suspects.layers) == is_in_score
        ]
        if points:
            figure.add_scatter(
                x=[layer for layer, *_ in points], y=[value for _, value, _ in points], name=name, mode="markers",
                marker={"color": colour_of(p), "symbol": symbol, "size": 10, "line": {"width": 2}},
                customdata=[odds for *_, odds in points],
                hovertemplate="%{x}<br>probability %{y:.2f}<br>log odds %{customdata:.2f}<extra></extra>",
            )  # fmt: skip
    set_layer_axis(figure, layers)
    figure.update_yaxes(title="probability of another class", range=[-0.04, 1.04])
    set_layout(
        figure, f"Sample {suspects.indices[row]:,} through the layers", "the best other class against the given one"
    )
    return figure.update_layout(height=SMALL_HEIGHT)


def precision_recall_figure(suspects: Suspects, truth: np.ndarray, p: float) -> go.Figure:
    """Draw precision over recall of the score and of each component, by the true labels; chance is a thin dashed line."""
    wrong = suspects.given != truth
    figure = go.Figure()
    chance = float(wrong.mean())
    figure.add_scatter(
        x=[0, 1], y=[chance, chance], name="chance", mode="lines", line={"color": GREY, "dash": "dash", "width": 1},
        hoverinfo="skip",
    )  # fmt: skip
    for name, values in {**suspects.components, SCORE: suspects.score}.items():
        precision, recall = precision_recall(np.nan_to_num(values), wrong)
        places = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), MOST_POINTS)).round().astype(int))
        figure.add_scatter(
            x=recall[places].round(4), y=precision[places].round(4), name=name, mode="lines", line=_line(suspects, name, p),
            hovertemplate=f"{name}<br>recall %{{x:.2f}}<br>precision %{{y:.2f}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="recall: share of the wrong labels in the list", range=[0, 1.01])
    figure.update_yaxes(title="precision: share of the list that is wrong", range=[0, 1.03])
    return set_layout(
        figure, "Precision over recall", f"{int(wrong.sum()):,} wrong labels in {len(wrong):,}, true labels known"
    )


def components_figure(by_name: Mapping[str, RankingQuality], p: float) -> go.Figure:
    """Draw AUROC of the score and of each component with its 95 % interval; chance is 0.5."""
    names = list(by_name)
    figure = go.Figure()
    figure.add_vline(0.5, line={"color": GREY, "dash": "dash", "width": 1})
    figure.add_scatter(
        x=[by_name[name].auroc for name in names], y=names, mode="markers", showlegend=False,
        marker={"color": colour_of(p), "size": 11, "symbol": ["diamond" if name == SCORE else "circle" for name in names]},
        error_x={
            "type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": colour_of(p),
            "array": [by_name[name].high - by_name[name].auroc for name in names],
            "arrayminus": [by_name[name].auroc - by_name[name].low for name in names],
        },
        customdata=[[by_name[name].low, by_name[name].high] for name in names],
        hovertemplate="%{y}: AUROC %{x:.3f}<br>95 %: %{customdata[0]:.3f} to %{customdata[1]:.3f}<extra></extra>",
    )  # fmt: skip
    low = min(0.5, *(quality.low for quality in by_name.values()))
    figure.update_xaxes(title="AUROC (0.5: chance)", range=[max(0.0, low - 0.03), 1.01])
    figure.update_yaxes(type="category", range=[len(names) - 0.5, -0.5], automargin=True)
    return set_layout(figure, "Components of the score", "95 % interval: bootstrap over samples")


def _line(suspects: Suspects, name: str, p: float) -> dict[str, object]:
    """Return the line of a component; the score is the thick one."""
    if name == SCORE:
        return {"color": colour_of(p), "width": 3}
    return {"color": colour_of(p), "width": 1.5, "dash": DASHES[list(suspects.components).index(name) % len(DASHES)]}
