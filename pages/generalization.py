"""AuC as a predictor of the generalisation gap, over the networks of a declared experiment (figure 5)."""

import streamlit as st

from nmfdiag.evidence.records import network_records
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.address import choose, start_run
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.rerun import rerun_page
from nmfdiag.ui.widgets import column_formats, select_one, with_ticks
from nmfdiag.views.generalization import sentences, tables
from nmfdiag.views.generalization.figures import definitions_figure, layers_figure, scatter_figure
from nmfdiag.views.glossary import TERMS
from nmfdiag.zoo.experiments import AXES, BATCHES, GENERALIZATION, LAYER_SETS, Definition

PAPER = {
    "networks_of": tables.DATASETS[0], "fits": tables.FITS[0], "compared": tables.COMPARED[0], "auc_layers": LAYER_SETS[0], "auc_axis": AXES[0],
    "auc_batch": BATCHES[0],
}  # fmt: skip
PAPER_HELP = "Figure 5: all networks together, under the definition that was declared as primary."
FITS_HELP = "Those that fit reached the training accuracy that their recipe asks for."
COMPARED_HELP = (
    "Within: the mean of each data set (and p) is taken off first, so that differences between them don't count."
)
LAYERS_HELP = f"{TERMS['AuC']} A network's AuC is the mean over these of its layers."
AXIS_HELP = "Of the ranks that the area is taken over."
BATCH_HELP = "Single: samples that share a given label, mean over classes. Multi: a mixture of all classes."
NONE, STATISTIC = "none", next(iter(tables.STATISTICS))

page_guard()
start_run()
with st.sidebar:
    dataset = select_one("data set", tables.DATASETS, "networks_of")
    fits = select_one("networks", tables.FITS, "fits", segmented=True, help=FITS_HELP)
    compared = select_one("compare", tables.COMPARED, "compared", help=COMPARED_HELP)
    layers = select_one("AuC over", LAYER_SETS, "auc_layers", help=LAYERS_HELP)
    axis = select_one("rank axis", AXES, "auc_axis", segmented=True, help=AXIS_HELP)
    batch = select_one("batches", BATCHES, "auc_batch", segmented=True, help=BATCH_HELP)
    st.button("As in the paper", on_click=choose, args=(PAPER,), help=PAPER_HELP, width="stretch")
    name = select_one(
        "network", [NONE, *GENERALIZATION], "network", help="It opens below the plots, as it does by a click."
    )
TITLE = "Does AuC predict the generalisation gap?"


def draw() -> None:
    records = network_records()
    if not records:
        banner(TITLE, f"{len(GENERALIZATION)} networks")
        st.info(sentences.NOTHING, icon=":material/info:")
        return
    definition = Definition(layers, axis, batch)
    selection = tables.select(records, dataset=dataset, fits=fits, definition=definition, compared=compared)
    banner(TITLE, sentences.subject(selection, len(records)))
    verdict = selection.verdict()
    st.markdown(f"**{sentences.title_answer(selection)}**")
    stem, table = f"generalization_{layers.replace(' ', '-')}_{axis}_{batch}", tables.network_table(selection)
    alt = "Generalisation gap over AuC, one point a network, one panel a method"
    figure = scatter_figure(selection, ringed=name)
    clicked = charts.plot(figure, f"{stem}_error-over-auc", lambda: table, "scatter", alt)
    if clicked and clicked[0] != name:
        choose({"network": clicked[0]})
        rerun_page()
    if name in records:
        draw_network(name, selection)
    else:
        st.caption("Click a point to open its network." if name == NONE else f"Network {name} is not recorded yet.")
    verdict = selection.verdict()
    texts = [f"{sentences.overall_text(verdict)} {sentences.paper_text(verdict)}", sentences.fit_text(selection)]
    if not sentences.is_declared(selection, dataset, fits):
        texts.append(sentences.declared_text(tables.select(records).verdict()))
    for text in filter(str.strip, texts):
        st.markdown(text)
    draw_definitions(selection, stem)
    tabs(sentences.how_to_read(), table, sentences.settings(selection, len(records)))


def draw_network(name: str, selection: tables.Selection) -> None:
    record = network_records()[name]
    st.subheader(f"Network {name}", anchor=False)
    left, right = st.columns([2, 3])
    with left:
        st.markdown(sentences.network_text(record))
        st.markdown(sentences.accuracy_text(record, selection))
        st.caption("Train and measure it again, into the folder recorded/:")
        st.code(f"{sentences.COMMAND} --only {name}", language=None, wrap_lines=True)
    with right:
        figure, table = layers_figure(record, selection.definition), tables.layer_table(record, selection.definition)
        charts.plot(figure, f"{name}_auc-by-layer", lambda: table, "layers", f"AuC by layer of network {name}")


def draw_definitions(selection: tables.Selection, stem: str) -> None:
    st.subheader("Is the result robust?", anchor=False)
    by_definition = tables.verdicts(selection)
    table = tables.definition_table(by_definition)
    parts = [
        sentences.lead_text(selection.verdict()),
        *sentences.definitions_text(by_definition),
        sentences.noise_text(selection),
        sentences.combination_text(selection),
    ]
    st.markdown("\n".join(f"- {part}" for part in parts if part))
    statistic = select_one("correlation", list(tables.STATISTICS), "statistic", segmented=True)
    figure, figure_key = definitions_figure(by_definition, statistic), "definitions"
    charts.plot(
        figure, f"{stem}_definitions", lambda: table, figure_key, "r under every declared definition, with intervals"
    )
    with st.expander("Every definition, method and correlation", icon=":material/table:"):
        st.dataframe(with_ticks(table), hide_index=True, column_config=column_formats(table))


live_results.draw_safely(draw)
