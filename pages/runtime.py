"""What the factorisation costs on this machine, and how fast its solvers converge (figure 11)."""

import streamlit as st

from nmfdiag.bench import last_results
from nmfdiag.jobs.requests import KINDS
from nmfdiag.jobs.time_nmf import runtime_requests
from nmfdiag.ui import charts, live_results, sidebar
from nmfdiag.ui.widgets import give, one, several
from nmfdiag.views.curve_tables import runtime_table
from nmfdiag.views.runtime.bench_figures import bench_answer, bench_figure, bench_settings, bench_table
from nmfdiag.views.runtime.figures import runtime_figure
from nmfdiag.views.runtime.sentences import HOW_TO_READ, RANKS_HELP, answer_of, busy_words, measured, ranks_to_choose
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries

PAPER = {"over": "rank", "solvers": ["mu"], "scale": "linear", "source": "this page"}
PAPER_HELP = "Figure 11: multiplicative updates to convergence, over the rank."

sidebar.page_guard()
choice = sidebar.sidebar().alone
head = st.container()
with st.container(horizontal=True, vertical_alignment="bottom"):
    kind = one("time over", KINDS, "over", segmented=True, help="Convergence: the error over time.")
    solvers = several("solvers", ["hals", "mu"], "solvers", ["hals", "mu"], format_func=str.upper)
    some, usual = ranks_to_choose(choice.channels)
    ranks = several("ranks", some, "rank", [usual], disabled=kind == "rank", help=RANKS_HELP)
    scale = one("axes", ["log", "linear"], "scale", segmented=True)
    source = one("measured by", ["this page", "last benchmark"], "source", segmented=True)
    st.button("As in the paper", on_click=give, args=(PAPER,), help=PAPER_HELP)
several_of = [("solvers", s.upper()) for s in solvers] + [("rank", str(k)) for k in ranks]
with head:
    link = [("over", kind), *several_of, ("scale", scale), ("source", source)]
    sidebar.heading("What does the factorisation cost?", choice, link)


def draw(choice: Choice) -> None:
    choice = choice.alone
    devices = None if choice.device == "auto" else [choice.device]
    requests = runtime_requests(
        choice.networks[0], choice.layer, kind, class_idx=choice.classes[0], per_class=choice.per_class,
        solvers=solvers, ranks=ranks, devices=devices,
    )  # fmt: skip
    results = live_results.computed(choice, requests, at_once=False)
    live_results.answer(answer_of(results, kind, choice.layer), results, requests)
    if measured(results):
        p, where = choice.networks[0].label_noise, f"{choice.layer}, {choice.batch_words}"
        figure = runtime_figure(results, kind=kind, p=p, where=where, scale=scale)
        charts.chart(figure, choice, results, f"{choice.layer}_time-over-{kind}", f"NMF: time over {kind}")
    live_results.progress(choice, requests, results)
    if busy := busy_words(results):
        st.info(busy, icon=":material/hourglass:")
    charts.details(HOW_TO_READ[kind], runtime_table(results, entries(), traces=False), choice, results)


def draw_benchmark() -> None:
    table = bench_table(last_results)
    st.markdown(f"**{bench_answer(table)}**")
    figure = bench_figure(table, kind=kind, scale=scale)
    charts.chart(figure, choice, table, f"benchmark_time-over-{kind}", f"Benchmark: time over {kind}")
    charts.tabs(HOW_TO_READ["benchmark"], table, bench_settings(table))


if source == "this page":
    live_results.side_by_side(choice, draw)
else:
    live_results.guarded(draw_benchmark, st.info)
