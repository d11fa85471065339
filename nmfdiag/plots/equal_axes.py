"""Figures side by side: what is equal in both looks equal."""

from collections.abc import Sequence
from math import isfinite, log10, nan
from typing import Any

import plotly.graph_objects as go

from nmfdiag.plots.theme import map_scale

MARGIN = 0.05
"""Room beyond the outermost points of an axis that has no range, as a share of it."""

Span = tuple[float, float]


def equal_axes(figures: Sequence[go.Figure]) -> None:
    """Give axes with the same title the same range and ticks in all figures, and maps with the same title of their colour bars the same scale.

    Axes of names, of layers for example, are left alone, and so are reversed ones.

    Args:
        figures: They are changed.
    """
    axes: dict[tuple[str | None, ...], list[tuple[Any, Span]]] = {}
    maps: dict[str, list[go.Heatmap]] = {}
    for figure in figures:
        for letter in "xy":
            for axis in getattr(figure, f"select_{letter}axes")():
                if axis.title.text and (span := _span(figure, letter, axis)):
                    axes.setdefault((letter, axis.title.text, axis.type), []).append((axis, span))
        for trace in figure.select_traces(selector={"type": "heatmap"}):
            if title := trace.colorbar.title.text:
                maps.setdefault(title, []).append(trace)
    for same_axes in axes.values():
        if len(same_axes) > 1:
            low, high = min(span[0] for _, span in same_axes), max(span[1] for _, span in same_axes)
            widest, _ = max(same_axes, key=lambda item: item[1][1] - item[1][0])
            ticks = {"tickvals": widest.tickvals, "ticktext": widest.ticktext}
            for axis, _ in same_axes:
                axis.update(range=(low, high), **ticks)
    for title, traces in maps.items():
        ends = min(trace.zmin for trace in traces), max(trace.zmax for trace in traces)
        for trace in traces:
            trace.update(map_scale(ends, title))


def _span(figure: go.Figure, letter: str, axis: Any) -> Span | None:
    """Return the range of an axis, that of what is drawn on it where it has none; None for an axis that is not of ascending numbers."""
    if axis.type == "category" or axis.categoryarray is not None:
        return None
    if axis.range:
        low, high = axis.range
        return (low, high) if low < high else None
    name = letter + axis.plotly_name.removeprefix(f"{letter}axis")
    numbers: list[float] = []
    for trace in figure.select_traces():
        if (trace[f"{letter}axis"] or letter) == name:
            for value in trace[letter] if trace[letter] is not None else ():
                if isinstance(value, str):
                    return None
                number = nan if value is None else float(value)
                if isfinite(number) and (number > 0 or axis.type != "log"):
                    numbers.append(log10(number) if axis.type == "log" else number)
    if not numbers:
        return None
    low, high = min(numbers), max(numbers)
    room = MARGIN * (high - low or 1)
    if axis.rangemode == "tozero" and low >= 0:
        return 0.0, high + room
    return low - room, high + room
