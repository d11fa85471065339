"""Figures and sentences on planted timings and on the last benchmark."""

import io
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import KINDS, WHOLE_GRID, RuntimeRequest, RuntimeResult
from nmfdiag.plots.theme import MARKER, SMALL_MARKER, colour_of
from nmfdiag.text import seconds_text
from nmfdiag.views.curve_tables import data_table, runtime_table
from nmfdiag.views.provenance import computed_with, settings
from nmfdiag.views.runtime.bench_figures import bench_answer, bench_figure, bench_settings, bench_table
from nmfdiag.views.runtime.figures import runtime_figure
from nmfdiag.views.runtime.sentences import answer_of, busy_text, ranks_to_choose
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries, lookup

REQUEST = RuntimeRequest("digits-cnn-p0-s0", "conv2_1", 0, "rank", 1, "hals", "cpu", 1, "a machine")
CHOICE = Choice((lookup("digits-cnn-p0-s0"),), "conv2_1")


def timing(seconds: float, **fields: object) -> RuntimeResult:
    record = {
        "rows": 320, "channels": 64, "ranks": [1], "wall_seconds": [seconds, seconds / 2, seconds * 2],
        "cpu_seconds": [seconds] * 3, "relative_error": [0.4], "n_iter": [12], "converged": [True],
        "provenance": {"device": "cpu", "threads": 1, "processor": "a machine", "seconds": 3.5 * seconds, "date": "2026"},
    } | fields  # fmt: skip
    return RuntimeResult(**record)  # type: ignore[arg-type]


def over_rank(**fields: object) -> dict[RuntimeRequest, RuntimeResult]:
    return {
        replace(REQUEST, rank=WHOLE_GRID): timing(0.1, ranks=[1, 2, 4]),
        **{replace(REQUEST, rank=k): timing(0.05 * k, ranks=[k]) for k in (1, 2, 4)},
        **{replace(REQUEST, rank=k, solver="mu"): timing(0.2 * k, ranks=[k], **fields) for k in (1, 2, 4)},
    }


def over_rows() -> dict[RuntimeRequest, RuntimeResult]:
    row_counts = {share: round(320 * share) for share in (0.25, 0.5, 1.0)}
    return {
        replace(REQUEST, kind="rows", rank=8, share=share, solver=solver): timing(scale * rows, rows=rows, ranks=[8])
        for share, rows in row_counts.items()
        for solver, scale in (("hals", 1e-4), ("mu", 1e-3))
    }


def converging(errors: tuple[float, ...] = (0.5, 0.4, 0.35)) -> dict[RuntimeRequest, RuntimeResult]:
    hals = [(0.01 * i, 0.009 * i, 0.02 * i, e) for i, e in enumerate(errors, 1)]
    mu = [(0.05 * i, 0.05 * i, 0.06 * i, e) for i, e in enumerate((0.9, 0.6, 0.5, 0.4), 1)]
    request = replace(REQUEST, kind="convergence", rank=8)
    return {
        request: timing(0.03, trace=hals, ranks=[8]),
        replace(request, solver="mu"): timing(0.2, trace=mu, ranks=[8], converged=[False]),
    }


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_time_over_rank(scale: str) -> None:
    figure = runtime_figure(over_rank(converged=[False]), kind="rank", p=0.4, place="conv2_1", scale=scale)
    hals, mu = trace(figure, "HALS"), trace(figure, "MU")
    assert list(hals.x) == [1, 2, 4] and list(hals.y) == [0.05, 0.1, 0.2]
    assert (hals.line.dash, mu.line.dash) == ("solid", "dash") and hals.line.color == mu.line.color == colour_of(0.4)
    assert [*hals.marker.size, *mu.marker.size] == [MARKER] * 3 + [SMALL_MARKER] * 3
    assert list(trace(figure, "all 3 ranks in one call (HALS)").y) == [0.1, 0.1]
    assert trace(figure, "small: not converged").x == (None,)
    assert figure.layout.yaxis.type == scale and (figure.layout.xaxis.type == "log") == (scale == "log")
    band = next(t for t in figure.data if t.fill == "toself")
    assert min(band.y) == 0.025 and max(band.y) == 0.4  # the least at k = 1, the most at k = 4


def test_ticks_of_a_logarithmic_time_axis_are_times() -> None:
    figure = runtime_figure(over_rank(), kind="rank", p=0, place="conv2_1", scale="log")
    assert {"50 ms", "0.1 s", "1 s"} <= set(figure.layout.yaxis.ticktext)
    assert not any(t.name == "small: not converged" for t in figure.data)


def test_time_over_rows_has_one_line_per_solver_and_rank() -> None:
    figure = runtime_figure(over_rows(), kind="rows", p=0, place="conv2_1", scale="log")
    assert list(trace(figure, "HALS").x) == [80, 160, 320] and list(figure.layout.xaxis.ticktext) == [
        "80",
        "160",
        "320",
    ]
    two = over_rows() | {replace(r, rank=16): t for r, t in over_rows().items()}
    lines = [t for t in runtime_figure(two, kind="rows", p=0, place="x", scale="log").data if t.mode == "lines+markers"]
    assert {t.name for t in lines} == {"HALS, k = 8", "MU, k = 8", "HALS, k = 16", "MU, k = 16"}
    assert len({t.marker.symbol for t in lines}) == 2


