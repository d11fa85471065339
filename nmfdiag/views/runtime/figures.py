"""Timings -> plotly figures. HALS solid, MU dashed; the colour is that of the network's p."""

import math
from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from nmfdiag.jobs.requests import WHOLE_GRID, RuntimeResult
from nmfdiag.plots.theme import (
    GREY,
    MARKER,
    P_MARKERS,
    SMALL_MARKER,
    add_convergence_key,
    colour_of,
    convergence_markers,
    fill_between,
    set_layout,
    set_rank_axis,
)
from nmfdiag.text import seconds_text
from nmfdiag.views.runtime.sentences import SOLVER_TITLES, Timings, measured_points

SOLVER_DASHES = {"hals": "solid", "mu": "dash"}
SECONDS = "wall time (median; band: least to most)"


def runtime_figure(results: Timings, *, kind: str, p: float, place: str, scale: str) -> go.Figure:
    """Draw a kind of timing, one of :data:`nmfdiag.jobs.requests.KINDS`; arguments are those of :func:`cost_figure`."""
    if kind == "convergence":
        return convergence_figure(results, p=p, place=place, scale=scale)
    return cost_figure(results, kind=kind, p=p, place=place, scale=scale)


def cost_figure(results: Timings, *, kind: str, p: float, place: str, scale: str) -> go.Figure:
    """Draw the time of one NMF call over the rank (figure 11), the rows or the channels; small markers did not converge.

    Args:
        results: The timed points.
        kind: ``"rank"``, ``"rows"`` or ``"channels"``.
        p: The network's label noise, for the colour.
        place: Layer and batch, for the title.
        scale: ``"log"`` or ``"linear"``, of both axes.
    """
    figure = go.Figure()
    timings = measured_points(results)
    ranks = sorted({r.rank for r in timings})
    lines: dict[tuple, list[tuple[float, RuntimeResult]]] = {}
    for request, timed in timings.items():
        if not (kind == "rank" and request.rank == WHOLE_GRID):
            line = (request.device, request.solver, 0 if kind == "rank" else request.rank)
            lines.setdefault(line, []).append((request.rank if kind == "rank" else getattr(timed, kind), timed))
    for (device, solver, rank), points in lines.items():
        points.sort(key=lambda point: point[0])
        name = _name(timings, device, solver, rank, ranks)
        x, marker = [position for position, _ in points], _marker(device, ranks.index(rank) if rank in ranks else 0)
        shortest, longest = [min(t.wall_seconds) for _, t in points], [max(t.wall_seconds) for _, t in points]
        fill_between(figure, x, shortest, longest, colour_of(p, 0.15))
        figure.add_scatter(
            x=x, y=[t.seconds for _, t in points], name=name, mode="lines+markers",
            line={"color": colour_of(p), "dash": SOLVER_DASHES[solver], "width": 2},
            marker=convergence_markers(marker, (all(t.converged) for _, t in points)),
            customdata=[[t.rows, t.channels, len(t.wall_seconds), sum(t.n_iter), t.relative_error[0]] for _, t in points],
            hovertemplate=f"{name}<br>{'k = %{x}' if kind == 'rank' else f'%{{x:,}} {kind}'}<br>%{{y:.3g}} s<br>"
            "%{customdata[0]:,} × %{customdata[1]}, %{customdata[2]} repeats<br>"
            "%{customdata[3]} iterations, error %{customdata[4]:.4g}<extra></extra>",
        )  # fmt: skip
    for request, timed in timings.items():
        if kind == "rank" and request.rank == WHOLE_GRID:
            _add_whole_grid(figure, timed, _name(timings, request.device, request.solver, 0, ranks))
    if kind == "rank":
        set_rank_axis(figure, max(ranks), scale)
    else:
        figure.update_xaxes(title=f"{kind} of the activation matrix", type=scale)
        if scale == "log":
            sizes = sorted({getattr(timed, kind) for timed in timings.values()})
            figure.update_xaxes(tickvals=sizes, ticktext=[f"{size:,}" for size in sizes])
    add_convergence_key(figure, any(not all(t.converged) for t in timings.values()))
    set_seconds(figure.update_yaxes, scale, SECONDS, [t for timed in timings.values() for t in timed.wall_seconds])
    return set_layout(figure, f"Time of NMF over {kind} at {place}")


