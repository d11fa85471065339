"""What every page shares on the screen: the sidebar, waiting for curves, charts with their exports."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.errors import StreamlitAPIException

from nmfdiag.errors import NmfdiagError
from nmfdiag.runs.cache import CurveCache
from nmfdiag.runs.jobs import Jobs
from nmfdiag.runs.request import GRIDS, CurveRequest
from nmfdiag.views.choice import EACH_CLASS, MULTI, Choice, Curves
from nmfdiag.views.figures import METHOD_TITLES, to_html, waiting_figure
from nmfdiag.views.tables import curve_table
from nmfdiag.zoo.registry import ZooEntry, broken, entries

ICON = Path(__file__).with_name("icon.svg")
INSIDE_APP = "_inside_app"
POLL_SECONDS = 0.7
METHODS_HELP = "NMF is the paper's; PCA and random ablation (keep k random channels) are its two baselines."
AXIS_HELP = (
    "Of the plots, and of the area under them: AuC over log k tells curves apart that are right from small ranks on."
)


@st.cache_resource
def jobs(device: str) -> Jobs:
    """The queue of a device, one a server."""
    return Jobs(_cache(), device)


@st.cache_resource
def _cache() -> CurveCache:
    return CurveCache()


def page_guard() -> None:
    """Run the page through app.py: a deep link on a cold server would otherwise miss its frame."""
    if not st.session_state.get(INSIDE_APP):
        frame()
        st.rerun()


def frame() -> Any:
    """The tab's title and icon (a file: Streamlit fetches named icons of tabs from the web) and the navigation."""
    st.set_page_config("nmfdiag", page_icon=str(ICON), layout="wide")
    return st.navigation(pages())


def pages() -> dict[str, list]:
    """The pages by section."""
    return {
        "Diagnose": [
            st.Page("pages/overview.py", title="Overview", icon=":material/monitoring:", default=True),
            st.Page("pages/curves.py", title="k vs accuracy", icon=":material/show_chart:"),
            st.Page("pages/phases.py", title="Layer phases", icon=":material/layers:"),
            st.Page("pages/reconstruction.py", title="Reconstruction error", icon=":material/compress:"),
        ]
    }


