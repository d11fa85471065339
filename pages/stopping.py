"""Early stopping without a test sample: the epoch that a measure keeps, against the test loss (figures 6 and 9)."""

import streamlit as st

from nmfdiag.evidence.records import histories
from nmfdiag.measures.stopping import PRIMARY_RULES
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.rerun import rerun_page
from nmfdiag.ui.widgets import select_one, set_widgets, start_run
from nmfdiag.views.epochs import ALL, MEASURES, SMOOTHINGS
from nmfdiag.views.stopping.figures import MEAN, RUNS, map_figure, stopping_figure
from nmfdiag.views.stopping.sentences import (
    TITLES,
    caveats,
    drawn_text,
    how_to_read,
    missing_text,
    others_text,
    per_run,
    stopping_answer,
)
from nmfdiag.views.stopping.tables import (
    as_in_paper,
    epoch_table,
    every_rule_table,
    map_table,
    record_settings,
    rule_table,
    settings_of,
)
from nmfdiag.zoo.experiments import LAYER_SETS

TITLE = "When should training have stopped?"
MEASURE_HELP = (
    "Absolute: the declared one. Relative: divided by the batch's accuracy. Fitted: only samples it gets right."
)
PAPER_HELP = "Of this experiment: the paper's data set where it is recorded, the declared measure, every run, raw."
SMOOTH_HELP = "Centred mean of the thick lines, for the eye; no number is taken from it."


def draw() -> None:
    start_run()
    with st.sidebar:
        title = select_one(
            "experiment", list(TITLES.values()), "experiment", help="Figure 6: AuC. Figure 9: twenty samples."
        )
        name = next(key for key, value in TITLES.items() if value == title)
        runs = histories(name)
        settings = settings_of(name, runs)
        if settings:
            setting_name = select_one(
                "setting", list(settings), "setting", help="Runs that differ in their seed alone."
            )
            setting = settings[setting_name]
            layers = select_one("layers", [*LAYER_SETS, *setting.layers], "of_layers", help="Whose mean is taken.")
            measure = select_one("measure", setting.measures, "measure", help=MEASURE_HELP)
    if not settings:
        banner(TITLE, title, [("experiment", title)])
        st.info(missing_text(name, runs, None), icon=":material/info:")
        return
    head = st.container()
    paper = {"setting": as_in_paper(name, settings), "of_layers": ALL, "smooth": "none", "show": RUNS}
    paper["measure"] = next((m for m in setting.measures if MEASURES[m].rule == PRIMARY_RULES[name]), measure)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = select_one("show", [RUNS, MEAN], "show", segmented=True)
        smooth = select_one("smoothing", list(SMOOTHINGS), "smooth", segmented=True, help=SMOOTH_HELP)
        st.button("As in the paper", on_click=set_widgets, args=(paper,), help=PAPER_HELP)
    link = {
        "experiment": title,
        "setting": setting_name,
        "of_layers": layers,
        "measure": measure,
        "show": show,
        "smooth": smooth,
    }
    seeds = ", ".join(str(run.recipe.seed) for run in setting.runs)
    seeds = f"seed{'s' * (len(setting.runs) > 1)} {seeds}"
    n_train = setting.runs[0].recipe.n_train
    with head:
        subject = f"{title} · {setting_name} · {seeds} · {n_train:,} training samples"
        banner(TITLE, subject, list(link.items()))
    stopping_measure = MEASURES[measure]
    st.markdown(f"**{stopping_answer(setting)}**")
    if sentence := drawn_text(setting, stopping_measure, layers):
        st.markdown(sentence)
    stem = f"{setting.runs[0].name.rsplit('-s', 1)[0]}_{measure}_{layers}".replace(" ", "-")
    figure = stopping_figure(setting, stopping_measure, layers=layers, window=SMOOTHINGS[smooth], show=show)
    charts.plot(
        figure, f"{stem}_over-epochs", lambda: epoch_table(setting, stopping_measure, layers), "stopping", TITLE
    )
    st.caption(" ".join([per_run(setting, stopping_measure.rule, layers), missing_text(name, runs, setting)]))
    right = st.column_config.TextColumn(alignment="right")
    table = rule_table(setting, layers)
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={c: right for c in table.columns[list(table).index("kept") :]},
    )
    st.markdown("\n\n".join([caveats(setting), others_text(settings, setting_name)]))
    data, alt = (
        (lambda: map_table(setting, stopping_measure)),
        f"{stopping_measure.title} of every layer at every epoch",
    )
    clicked = charts.plot(
        map_figure(setting, stopping_measure), f"{stem}_by-layer-and-epoch", data, "stopping-map", alt
    )
    if clicked and clicked[0] in setting.layers:
        st.session_state["_clicked_of_layers"] = clicked[0]
        rerun_page()
    tabs(how_to_read(name), every_rule_table(setting), record_settings(setting))


page_guard()
live_results.draw_safely(draw)
