"""Open your own network, see whether it is the one that you trained, and diagnose it."""

from dataclasses import replace
from functools import partial
from html import unescape
from typing import Any

import streamlit as st

from nmfdiag.diagnosis.comparison_text import sure_words
from nmfdiag.diagnosis.diagnose import Diagnosis, diagnosis_of
from nmfdiag.jobs import open_process
from nmfdiag.jobs.open_process import Opener, Prepare
from nmfdiag.jobs.requests import GRIDS
from nmfdiag.text import estimated_size, estimated_time, for_markdown, for_plot
from nmfdiag.ui import charts, live_results
from nmfdiag.ui.details import tabs
from nmfdiag.ui.frame import page_guard
from nmfdiag.ui.heading import banner
from nmfdiag.ui.rerun import draw_repeatedly, rerun_page
from nmfdiag.ui.sidebar import GRID_HELP
from nmfdiag.ui.upload_form import form
from nmfdiag.ui.widgets import column_formats, select_one, set_widgets, start_run
from nmfdiag.views import your_network as view
from nmfdiag.views.classes.tables import class_curves
from nmfdiag.views.help_text import help_text
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry
from nmfdiag.zoo.remove_network import remove

TITLE = "Does my network memorise?"
OPEN = "open one"
MOST_LINKS = 8
PAGES = {
    "curves": ("k vs accuracy", ":material/show_chart:"),
    "classes": ("Classes", ":material/category:"),
    "phases": ("Layer phases", ":material/layers:"),
    "ablation": ("Ablation", ":material/content_cut:"),
    "support": ("Support", ":material/apps:"),
}


@st.cache_resource
def opener() -> Opener:
    """The one of this server."""
    return Opener()


def draw() -> None:
    start_run()
    state, own = opener().state(), open_process.opened_networks()
    if state.succeeded and st.session_state.get("_take_up") == state.name and state.name in own:
        del st.session_state["_take_up"]
        set_widgets({"network": state.name})
    with st.sidebar:
        name = select_one("network", [OPEN, *own], "network", help="Those that were opened before, the last one first.")
    if name != OPEN:
        shown(own[name])
        return
    banner(TITLE, view.SUBJECT, [("network", OPEN)])
    if state.running:
        draw_repeatedly(partial(following, state.name), live_results.POLL_SECONDS)
        return
    if state.problem:
        st.error(f"{for_markdown(state.name)} was not opened. {for_markdown(state.problem)}", icon=":material/error:")
    elif state.cancelled:
        st.info(f"Opening {for_markdown(state.name)} was cancelled.", icon=":material/info:")
    if state.problem or state.cancelled:
        st.button("Dismiss", icon=":material/close:", type="tertiary", on_click=opener().dismiss)
    if not own:
        try_example(own)
        st.divider()
    form(start)
    if own:
        st.divider()
        opened_before(own)
        try_example(own)


# ---- Opening one


def start(what: Prepare) -> None:
    """Open a network, and show it as soon as it is there."""

    def run() -> None:
        opener().start(what)
        name = st.session_state["_take_up"] = opener().state().name
        st.session_state["_opened_as"] = (name, what)
        set_widgets({"network": OPEN})

    live_results.draw_safely(run)


