"""The cost of the factorisation on this machine, and how fast its solvers converge (figure 11)."""

import streamlit as st

from nmfdiag.evidence.all_records import Records
from nmfdiag.jobs.requests import KINDS
from nmfdiag.jobs.time_nmf import runtime_requests
from nmfdiag.text import for_markdown
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.details import details, tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import heading
from nmfdiag.ui.sidebar import sidebar
from nmfdiag.ui.widgets import select_one, select_several
from nmfdiag.views.curve_tables import runtime_table
from nmfdiag.views.runtime.bench_figures import (
    AXES,
    bench_answer,
    bench_figure,
    bench_settings,
    bench_table,
    origin_text,
    peers_text,
)
from nmfdiag.views.runtime.figures import runtime_figure
from nmfdiag.views.runtime.sentences import (
    RANKS_HELP,
    answer_of,
    busy_text,
    how_to_read,
    measured_points,
    ranks_to_choose,
)
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

PAPER = {"over": "rank", "solvers": ["mu"], "scale": "linear", "source": "this page"}
PAPER_HELP = "Figure 11: multiplicative updates to convergence, over the rank."

page_guard()
choice = sidebar().alone
head = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    kind = select_one("time over", KINDS, "over", segmented=True, help="Convergence: the error over time.")
    solvers = select_several("solvers", ["hals", "mu"], "solvers", ["hals", "mu"], format_func=str.upper)
    rank_options, default_rank = ranks_to_choose(choice.channels)
    ranks = [default_rank]
    if kind != "rank":  # which takes the whole grid
        ranks = select_several("ranks", rank_options, "rank", ranks, help=RANKS_HELP)
    scale = select_one("axes", ["log", "linear"], "scale", segmented=True)
    source = select_one("measured by", ["this page", "last benchmark"], "source", segmented=True)
    st.button("As in the paper", on_click=choose, args=(PAPER,), help=PAPER_HELP)
with head:
    heading("What does the factorisation cost?", choice)


unmeasured: list[Choice] = []


def draw(choice: Choice) -> None:
    choice = choice.alone
    devices = None if choice.device == "auto" else [choice.device]
    requests = runtime_requests(
        choice.networks[0], choice.layer, kind, class_idx=choice.classes[0], per_class=choice.per_class,
        solvers=solvers, ranks=ranks, devices=devices,
    )  # fmt: skip
    try:
        results = live_results.get_results(choice, requests, at_once=False)
    except live_results.NothingYet:
        unmeasured.append(choice)
        return
    live_results.answer(answer_of(results, kind, choice.layer), results, requests)
    if measured_points(results):
        p, subject = choice.networks[0].label_noise, f"{choice.layer}, {choice.batch_text}"
        figure = runtime_figure(results, kind=kind, p=p, place=subject, scale=scale)
        charts.chart(figure, choice, results, f"{choice.layer}_time-over-{kind}", f"NMF: time over {kind}")
    live_results.progress(choice, requests, results)
    if busy := busy_text(results):
        st.info(busy, icon=":material/hourglass:")
    details(how_to_read(kind), runtime_table(results, entries(), traces=False), choice, results)


def draw_benchmark() -> None:
    table = bench_table(lambda: Records().bench)
    st.markdown(f"**{bench_answer(table)}** {peers_text(table)}")
    st.caption(for_markdown(origin_text(table)))
    figure = bench_figure(table, kind=kind, scale=scale)
    charts.chart(figure, choice, table, f"benchmark_time-over-{kind}", f"Benchmark: time over {kind}")
    tabs(how_to_read("benchmark"), table, bench_settings(table))


if source == "this page":
    live_results.side_by_side(choice, draw)
    if len(unmeasured) == len(choice.sides) and kind in AXES:
        st.subheader("Recorded before", anchor=False)
        live_results.draw_safely(draw_benchmark, st.info)
else:
    live_results.draw_safely(draw_benchmark, st.info)
