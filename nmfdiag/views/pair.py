"""A choice and the network compared with it, together: their names, one figure, one table, one sentence."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.diagnosis.report_figures import label
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.plots.overlay import on_relative_depth, on_share_of_rank, overlaid
from nmfdiag.plots.theme import LineName, noise_name
from nmfdiag.text import join
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import UnknownNoise, ZooEntry

Value = TypeVar("Value")
RECIPE_TITLES = {
    "dataset": "data set", "arch": "architecture", "label_noise": "p", "seed": "seed", "n_train": "training-set size",
    "arch_options": "width or depth",
}  # fmt: skip
"""Parts of a recipe by which two networks may differ; all others are settings of the training."""


def side_names(choice: Choice) -> list[str]:
    """Return what the networks of each side are called before their p is named; a network with unknown p by its own name.

    The seed is added where it alone tells families apart, and the method where the sides have different ones.
    """
    names = [side.networks[0].called or side.family for side in choice.sides]
    seeds = [side.networks[0].recipe.seed for side in choice.sides]
    if len(set(names)) < len(set(zip(names, seeds, strict=True))):
        names = [f"{name} seed {seed}" for name, seed in zip(names, seeds, strict=True)]
    methods = [side.methods for side in choice.sides]
    if len(set(methods)) > 1 and all(len(names_of_side) == 1 for names_of_side in methods):
        names = [f"{name} {METHODS[method].phrase}" for name, (method,) in zip(names, methods, strict=True)]
    return names


def network_name(network: ZooEntry, choice: Choice) -> str:
    """Return the name of one of a choice's networks: its p, and its side's name where there are two; that of a user's network is its own."""
    if network.called:
        return network.called
    p = f"p = {network.label_noise:g}"
    if choice.counterpart is None:
        return p
    first, second = side_names(choice)
    return f"{first if network in choice.networks else second} {p}"


def side_labels(choice: Choice) -> list[str]:
    """Return the sides' names for a plot: a user's own is shortened, and without markup."""
    own_names = [side.networks[0].called for side in choice.sides]
    return [
        name.replace(own, label(own), 1) if own else name
        for name, own in zip(side_names(choice), own_names, strict=True)
    ]


def line_names(choice: Choice) -> list[LineName]:
    """Return what names the lines of each side in a plot: their p, after the side's name where there are two; for a user's network its name alone."""
    if len(choice.sides) == 1 and not choice.networks[0].called:
        return [noise_name]
    return [
        partial(_line_name, name, bool(side.networks[0].called))
        for side, name in zip(choice.sides, side_labels(choice), strict=True)
    ]


def _line_name(network: str, is_own: bool, label_noise: float) -> str:
    return network if is_own else f"{network} {noise_name(label_noise)}"


def layers_text(choice: Choice) -> str:
    """Return the layer of each side, and whose it is where they differ."""
    if len({side.layer for side in choice.sides}) == 1:
        return choice.layer
    return join(f"{side.layer} ({name})" for side, name in zip(choice.sides, side_names(choice), strict=True))


def layers_title(choice: Choice) -> str:
    """Return the layer of each side, in the legend's order, for a plot's title: names of networks would not have room."""
    return join(dict.fromkeys(side.layer for side in choice.sides))


def batches_text(choice: Choice) -> str:
    """Return the batches of each side, and whose they are where they differ."""
    texts = [side.batch_text for side in choice.sides]
    if len(set(texts)) == 1:
        return texts[0]
    return join(f"{text} ({name})" for text, name in zip(texts, side_names(choice), strict=True))


def figure_by_layer(choice: Choice, figures: Sequence[go.Figure]) -> go.Figure:
    """Return figures with an axis of layers, one a side, as one: networks whose layers have the same names share it, others are drawn by relative depth."""
    if len({tuple(side.layers) for side in choice.sides}) > 1:
        for side, figure, name in zip(choice.sides, figures, side_labels(choice), strict=True):
            on_relative_depth(figure, side.layers, name)
    return _one_figure(choice, figures)


