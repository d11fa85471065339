"""The last benchmark's table -> a figure, a table and a sentence. Another run wrote it, so it is checked before use."""

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.errors import NmfdiagError
from nmfdiag.plots.theme import GREY, P_MARKERS, set_layout
from nmfdiag.views.runtime.figures import set_seconds
from nmfdiag.views.runtime.sentences import times_text

ACCENT = "#238a86"  # readable on white and on black
OURS = ("hals", "hals_looped", "mu")
AXES = {"rank": "rank k", "rows": "rows of the activation matrix", "channels": "channels of the activation matrix"}
NUMBERS = (
    "rows",
    "channels",
    "n_ranks",
    "threads",
    "wall_seconds",
    "wall_min",
    "wall_max",
    "cpu_seconds",
    "mean_relative_error",
)
NEEDED = ("section", "device", "case", "solver", "ranks", "note", *NUMBERS)
CURE = "Run one in a terminal: `python -m nmfdiag bench`."
NOT_A_FACTORISATION = ("gemm", "iteration", "copy", "ours", "naive")
"""Parts of one, and whole curves: another quantity than the time of a factorisation."""
LABELS = 12
"""Most labels along an axis."""


def bench_table(read: Callable[[], pd.DataFrame | None]) -> pd.DataFrame:
    """Return the timed factorisations of the last benchmark.

    Args:
        read: Returns the table, or None; :func:`nmfdiag.bench.last_results`.

    Raises:
        NmfdiagError: If there is no table, it can't be read, lacks a column, or has no times.
    """
    try:
        table = read()
    except (ValueError, OSError, KeyError) as error:
        raise NmfdiagError(f"The last benchmark's table can't be read ({error}). {CURE}") from None
    if table is None:
        raise NmfdiagError(f"No benchmark has been run on this machine yet. {CURE}")
    missing = [column for column in NEEDED if column not in table]
    if missing:
        raise NmfdiagError(f"The last benchmark's table lacks the column {missing[0]!r}. {CURE}")
    table = table.copy()
    for column in NUMBERS:
        table[column] = pd.to_numeric(table[column], errors="coerce")
    solved = ~table["solver"].isin(NOT_A_FACTORISATION) & (table["solver"].fillna("") != "")
    timed = (table["wall_seconds"] > 0) & (table["rows"] > 0) & (table["n_ranks"] > 0)
    if not (solved & timed).any():
        raise NmfdiagError(f"The last benchmark's table holds no timed factorisation. {CURE}")
    return table[solved & timed].reset_index(drop=True)