def test_devices_differ_in_marker_and_name() -> None:
    results = over_rank() | {replace(r, device="cuda"): t for r, t in over_rank().items()}
    lines = {t.name: t for t in runtime_figure(results, kind="rank", p=0, place="x", scale="log").data}
    assert lines["HALS, cpu"].marker.symbol != lines["HALS, cuda"].marker.symbol


def test_convergence_ends_where_the_solver_stopped() -> None:
    figure = runtime_figure(converging(), kind="convergence", p=0, place="conv2_1", scale="log")
    assert list(trace(figure, "HALS").y) == [0.5, 0.4, 0.35] and trace(figure, "MU").line.dash == "dash"
    ends = trace(figure, "HALS: end"), trace(figure, "MU: end")
    assert [(e.x[0], e.y[0]) for e in ends] == [(0.03, 0.35), (0.2, 0.4)]
    assert "stopped by its own rule" in ends[0].hovertemplate and "cut off" in ends[1].hovertemplate
    assert [e.marker.size for e in ends] == [MARKER, SMALL_MARKER]
    linear = runtime_figure(converging(), kind="convergence", p=0, place="conv2_1", scale="linear")
    assert tuple(linear.layout.yaxis.range) == (0, 1.03)


def test_answers() -> None:
    assert answer_of(over_rank(), "rank", "conv2_1") == (
        "At conv2_1 (320 × 64) all 3 ranks take 0.1 s with HALS in one call, 14 times less than with MU rank by rank (1.4 s)."
    )
    assert "3 of them not converged" in answer_of(over_rank(converged=[False]), "rank", "conv2_1")
    assert answer_of(converging(), "convergence", "conv2_1") == (
        "At conv2_1 (320 × 64) HALS reaches MU's final error 10 times sooner (20 ms against 0.2 s, k = 8)."
    )
    assert "HALS stops at an error of 0.45 after 30 ms and MU lower, at 0.4, after 0.2 s (k = 8)" in answer_of(
        converging((0.6, 0.5, 0.45)), "convergence", "conv2_1"
    )
    assert "growing as rows to the power 1.00 ± 0.00" in answer_of(over_rows(), "rows", "conv2_1")