def figure_by_rank(
    choice: Choice, figures: Sequence[go.Figure], curves: Sequence[Mapping[Any, Sequence[CompressionCurve]]]
) -> go.Figure:
    """Return figures with an axis of ranks, one a side, as one: by rank where the full ranks are equal, else by its share of the full rank.

    By rank alone the curve of a narrower layer would seem to rise earlier: at its full rank it is exact by construction.

    Args:
        choice: The sidebar's.
        figures: One a side.
        curves: What they were drawn from.
    """
    full_ranks = [max((c.full_rank for batch in groups.values() for c in batch), default=0) for groups in curves]
    if all(full_ranks) and len(set(full_ranks)) > 1:
        for figure, full_rank in zip(figures, full_ranks, strict=True):
            on_share_of_rank(figure, full_rank)
        ranks = join(f"{full_rank} ({name})" for full_rank, name in zip(full_ranks, side_labels(choice), strict=True))
        figures[0].update_xaxes(title=f"k as a share of the full rank: {ranks}")
        widest = figures[full_ranks.index(max(full_ranks))].layout.xaxis
        figures[0].update_xaxes(tickvals=widest.tickvals, ticktext=widest.ticktext)
    return _one_figure(choice, figures)


def _one_figure(choice: Choice, figures: Sequence[go.Figure]) -> go.Figure:
    return figures[0] if len(figures) == 1 else overlaid(figures[0], figures[1], side_labels(choice)[1])


def one_table(choice: Choice, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of the sides as one, with a column that names the network where there are two."""
    if len(tables) == 1:
        return tables[0]
    sides = [
        pd.concat({name: table}, names=["network"]).reset_index(level=0)
        for name, table in zip(side_names(choice), tables, strict=True)
        if len(table)
    ]
    return pd.concat(sides, ignore_index=True) if sides else tables[0]


def pair_sentence(
    choice: Choice,
    values: Sequence[Mapping[float, Value]],
    sentence: Callable[[Mapping[str, Value]], str],
    *,
    is_complete: bool,
) -> str:
    """Return a sentence that compares two networks, or that it is not known yet.

    The second network is compared with the first ones' nearest in p; where its p is unknown, with that of least and that of most.

    Args:
        choice: With two sides.
        values: Of each side, by p.
        sentence: From the values by the networks' names, the second network last.
        is_complete: Whether no curve is missing.
    """
    first, second = choice.sides
    p = second.networks[0].label_noise
    levels = [network.label_noise for network in first.networks]
    nearest = [min(levels, key=lambda level: abs(level - p))]
    compared_levels = [min(levels), max(levels)] if isinstance(p, UnknownNoise) else nearest
    networks = [network for network in first.networks if network.label_noise in compared_levels]
    names = [network_name(network, choice) for network in (*networks, *second.networks)]
    titles = list(dict.fromkeys(METHODS[side.method].title for side in choice.sides))
    title = f"{titles[0]}: " if len(titles) == 1 else ""
    if not is_complete:
        return f"{title}{join(names)}: not known yet."
    compared_values = [*(values[0][network.label_noise] for network in networks), values[1][p]]
    text = sentence(dict(zip(names, compared_values, strict=True)))
    return f"{title}{text} {_differences(networks[0], second.networks[0])}"


def _differences(first: ZooEntry, second: ZooEntry) -> str:
    """Return all that two networks differ in, which a difference between them may come from."""
    if own := first.called or second.called:
        return f"They may differ in more than p: how {own} was trained is not recorded."
    recipes = zip(first.recipe.to_dict().items(), second.recipe.to_dict().values(), strict=True)
    parts = dict.fromkeys(RECIPE_TITLES.get(name, "training settings") for (name, a), b in recipes if a != b)
    if list(parts) == [RECIPE_TITLES["label_noise"]]:
        return "They differ in p alone."
    return f"They differ in {join(parts)}." if parts else "They were trained in the same way."