def bench_figure(table: pd.DataFrame, *, kind: str, scale: str) -> go.Figure:
    """Draw wall seconds of every solver over the ranks, rows or channels; a line joins points that differ in nothing else."""
    if kind not in AXES:
        raise NmfdiagError(
            f"The benchmark keeps no error over time: choose {', '.join(AXES)}, or measure on this page."
        )
    table, figure = table.assign(rank=pd.to_numeric(table["ranks"], errors="coerce")), go.Figure()
    grows = (
        table["note"].astype(str).str.extract("^grows: (.*)$")[0]
    )  # parts of a matrix between which one size differs
    table = table[grows.isna() | (grows == kind)]
    sweep = table[table["rank"] > 0] if kind == "rank" else table[table["n_ranks"] > 1]
    if sweep.empty:
        raise NmfdiagError(f"The last benchmark holds no times over the {kind}. {CURE}")
    constant = [
        c for c in ("section", "rows", "channels", "threads", *([] if kind == "rank" else ["ranks"])) if c != kind
    ]
    several = sweep["device"].nunique() > 1
    for position, ((device, solver), rows) in enumerate(sweep.groupby(["device", "solver"], sort=False)):
        name = f"{solver}, {device}" if several else str(solver)
        pieces = _labelled([piece.sort_values(kind) for _, piece in rows.groupby(constant)])
        gap = pd.DataFrame([dict.fromkeys(pieces[0])]).astype(object)
        points = pd.concat([part.astype(object) for piece in pieces for part in (piece, gap)][:-1])
        figure.add_scatter(
            x=points[kind], y=points["wall_seconds"], name=name, mode="lines+markers+text",
            text=points["label"], textposition="top left",
            error_y={
                "type": "data", "symmetric": False, "thickness": 1,
                "array": points["wall_max"] - points["wall_seconds"],
                "arrayminus": points["wall_seconds"] - points["wall_min"],
            },
            line={"color": ACCENT if solver in OURS else GREY, "width": 2},
            marker={"symbol": P_MARKERS[position % len(P_MARKERS)], "size": 9},
            customdata=points[["case", "rows", "channels", "n_ranks", "mean_relative_error"]],
            hovertemplate=f"{name}<br>%{{customdata[0]}}<br>%{{customdata[1]:,}} × %{{customdata[2]}}, "
            "%{customdata[3]} ranks<br>%{y:.3g} s, mean error %{customdata[4]:.4g}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title=AXES[kind], type=scale)
    if scale == "log":
        sizes: list[float] = []
        for size in sorted(sweep[kind].unique()):
            if not sizes or size >= sizes[-1] * (sweep[kind].max() / sweep[kind].min()) ** (1 / LABELS):
                sizes.append(size)
        figure.update_xaxes(tickvals=sizes, ticktext=[f"{size:,.0f}" for size in sizes])
    set_seconds(figure.update_yaxes, scale, "wall time (median; bars: least to most)", list(sweep["wall_seconds"]))
    return set_layout(figure, f"Benchmark: time over {AXES[kind]}")


def _labelled(pieces: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return a solver's lines and single points; of several lines the last point of each is labelled with the size of its matrix."""
    several = sum(len(piece) > 1 for piece in pieces) > 1
    return [
        piece.assign(label=[*[""] * (len(piece) - 1), _size(piece.iloc[-1]) if several and len(piece) > 1 else ""])
        for piece in pieces
    ]


def _size(point: pd.Series) -> str:
    return f"{point['rows']:,.0f} × {point['channels']:.0f}"


def bench_answer(table: pd.DataFrame) -> str:
    """Return how many times as long as ours the fastest peer takes, summed over the cases that both were timed on."""
    times = _times_of_peers(table)
    if not times:
        return f"The benchmark holds {len(table)} times, and none of ours beside a peer's."
    peer = min(times, key=times.__getitem__)
    return f"The fastest peer, {peer}, takes {times_text(times[peer])} times as long as HALS on the same matrices."


def peers_text(table: pd.DataFrame) -> str:
    """Return how many times as long as ours the other peers take; empty without any."""
    times = _times_of_peers(table)
    slower = sorted(times, key=times.__getitem__)[1:]
    return f"Others: {', '.join(f'{peer} {times_text(times[peer])} times' for peer in slower)}." if slower else ""


def origin_text(table: pd.DataFrame) -> str:
    """Return where and when a benchmark was measured."""
    parts = (bench_settings(table).get(name, "") for name in ("processor", "date"))
    return f"Measured on {', '.join(filter(None, parts))}."


def _times_of_peers(table: pd.DataFrame) -> dict[str, float]:
    """Return each peer's time as a multiple of ours, summed over the cases that both were timed on."""
    seconds = table.drop_duplicates(["device", "case", "solver"]).pivot(
        index=["device", "case"], columns="solver", values="wall_seconds"
    )
    peers = [solver for solver in seconds if solver not in OURS] if "hals" in seconds else []
    pairs = {str(peer): seconds[["hals", peer]].dropna() for peer in peers}
    return {peer: float(pair[peer].sum() / pair["hals"].sum()) for peer, pair in pairs.items() if len(pair)}


def bench_settings(table: pd.DataFrame) -> dict[str, str]:
    """Return the machine, versions and date of the measurement."""
    columns = ("machine", "processor", "threads", "repeats", "nmfdiag", "torch", "numpy", "scikit_learn", "date")
    return {c: ", ".join(map(str, table[c].dropna().unique())) for c in columns if c in table}