def test_answers_from_part_of_the_points() -> None:
    mu = {r: t for r, t in over_rank().items() if r.solver == "mu"}
    assert "MU takes 0.2 s at k = 1 and 0.8 s at k = 4, 1.4 s for 3 ranks." in answer_of(mu, "rank", "conv2_1")
    first = dict([next(iter(mu.items()))])
    assert answer_of(first, "rank", "conv2_1") == "At conv2_1 (320 × 64) MU takes 0.2 s at k = 1."
    alone = {r: t for r, t in converging().items() if r.solver == "hals"}
    assert "HALS stops at an error of 0.35 after 30 ms (k = 8)." in answer_of(alone, "convergence", "conv2_1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_matrix_too_small_for_every_point_is_explained(kind: str) -> None:
    nothing = timing(1, rows=5, ranks=[], wall_seconds=[], cpu_seconds=[], relative_error=[], n_iter=[], converged=[])
    answer = answer_of({replace(REQUEST, rank=8): nothing}, kind, "fc1")
    assert answer == "fc1 has too small a matrix on this batch for k = 8: its full rank is 5."
    assert data_table({REQUEST: nothing}, entries()).empty
    settings(CHOICE, {REQUEST: nothing})


def test_a_busy_machine_is_reported() -> None:
    assert "wall time was 2.0 times the CPU time" in busy_text(
        {REQUEST: timing(0.3, wall_seconds=[0.6] * 3, cpu_seconds=[0.3] * 3)}
    )
    assert busy_text({REQUEST: timing(0.3, cpu_seconds=[0.6] * 3)}) == "" == busy_text({})


def test_times_and_rank_choices() -> None:
    assert [seconds_text(s) for s in (0.0083, 0.28, 4.2, 125)] == ["8.3 ms", "0.28 s", "4.2 s", "125 s"]
    assert ranks_to_choose(64) == ([1, 2, 4, 8, 16, 32], 16) and ranks_to_choose(1) == ([1], 1)
    alone = Choice((lookup("digits-cnn-p0-s0"), lookup("digits-cnn-p1-s0")), "conv2_1").alone
    assert alone.classes == (0,) and len(alone.networks) == 1 and alone.channels == 64


def test_tables_and_provenance() -> None:
    results = converging()
    assert len(data_table(results, entries())) == 7 and len(runtime_table(results, entries(), traces=False)) == 2
    assert "2 points" in computed_with(CHOICE, results) and "s of computing on cpu" in computed_with(CHOICE, results)
    rows = settings(CHOICE, results)
    assert rows["solvers"] == "hals, mu" and rows["processor"] == "a machine" and rows["ranks not converged"][0] == "1"


BENCH = """section,device,case,rows,channels,n_ranks,ranks,threads,solver,wall_seconds,wall_min,wall_max,cpu_seconds,mean_relative_error,date,note
peers,cpu,conv1,51200,64,2,1 2,1,hals,1.0,0.9,1.2,1.0,0.3,2026,
peers,cpu,conv1,51200,64,2,1 2,1,sklearn_cd,40,39,41,40,0.3,2026,
peers,cpu,conv2,12800,128,3,1 2 4,1,hals,1.0,0.9,1.2,1.0,0.3,2026,
peers,cpu,conv2,12800,128,3,1 2 4,1,sklearn_cd,20,19,22,20,0.3,2026,
peers,cpu,conv2,12800,128,3,1 2 4,1,gemm,0.1,0.1,0.1,0.1,,2026,
peers,cpu,conv2,12800,128,3,1 2 4,1,torchnmf,,,,,,2026,
scaling,cpu,rows: conv2,6400,128,3,1 2 4,1,hals,0.5,0.4,0.6,0.5,0.3,2026,grows: rows
scaling,cpu,rows: conv2,12800,128,3,1 2 4,1,hals,1.1,0.9,1.2,1.0,0.3,2026,grows: rows
scaling,cpu,threads: conv2,12800,128,3,1 2 4,2,hals,0.6,0.5,0.7,0.6,0.3,2026,grows: threads
runtime,cpu,vgg k=1,3136,512,1,1,1,hals,0.1,0.1,0.1,0.1,0.3,2026,
runtime,cpu,vgg k=8,3136,512,1,8,1,hals,0.3,0.3,0.3,0.3,0.3,2026,
"""


def benchmark(text: str = BENCH) -> pd.DataFrame:
    return bench_table(lambda: pd.read_csv(io.StringIO(text)))


def test_lines_of_one_solver_are_told_apart_by_their_matrix() -> None:
    second = "\n".join(
        f"scaling,cpu,rank {k},800,512,1,{k},1,hals,0.1,0.1,0.1,0.1,0.3,2026,grows: rank" for k in (2, 4)
    )
    ranks = bench_figure(benchmark(f"{BENCH}{second}\n"), kind="rank", scale="log")
    assert {text for text in trace(ranks, "hals").text if text} == {"3,136 × 512", "800 × 512"}
    assert list(ranks.layout.xaxis.tickvals) == [1, 2, 4, 8]
    alone = bench_figure(benchmark(), kind="rows", scale="log")
    assert not any(trace(alone, "hals").text)


def test_labels_of_an_axis_do_not_touch() -> None:
    near = "peers,cpu,conv3,12544,64,2,1 2,1,hals,1.0,0.9,1.2,1.0,0.3,2026,\npeers,cpu,conv4,50,64,2,1 2,1,hals,1.0,0.9,1.2,1.0,0.3,2026,\n"
    figure = bench_figure(benchmark(BENCH + near), kind="rows", scale="log")
    assert list(figure.layout.xaxis.tickvals) == [50, 6400, 12544, 51200]


def test_a_whole_curve_is_not_a_factorisation() -> None:
    curve = "curves,cpu,curve: conv1,51200,64,2,1 2,1,ours,8,8,8,8,,2026,\n"
    assert set(benchmark(BENCH + curve)["solver"]) == {"hals", "sklearn_cd"}


def test_the_last_benchmark() -> None:
    table = benchmark()
    assert set(table["solver"]) == {"hals", "sklearn_cd"}
    assert bench_answer(table) == "The fastest peer, sklearn_cd, takes 30 times as long as HALS on the same matrices."
    figure = bench_figure(table, kind="rows", scale="log")
    pieces = " ".join("|" if x is None else str(x) for x in trace(figure, "hals").x)
    assert sorted(pieces.split(" | ")) == [
        "12800",
        "51200",
        "6400 12800",
    ]  # joined: the rows alone differ; without the threads
    assert list(trace(bench_figure(table, kind="rank", scale="linear"), "hals").x) == [1, 8]
    assert trace(figure, "hals").line.color != trace(figure, "sklearn_cd").line.color
    assert bench_settings(table)["date"] == "2026"
    with pytest.raises(NmfdiagError, match="no times over the rank"):
        bench_figure(table[table["n_ranks"] > 1], kind="rank", scale="log")
    with pytest.raises(NmfdiagError, match="no error over time"):
        bench_figure(table, kind="convergence", scale="log")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "can't be read"),
        ('"', "can't be read"),
        ("section,device,case\npeers,cpu,x\n", "lacks the column 'solver'"),
        (BENCH.splitlines()[0], "no timed factorisation"),
        (BENCH.splitlines()[0] + "\npeers,cpu,conv1,a,b,c,1 2,1,hals,fast,,,,,,\n", "no timed factorisation"),
    ],
)
def test_a_malformed_benchmark_is_explained(text: str, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        benchmark(text)


def test_a_missing_benchmark_explains_how_to_run_one() -> None:
    with pytest.raises(NmfdiagError, match="python -m nmfdiag bench"):
        bench_table(lambda: None)