def convergence_figure(results: Timings, *, p: float, place: str, scale: str) -> go.Figure:
    """Draw relative error over wall seconds, one line per solver and rank, marked where the solver's rule stopped it."""
    figure = go.Figure()
    timings = measured_points(results)
    ranks = sorted({r.rank for r in timings})
    for request, timed in timings.items():
        name = _name(timings, request.device, request.solver, request.rank, ranks)
        seconds, low, high, error = (list(column) for column in zip(*timed.trace, strict=True))
        figure.add_scatter(
            x=[*low, *reversed(high)], y=[*error, *reversed(error)], fill="toself", fillcolor=colour_of(p, 0.15),
            line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=seconds, y=error, name=name, mode="lines",
            line={"color": colour_of(p), "dash": SOLVER_DASHES[request.solver], "width": 2},
            hovertemplate=f"{name}<br>%{{x:.3g}} s<br>error %{{y:.4g}}<extra></extra>",
        )  # fmt: skip
        stopped = timed.converged[0]
        ending = "stopped by its own rule" if stopped else "cut off before its rule stopped it"
        marker = _marker(request.device, ranks.index(request.rank))
        slowest = max(t.trace[-1][0] for r, t in timings.items() if r.rank == request.rank)
        label = len(ranks) > 1 and seconds[-1] == slowest
        figure.add_scatter(
            x=seconds[-1:], y=error[-1:], mode="markers+text" if label else "markers", showlegend=False,
            name=f"{name}: end", text=[f"k = {request.rank}"], textposition="bottom center",
            marker={"symbol": marker, "size": MARKER if stopped else SMALL_MARKER, "color": colour_of(p)},
            hovertemplate=f"{name} {ending}<br>after {seconds_text(seconds[-1])}, {timed.n_iter[0]} iterations<br>"
            f"error {error[-1]:.4g}<extra></extra>",
        )  # fmt: skip
    if any(timed.converged[0] for timed in timings.values()):
        figure.add_scatter(
            x=[None], y=[None], name="end: stopped by its own rule", mode="markers",
            marker={"symbol": "circle", "size": 9, "color": GREY},
        )  # fmt: skip
    add_convergence_key(figure, any(not timed.converged[0] for timed in timings.values()))
    times = [t for timed in timings.values() for row in timed.trace for t in row[:3]]
    set_seconds(figure.update_xaxes, scale, "wall time since the call began (median; band: least to most)", times)
    figure.update_yaxes(title="relative error ‖A − WH‖ / ‖A‖", type=scale)
    if scale == "linear":
        figure.update_yaxes(range=[0, 1.03])
    return set_layout(figure, f"Error over time at {place}")


def _name(timings: Timings, device: str, solver: str, rank: int, ranks: Sequence[int]) -> str:
    several_devices = len({r.device for r in timings}) > 1
    parts = [SOLVER_TITLES[solver], f"k = {rank}" if rank and len(ranks) > 1 else "", device if several_devices else ""]
    return ", ".join(filter(None, parts))


def _marker(device: str, position: int) -> str:
    """Return the marker of a rank; a GPU has other markers than the processor."""
    return P_MARKERS[(position + (0 if device == "cpu" else 3)) % len(P_MARKERS)]


def _add_whole_grid(figure: go.Figure, timed: RuntimeResult, name: str) -> None:
    label = f"all {len(timed.ranks)} ranks in one call ({name})"
    figure.add_scatter(
        x=[timed.ranks[0], timed.ranks[-1]], y=[timed.seconds] * 2, name=label, mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1},
        hovertemplate=f"{label}<br>%{{y:.3g}} s<extra></extra>",
    )  # fmt: skip


def set_seconds(update: Callable[..., object], scale: str, title: str, seconds: Sequence[float]) -> None:
    """Set up a time axis; logarithmic ticks are written as times, where Plotly would write 10m and lone digits."""
    update(title=title, type=scale)
    if scale == "linear":
        update(ticksuffix=" s", rangemode="tozero", exponentformat="none")
        return
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))
    steps = (1, 2, 5) if math.log10(max(seconds) / min(seconds)) < 2 else (1,)
    ticks = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    update(tickvals=ticks, ticktext=[seconds_text(tick) for tick in ticks])
