"""Early stopping without a test sample: the epoch that a measure keeps, against the test loss (figures 6 and 9)."""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from nmfdiag.evidence.records import histories
from nmfdiag.measures.stopping import PRIMARY_RULES, RULES
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import choose, start_run
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.rerun import rerun_page
from nmfdiag.ui.widgets import select_one
from nmfdiag.views.epochs import ALL, MEASURES, SMOOTHINGS, EpochMeasure
from nmfdiag.views.stopping import sentences, tables
from nmfdiag.views.stopping.advice import EXPERIMENT, gains_table, recorded_gains
from nmfdiag.views.stopping.figures import MEAN, RUNS, map_figure, stopping_figure
from nmfdiag.zoo.experiments import LAYER_SETS

TITLE = "When should training have stopped?"
EXPERIMENT_HELP = "Figure 6: AuC. Figure 9: twenty samples."
SETTING_HELP = "Runs that differ in their seed alone."
MEASURE_HELP = (
    "Absolute: the declared one. Relative: divided by the batch's accuracy. Fitted: only samples it gets right."
)
PAPER_HELP = "Of this experiment: the paper's data set where it is recorded, the declared measure, every run, raw."
SMOOTH_HELP = "Centred mean of the thick lines, for the eye; no number is taken from it."


def draw() -> None:
    start_run()
    with st.sidebar:
        title = select_one("experiment", list(sentences.TITLES.values()), "experiment", help=EXPERIMENT_HELP)
        name = next(key for key, value in sentences.TITLES.items() if value == title)
        runs = histories(name)
        settings = tables.settings_of(name, runs)
        if settings:
            setting_name = select_one("setting", list(settings), "setting", help=SETTING_HELP)
            setting = settings[setting_name]
            layers = select_one("layers", [*LAYER_SETS, *setting.layers], "of_layers", help="Whose mean is taken.")
            measure_name = select_one("measure", setting.measures, "measure", help=MEASURE_HELP)
    if not settings:
        banner(TITLE, title)
        st.info(sentences.missing_text(name, runs, None), icon=":material/info:")
        return
    head, measure = st.container(), MEASURES[measure_name]
    primary = next((m for m in setting.measures if MEASURES[m].rule == PRIMARY_RULES[name]), measure_name)
    paper = {"setting": tables.as_in_paper(name, settings), "of_layers": ALL, "smooth": "none", "show": RUNS}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = select_one("show", [RUNS, MEAN], "show", segmented=True)
        smoothing = select_one("smoothing", list(SMOOTHINGS), "smooth", segmented=True, help=SMOOTH_HELP)
        st.button("As in the paper", on_click=choose, args=(paper | {"measure": primary},), help=PAPER_HELP)
    with head:
        seeds = ", ".join(str(run.recipe.seed) for run in setting.runs)
        seeds = f"seed{'s' * (len(setting.runs) > 1)} {seeds}"
        n_train = setting.runs[0].recipe.n_train
        banner(TITLE, f"{title} · {setting_name} · {seeds} · {n_train:,} training samples")
        st.markdown(f"**{sentences.headline(setting)}**")
    stem = f"{setting.runs[0].name.rsplit('-s', 1)[0]}_{measure_name}_{layers}".replace(" ", "-")
    figure = stopping_figure(setting, measure, layers=layers, window=SMOOTHINGS[smoothing], show=show)
    charts.plot(figure, f"{stem}_over-epochs", partial(tables.epoch_table, setting, measure, layers), "stopping", TITLE)
    if name == EXPERIMENT and (recorded := recorded_gains(measure.rule)):
        st.markdown(f"**Does it help?** Stopping by {RULES[measure.rule].title}, mean over all layers, by label noise:")
        st.markdown(gains_table(recorded))
    if missing := sentences.missing_text(name, runs, setting):
        st.caption(missing)
    with st.expander("Every rule, and how far each stops from the least test loss"):
        _draw_rules(setting, settings, setting_name, measure, layers)
    data, alt = partial(tables.map_table, setting, measure), f"{measure.title} of every layer at every epoch"
    clicked = charts.plot(map_figure(setting, measure), f"{stem}_by-layer-and-epoch", data, "stopping-map", alt)
    if clicked and clicked[0] in setting.layers:
        choose({"of_layers": clicked[0]})
        rerun_page()
    tabs(sentences.how_to_read(name), tables.every_rule_table(setting), tables.record_settings(setting))


def _draw_rules(
    setting: tables.Setting, settings: Mapping[str, tables.Setting], title: str, measure: EpochMeasure, layers: str
) -> None:
    st.markdown(sentences.stopping_answer(setting))
    if sentence := sentences.drawn_text(setting, measure, layers):
        st.markdown(sentence)
    st.caption(sentences.per_run(setting, measure.rule, layers))
    table, right = tables.rule_table(setting, layers), st.column_config.TextColumn(alignment="right")
    formats = {column: right for column in table.columns[list(table).index("kept") :]}
    st.dataframe(table, hide_index=True, height="content", column_config=formats)
    st.markdown("\n\n".join([sentences.caveats(setting), sentences.others_text(settings, title)]))


page_guard()
live_results.draw_safely(draw)