def try_example(own: dict[str, ZooEntry]) -> None:
    """One click that shows the whole way."""
    action: Any = (
        (start, open_process.example)
        if open_process.EXAMPLE_NAME not in own
        else (set_widgets, {"network": open_process.EXAMPLE_NAME})
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Try it with an example", icon=":material/play_arrow:", on_click=action[0], args=action[1:])
        st.caption(view.EXAMPLE, width="stretch")


def opened_before(own: dict[str, ZooEntry]) -> None:
    """Those that can be chosen again."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Opened before:", width="content")
        for name in list(own)[:MOST_LINKS]:
            st.button(
                for_markdown(name),
                type="tertiary",
                key=f"_open_{name}",
                on_click=set_widgets,
                args=({"network": name},),
            )


def following(name: str) -> None:
    """How far the opening is, and Cancel."""
    state = opener().state()
    if not state.running or state.name != name:
        rerun_page()
    left, right = st.columns([5, 1], vertical_alignment="center")
    share, step = opener().progress()
    left.progress(share, for_markdown(f"Opening {name}: {step}"))
    right.button("Cancel", icon=":material/stop:", width="stretch", on_click=opener().cancel)


# ---- One that is open


def shown(entry: ZooEntry) -> None:
    """A network: its check, and its diagnosis once it was asked for."""
    with st.sidebar:
        n = select_one("samples a batch", [10, 20, 30, 50], "n", default=1)
        with st.expander("More", icon=":material/tune:"):
            grid = select_one("rank grid", GRIDS, "grid", help=GRID_HELP)
            device = select_one("device", ["auto", "cpu"], "device", help="auto: the GPU where there is one.")
        removal(entry, device)
    there, first = min(n, entry.pool_per_class or n), next(iter(entry.layers))
    choice = Choice((entry,), first, methods=(entry.method,), per_class=there, grid=grid, device=device)
    check = open_process.check_of(entry)
    link = [("network", entry.name), ("n", str(n)), ("grid", grid)]
    banner(TITLE, view.subject(entry, check.get("preflight", {})), link, topic=entry.name)
    requests, queue = choice.requests(), live_results.jobs(device)
    asked = st.session_state.get("_diagnose") == requests
    if asked or queue.busy(requests) or len(queue.results(requests)) == len(requests):
        diagnosed(choice, requests, check)
    else:
        checked(entry, check, there)
        st.button(
            "Diagnose", type="primary", icon=":material/troubleshoot:", on_click=st.session_state.update,
            args=({"_diagnose": requests},),
        )  # fmt: skip
        st.caption(view.cost(len(requests), there))
    details(entry, check)


def diagnosed(choice: Choice, requests: list[Any], check: dict[str, Any]) -> None:
    """The answer, what it is read from, and what can be done with it; drawn as the curves come."""
    entry = choice.networks[0]
    results = live_results.get_results(choice, requests)
    itself = (
        (open_process.EXAMPLE,) if entry.name == open_process.EXAMPLE_NAME else ()
    )  # the example is a copy of a reference
    diagnosis = diagnosis_of(results, entry, without=itself)
    live_results.answer(diagnosis.verdict, results, requests)
    table = view.depth_table(diagnosis)
    figure = view.layers_figure(diagnosis, choice.layers, choice.batch_words)
    clicked = charts.plot(figure, f"{entry.name}_auc-by-layer", lambda: table, "own-layers", "AuC by layer")
    if clicked:
        go_to("curves", entry, unescape(clicked[0]))
    live_results.progress(choice, requests, results)
    if len(results) == len(requests):  # of a part they would be about what is still missing
        for remark in view.remarks(diagnosis):
            st.caption(for_markdown(remark))
        downloads(diagnosis)
    cells(choice, results, diagnosis)
    beside(diagnosis)
    rows = settings(choice, results) | check.get("provenance", {})
    tabs(help_text("your_network"), table, rows)


def beside(diagnosis: Diagnosis) -> None:
    """The mean over all layers among those of reference networks, and how sure that is."""
    comparison = diagnosis.comparison
    if comparison is None or comparison.place is None:
        return
    table = view.reference_table(comparison)
    figure = view.beside_figure(comparison, diagnosis.name)
    charts.plot(
        figure, f"{diagnosis.name}_references", lambda: table, "own-references", "Mean AuC of reference networks by p"
    )
    with st.expander("How sure is the comparison?", icon=":material/help:"):
        st.markdown("\n".join(f"- {for_markdown(each)}" for each in sure_words(comparison)))


def checked(entry: ZooEntry, check: dict[str, Any], per_class: int) -> None:
    """Whether this is the network that its owner has trained: accuracy first."""
    found = check.get("preflight", {})
    right = found.get("accuracy", entry.pool_accuracy)
    with st.container(horizontal=True):
        st.metric("right by their given labels", f"{right:.1%}", width=230, help=view.ACCURACY_HELP)
        st.metric("layers to measure", len(found.get("layers", entry.layers)), width=160)
        if found:
            st.metric("estimated time", estimated_time(view.takes(found, per_class)), width=170, help=view.COST_HELP)
            st.metric("memory", estimated_size(found["bytes"]), width=140)
    if concerns := view.concerns(right, found):
        st.warning("\n\n".join(concerns), icon=":material/warning:")
    (name, again), better = st.session_state.get("_opened_as", ("", None)), view.better_normalization(check)
    if name == entry.name and better:
        st.button(
            f"Open again, normalised as {for_markdown(better)}", type="primary", icon=":material/autorenew:", on_click=start,
            args=(lambda folder: replace(again(folder), name=entry.name, normalization=better, replaces=True),),
        )  # fmt: skip
    for key in check.get("other_weights", ()) if name == entry.name else ():
        st.button(
            f"Open again, with the weights {for_markdown(key)}", icon=":material/autorenew:", on_click=start, key=f"_weights_{key}",
            args=(lambda folder, key=key: replace(again(folder), name=entry.name, weights_key=key, replaces=True),),
        )  # fmt: skip


def cells(choice: Choice, results: Any, diagnosis: Diagnosis) -> None:
    """The map of classes and layers; a click opens the curve."""
    entry = choice.networks[0]
    names = {for_plot(name): name for name in entry.class_names}
    lowest = diagnosis.classes[0] if diagnosis.classes else None
    layer, c = (lowest.lowest[0], lowest.class_idx) if lowest else (choice.layer, next(iter(results)).class_idx)
    safe = replace(choice, networks=(replace(entry, class_names=tuple(names)),), layer=layer)
    figure = view.cells_figure(class_curves(safe, results), entry.name, class_idx=c)
    clicked = charts.plot(
        figure, f"{entry.name}_auc-by-class", diagnosis.profile.to_frame, "own-cells", "AuC by class and layer"
    )
    if clicked:
        go_to("curves", entry, clicked[0], names.get(clicked[1], ""))


def downloads(diagnosis: Diagnosis) -> None:
    """The report, and other pages with this network."""
    with st.container(horizontal=True, vertical_alignment="center"):
        stem = f"{diagnosis.name}_diagnosis"
        st.download_button(
            "Report (HTML)", lambda: diagnosis.html().encode(), f"{stem}.html", "text/html", on_click="ignore",
            icon=":material/description:", type="primary",
        )  # fmt: skip
        st.download_button(
            "Numbers (JSON)", lambda: diagnosis.json().encode(), f"{stem}.json", "application/json", on_click="ignore",
            icon=":material/data_object:",
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("See this network on:", width="content")
        for page, (title, icon) in PAGES.items():
            if st.button(title, icon=icon, type="tertiary", key=f"_to_{page}"):
                go_to(page, open_process.opened_networks()[diagnosis.name])


def go_to(page: str, entry: ZooEntry, layer: str = "", batch: str = "") -> None:
    """Open another page with this network chosen."""
    batch = Choice((entry,), layer, batch).batch_option if batch else ""
    wanted = {"data": entry.recipe.dataset, "arch": entry.recipe.arch, "layer": layer, "batch": batch}
    for key, value in wanted.items():
        st.session_state[f"_clicked_{key}"] = value or None
    st.switch_page(f"pages/{page}.py", query_params={})


def details(entry: ZooEntry, check: dict[str, Any]) -> None:
    """What the check found, folded."""
    with st.expander("What was opened, and what the check found", icon=":material/fact_check:"):
        for table in view.check_tables(entry, check):
            st.dataframe(table, hide_index=True, column_config=column_formats(table))
        if not check:
            st.caption(view.NO_CHECK.format(name=entry.name))


def removal(entry: ZooEntry, device: str) -> None:
    """Remove the network, once that is confirmed."""

    def run() -> None:
        live_results.forget(device)
        remove(entry)
        set_widgets({"network": OPEN})

    with st.popover("Remove", icon=":material/delete:", width="stretch"):
        st.markdown(view.removal(entry))
        st.button(f"Remove {for_markdown(entry.name)}", type="primary", on_click=live_results.draw_safely, args=(run,))


page_guard()
live_results.draw_safely(draw)
