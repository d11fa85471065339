"""The benchmark's plot: seconds by case for every solver, and seconds against rank for the run-time figure."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nmfdiag.bench.table import Row

COLOURS = {
    "hals": "#0072b2", "hals_looped": "#56b4e9", "dff_mu": "#d55e00", "sklearn_cd": "#009e73", "sklearn_mu": "#e69f00",
    "torchnmf": "#cc79a7", "ours": "#0072b2", "naive": "#d55e00",
}  # fmt: skip
"""Colours that colour-blind readers can distinguish (Okabe and Ito)."""


def draw_report(rows: Sequence[Row], machine: Mapping[str, str]) -> go.Figure:
    """Return the plot of a run; parts that were not run stay empty."""
    titles = ("NMF at the whole grid of ranks", "Whole curves", "One rank at a time (VGG-19 at 224)", "Growth")
    figure = make_subplots(2, 2, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.16)
    _bars(figure, [r for r in rows if r.section == "peers" and r.solver in COLOURS], 1, 1)
    _bars(figure, [r for r in rows if r.section == "curves"], 1, 2)
    single = [r for r in rows if r.section == "runtime" and r.n_ranks == 1]
    for solver in dict.fromkeys(r.solver for r in single):
        solver_rows = [r for r in single if r.solver == solver]
        _line(figure, solver, [int(r.ranks) for r in solver_rows], solver_rows, 2, 1, COLOURS.get(solver))
    growths = [r for r in rows if r.section == "scaling" and r.threads == 1 and "threads" not in r.note]
    for growth in dict.fromkeys(r.note.removeprefix("grows: ") for r in growths):
        solver_rows = [r for r in growths if r.note.endswith(f" {growth}")]
        sizes = {"rows": [r.rows for r in solver_rows], "channels": [r.channels for r in solver_rows]}
        x = sizes.get(growth) or [int(r.ranks.split()[-1]) if growth == "rank" else r.n_ranks for r in solver_rows]
        _line(figure, growth, x, solver_rows, 2, 2, None)
    figure.update_yaxes(type="log", title_text="seconds")
    figure.update_xaxes(type="log", title_text="rank", row=2, col=1)
    figure.update_xaxes(type="log", title_text="rows, channels, rank or number of ranks", row=2, col=2)
    device = rows[0].device if rows else ""
    figure.update_layout(
        title=f"nmfdiag bench on {machine['processor']} ({device}), {machine['date']}",
        barmode="group", template="plotly_white", height=900,
    )  # fmt: skip
    return figure


def _bars(figure: go.Figure, rows: Sequence[Row], row: int, col: int) -> None:
    for solver in dict.fromkeys(r.solver for r in rows if r.repeats):
        solver_rows = [r for r in rows if r.solver == solver and r.repeats]
        figure.add_trace(
            go.Bar(
                name=solver, x=[r.case for r in solver_rows], y=[r.seconds for r in solver_rows],
                error_y=_spread(solver_rows), marker_color=COLOURS.get(solver), legendgroup=solver,
                customdata=[r.note for r in solver_rows], hovertemplate="%{x}: %{y:.3g} s<br>%{customdata}",
            ),
            row=row, col=col,
        )  # fmt: skip


def _line(
    figure: go.Figure, name: str, x: Sequence[int], rows: Sequence[Row], row: int, col: int, colour: str | None
) -> None:
    figure.add_trace(
        go.Scatter(
            name=name, x=list(x), y=[r.seconds for r in rows], error_y=_spread(rows), mode="lines+markers",
            line_color=colour, legendgroup=name,
        ),
        row=row, col=col,
    )  # fmt: skip


def _spread(rows: Sequence[Row]) -> dict[str, object]:
    """Return error bars from the least to the largest repeat."""
    on_cpu = [r.device == "cpu" for r in rows]
    above = [(r.cpu_max if cpu else r.wall_max) - r.seconds for r, cpu in zip(rows, on_cpu, strict=True)]
    below = [r.seconds - (r.cpu_min if cpu else r.wall_min) for r, cpu in zip(rows, on_cpu, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