def sidebar() -> Choice:
    """Draw the sidebar; choices live in the URL, so they survive page switches and reloads and can be sent."""
    st.session_state.setdefault("_link", {key: st.query_params.get_all(key) for key in st.query_params})
    st.session_state.setdefault("_kept", {})
    st.session_state["_switched"] = st.session_state.get("_page") != st.context.url
    zoo = entries()
    with st.sidebar:
        for problem in broken():
            st.warning(problem)
        if not zoo:
            st.error("The zoo is empty. Train a network: `nmfdiag zoo train digits-mlp-p0-s0`")
            st.stop()
        dataset = _one("data set", list(dict.fromkeys(e.recipe.dataset for e in zoo.values())), "data")
        archs = dict.fromkeys(e.recipe.arch for e in zoo.values() if e.recipe.dataset == dataset)
        arch = _one("network", list(archs), "arch")
        family = [e for e in zoo.values() if (e.recipe.dataset, e.recipe.arch) == (dataset, arch)]
        main, more = st.container(), st.expander("More", icon=":material/tune:")
        with more:
            seed = _one("seed", sorted({e.recipe.seed for e in family}), "seed", help="Of data, weights and training.")
        with main:
            networks = _networks({e.recipe.label_noise: e for e in family if e.recipe.seed == seed})
            layers = list(networks[0].layers)
            layer = _one("layer", layers, "layer", default=len(layers) // 3)
            batch = _one(
                "batch", [EACH_CLASS, MULTI, *networks[0].class_names], "batch",
                help="Samples that share a given label, once for each class (the band is over classes), or a mixture of all.",
            )  # fmt: skip
        with more:
            methods = _several("methods", list(METHOD_TITLES), "methods", ["nmf"], help=METHODS_HELP)
            axis = _one("rank axis", ["linear", "log"], "axis", help=AXIS_HELP)
            per_class = _one("samples a batch", [10, 20, 30, 50], "n", default=1)
            grid = _one("rank grid", GRIDS, "grid", help="Full: two ranks a doubling. Coarse: one, in half the time.")
            solver = _one(
                "NMF solver", ["hals", "mu"], "solver", help="HALS is fast; MU are the paper's multiplicative updates."
            )
            device = _one("device", ["auto", "cpu"], "device", help="auto: the GPU where there is one.")
    st.session_state["_page"] = st.context.url
    return Choice(networks, layer, batch, tuple(methods), per_class, grid, solver, axis, device)


def heading(title: str, choice: Choice) -> None:
    """The question, what it is asked about, and the link to this screen."""
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    left.title(title)
    with right.popover("Link", icon=":material/link:", width="stretch"):
        st.caption("Opens this page with these choices.")
        st.code(f"{st.context.url or ''}?{urlencode(choice.link)}", language=None, wrap_lines=True)
    st.caption(choice.subject)
    if notes := st.session_state.pop("_new_notes", None):
        st.session_state["_notes"] = (choice, notes)
    about, notes = st.session_state.get("_notes", (None, []))
    for words in notes if about == choice else []:
        st.info(words, icon=":material/info:")


def answer(words: str, curves: Curves, requests: Sequence[CurveRequest]) -> None:
    """The first line: the answer in one sentence; it says so if curves are missing yet."""
    so_far = "" if len(curves) == len(requests) else f" :gray[So far: {len(curves)} of {len(requests)} curves.]"
    st.markdown(f"**{words}**{so_far}")


def computed(choice: Choice, requests: Sequence[CurveRequest]) -> Curves:
    """The curves that are there; what is missing is asked for. Without any, the page ends here until the first one comes."""
    owner = st.session_state.setdefault("_owner", uuid.uuid4().hex)
    queue, wanted = jobs(choice.device), frozenset(requests)
    if queue.cache.notice:
        st.warning(queue.cache.notice)
    results = queue.results(requests)
    if len(results) < len(wanted) and wanted not in (
        st.session_state.get("_cancelled"),
        st.session_state.get("_asked"),
    ):
        queue.cancel(owner)  # what this reader has left behind is not computed before what is on the screen
        queue.ask(requests, owner)
        st.session_state["_asked"], st.session_state["_cancelled"] = wanted, None
    if not results:
        st.plotly_chart(
            waiting_figure(), config={"staticPlot": True}, alt="The plot, as soon as its first curve is computed"
        )
        progress(choice, requests, results)
        st.stop()
    return results


def progress(choice: Choice, requests: Sequence[CurveRequest], results: Curves) -> None:
    """One line below the plot: how far the curves are and Cancel, or what they were computed with."""
    queue, wanted = jobs(choice.device), frozenset(requests)
    for problem in dict.fromkeys(queue.status(requests).failed.values()):
        st.error(problem)
    if len(results) == len(wanted):
        st.caption(_computed_with(choice, results))
    elif st.session_state.get("_cancelled") == wanted:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(f"Stopped with {len(results)} of {len(wanted)} curves.", icon=":material/pause:")
        if right.button("Resume", width="stretch"):
            st.session_state["_cancelled"] = st.session_state["_asked"] = None
            st.rerun()
    else:
        _waiting(queue, list(requests), len(results))


@st.fragment(run_every=POLL_SECONDS)
def _waiting(queue: Jobs, requests: list[CurveRequest], drawn: int) -> None:
    status = queue.status(requests)
    if not status.finished:
        left, right = st.columns([5, 1], vertical_alignment="center")
        words = f"{status.done} of {status.total} curves. {status.running or 'Waiting its turn.'}"
        left.progress(status.done / status.total, words)
        if right.button("Cancel", width="stretch"):
            queue.cancel(st.session_state["_owner"])
            st.session_state["_cancelled"] = frozenset(requests)
            st.rerun()
    if status.done >= drawn + (1 if status.finished or not drawn else max(1, status.total // 12)):
        st.rerun()


def chart(figure: go.Figure, choice: Choice, results: Curves, what: str, alt: str) -> None:
    """A figure with its exports: image, HTML, and the data as CSV. A click on a layer opens its curve."""
    name = f"{choice.file_stem}_{what}"
    image = st.session_state.get(f"_image_{what}") or "SVG"
    clicks = st.session_state.setdefault("_clicks", 0)
    event: Any = st.plotly_chart(
        figure, key=f"_{what}_{clicks}", on_select="rerun", selection_mode="points", alt=alt,
        config={
            "toImageButtonOptions": {"format": image.lower(), "filename": name, "scale": 2},
            "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"],
        },
    )  # fmt: skip
    with st.popover("Export", icon=":material/download:"):
        st.segmented_control(
            "The camera on the plot saves", ["SVG", "PNG"], default="SVG", key=f"_image_{what}", required=True
        )
        st.download_button(
            "Data (CSV)", lambda: curve_table(results, entries()).to_csv(index=False).encode(), f"{name}.csv", "text/csv",
            on_click="ignore", key=f"_csv_{what}", icon=":material/table:", width="stretch",
        )  # fmt: skip
        st.download_button(
            "Interactive plot (HTML)", lambda: to_html(figure).encode(), f"{name}.html", "text/html",
            on_click="ignore", key=f"_html_{what}", icon=":material/code:", width="stretch",
        )  # fmt: skip
    for point in event["selection"]["points"] if event else []:
        clicked = point.get("customdata")
        if isinstance(clicked, list | tuple) and clicked[0] in choice.layers:
            st.session_state["_clicks"] = (
                clicks + 1
            )  # a chart of another key: its selection is empty when the reader is back
            st.session_state["_clicked_layer"] = clicked[0]
            # Without query_params={} Streamlit 1.67 refuses to switch while a bound key is in the URL; the values travel anyway.
            st.switch_page("pages/curves.py", query_params={})


def details(how_to_read: str, table: pd.DataFrame, choice: Choice, results: Curves) -> None:
    """Below the plot: how to read it, its table, and what it was computed from."""
    reading, numbers, settings = st.tabs(["How to read it", "Table", "Settings and provenance"])
    reading.markdown(how_to_read)
    numbers.dataframe(table, hide_index=True, column_config=_formats(table))
    with settings:
        request, curve = next(iter(results.items()))
        open_ranks = sum(not done for c in results.values() for done in c.converged)
        rows = {
            "networks": ", ".join(n.name for n in choice.networks),
            "weights and probe batches (sha256)": ", ".join(n.digest[:12] for n in choice.networks),
            "batch": choice.batch_words,
            "seed of batch and solver": str(request.seed),
            "NMF": f"{request.solver}, tol {request.tol:g}, at most {request.max_iter} iterations",
            "random ablation": f"mean over {request.draws} draws",
            "ranks of the first curve": ", ".join(map(str, curve.ranks)),
            "ranks not converged": f"{open_ranks} (open markers)",
            "torch": str(curve.provenance.get("torch")),
            "processor and threads": f"{curve.provenance.get('processor')}, {curve.provenance.get('threads')}",
        }
        st.dataframe(pd.DataFrame(rows.items(), columns=["what", "value"]), hide_index=True)


def guarded(draw: Callable[[], None]) -> None:
    """Run a page's drawing; the caller's mistakes become an explained message."""
    try:
        draw()
    except NmfdiagError as error:
        st.error(str(error))


def cache_words() -> str:
    """The cache's size in words."""
    stats = _cache().stats()
    return f"{stats['curves']:,} curves, {stats['bytes'] / 2**20:.1f} MiB"


def _computed_with(choice: Choice, results: Curves) -> str:
    devices = sorted({str(c.provenance.get("device")) for c in results.values()})
    seconds = sum(float(c.provenance.get("seconds", 0)) for c in results.values())
    return f"{len(results)} curves, {choice.batch_words}; {seconds:.2g} s of computing on {', '.join(devices)}, kept in the cache."


def _formats(table: pd.DataFrame) -> dict[str, Any]:
    """Three decimals for measured shares, thousands for counts."""
    formats = {"f": "%.3f", "i": "localized"}
    return {
        name: st.column_config.NumberColumn(format=formats[table[name].dtype.kind])
        for name in table.columns
        if name != "p" and table[name].dtype.kind in formats
    }


def _networks(by_noise: dict[float, ZooEntry]) -> tuple[ZooEntry, ...]:
    levels = sorted(by_noise)
    default = sorted({levels[0], levels[len(levels) // 2], levels[-1]})
    picked = _several(
        "label noise p", levels, "p", default, help="Share of the training labels that were drawn anew at random.",
        format_func="{:g}".format,
    )  # fmt: skip
    return tuple(by_noise[p] for p in sorted(picked))


def _one(label: str, options: Sequence[Any], key: str, *, default: int = 0, help: str | None = None) -> Any:
    """A choice of one: the URL's, the last one, or the default."""
    _note_what_a_link_got_wrong(label, [str(o) for o in options], key, str(options[default]))
    start: dict[str, Any] = {} if _restored(key) else {"index": default}
    if key == "layer" and st.session_state.get("_clicked_layer") in options:
        st.session_state[key], start = st.session_state.pop("_clicked_layer"), {}
    elif key in st.session_state and st.session_state[key] not in options:
        st.session_state[key], start = options[default], {}
    picked = st.selectbox(label, options, key=key, bind="query-params", help=help, **start)
    st.session_state["_kept"][key] = picked
    return picked


def _several(
    label: str, options: Sequence[Any], key: str, default: Sequence[Any], *, help: str, format_func: Any = str
) -> list[Any]:
    """A choice of at least one: the URL's, the last one, or the default; without any, the first of the default."""
    _note_what_a_link_got_wrong(label, [format_func(o) for o in options], key, ", ".join(map(format_func, default)))
    start: dict[str, Any] = {} if _restored(key, format_func) else {"default": default}
    if key in st.session_state and not set(st.session_state[key]) <= set(options):
        st.session_state[key], start = [o for o in st.session_state[key] if o in options] or list(default), {}
    picked = st.pills(
        label,
        options,
        selection_mode="multi",
        key=key,
        bind="query-params",
        format_func=format_func,
        help=help,
        **start,
    )
    st.session_state["_kept"][key] = picked
    return list(picked) or list(default[:1])


def _restored(key: str, format_func: Any = str) -> bool:
    """Bring back the last value after a page switch whose URL came without it: Streamlit then falls back to the default."""
    kept = st.session_state["_kept"]
    lost = st.session_state["_switched"] and key in kept and key not in st.query_params
    if lost:
        value = st.session_state[key] = kept[key]
        with suppress(StreamlitAPIException):  # Streamlit refuses where it is going to write the URL itself
            st.query_params[key] = [format_func(v) for v in value] if isinstance(value, list) else format_func(value)
    return lost


def _note_what_a_link_got_wrong(label: str, options: Sequence[str], key: str, default: str) -> None:
    asked = st.session_state["_link"].pop(key, [])
    wrong = [value for value in asked if value not in options]
    if wrong:
        shown = default if len(wrong) == len(asked) else ", ".join(v for v in asked if v not in wrong)
        words = f"The link asks for {label} {', '.join(wrong)}: there are {', '.join(options)}. Shown is {shown}."
        st.session_state.setdefault("_new_notes", []).append(words)
