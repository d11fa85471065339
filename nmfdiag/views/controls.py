"""What every page shares on the screen: the sidebar, waiting for results, charts with their exports."""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import streamlit as st

from nmfdiag.errors import NmfdiagError
from nmfdiag.runs import garbage
from nmfdiag.runs.cache import CurveCache
from nmfdiag.runs.jobs import Jobs
from nmfdiag.runs.request import GRIDS
from nmfdiag.views.charts import banner
from nmfdiag.views.choice import ALONE, EACH_CLASS, MULTI, Choice, methods_of
from nmfdiag.views.figures import waiting_figure
from nmfdiag.views.provenance import computed_with
from nmfdiag.views.widgets import begin, give, one, several
from nmfdiag.zoo.registry import ZooEntry, broken, entries

ICON, LOGO, STYLE = (Path(__file__).with_name(name) for name in ("icon.svg", "logo.svg", "page.css"))
INSIDE_APP = "_inside_app"
POLL_SECONDS = 0.7

Requests = Sequence[Any]
Results = Mapping[Any, Any]
METHODS_HELP = {
    "nmf": "NMF is the paper's; PCA and random ablation (keep k random channels) are its two baselines.",
    "signed": "These activations can be negative. NMF of their positive and negative part is ours, not the paper's; PCA and random "
    "ablation (keep k random channels) are its two baselines.",
}
BATCH_HELP = "Samples that share a given label, once for each class (the band is over classes), or a mixture of all."
GRID_HELP = "Full: two ranks a doubling. Coarse: one, in half the time."
BESIDE_HELP = "A second network, drawn to the right of these."
AXIS_HELP = (
    "Of the plots, and of the area under them: AuC over log k tells curves apart that are right from small ranks on."
)


class NothingYet(Exception):
    """There is nothing to draw before the first result comes."""


@st.cache_resource
def jobs(device: str) -> Jobs:
    """The queue of a device, one a server."""
    return Jobs(_cache(), device)


@st.cache_resource
def _cache() -> CurveCache:
    return CurveCache()


@st.cache_resource
def _housekeeping() -> Thread:
    return garbage.start()


def page_guard() -> None:
    """Run the page through app.py: a deep link on a cold server would otherwise miss its frame."""
    if not st.session_state.get(INSIDE_APP):
        frame()
        st.rerun()


def frame() -> Any:
    """The tab's title and icon (a file: Streamlit fetches named icons of tabs from the web), the logo and the navigation."""
    _housekeeping()
    st.set_page_config("nmfdiag", page_icon=str(ICON), layout="wide")
    st.logo(str(LOGO), size="large", icon_image=str(ICON))
    st.html(STYLE)
    return st.navigation(pages(), expanded=True)


def pages() -> dict[str, list]:
    """The pages by section."""
    return {
        "Diagnose": [
            st.Page("pages/overview.py", title="Overview", icon=":material/monitoring:", default=True),
            st.Page("pages/how.py", title="How it works", icon=":material/school:"),
            st.Page("pages/curves.py", title="k vs accuracy", icon=":material/show_chart:"),
            st.Page("pages/phases.py", title="Layer phases", icon=":material/layers:"),
            st.Page("pages/classes.py", title="Classes", icon=":material/category:"),
            st.Page("pages/reconstruction.py", title="Reconstruction error", icon=":material/compress:"),
            st.Page("pages/stopping.py", title="Early stopping", icon=":material/stop_circle:"),
        ],
        "Evidence": [
            st.Page("pages/evidence.py", title="Evidence", icon=":material/fact_check:"),
            st.Page("pages/generalization.py", title="Generalisation", icon=":material/scatter_plot:"),
            st.Page("pages/ablation.py", title="Ablation", icon=":material/content_cut:"),
            st.Page("pages/batches.py", title="Single vs multi-class", icon=":material/grid_view:"),
            st.Page("pages/support.py", title="Support", icon=":material/apps:"),
            st.Page("pages/runtime.py", title="Runtime", icon=":material/timer:"),
        ],
        "Your network": [
            st.Page("pages/your_network.py", title="Your network", icon=":material/upload_file:"),
            st.Page("pages/training_runs.py", title="Training runs", icon=":material/timeline:"),
        ],
    }


def sidebar(without: Collection[str] = ()) -> Choice:
    """Draw the sidebar; choices live in the URL, so they survive page switches and reloads and can be sent.

    ``without`` names controls that change nothing on this page, or that it has itself: they are not drawn.
    """
    begin()
    zoo = entries()
    with st.sidebar:
        for problem in broken():
            st.warning(problem)
        if not zoo:
            st.error("The zoo is empty. Train a network: `nmfdiag zoo train digits-mlp-p0-s0`")
            st.stop()
        dataset = one("data set", list(dict.fromkeys(e.recipe.dataset for e in zoo.values())), "data")
        archs = dict.fromkeys(e.recipe.arch for e in zoo.values() if e.recipe.dataset == dataset)
        arch = one("network", list(archs), "arch")
        family = [e for e in zoo.values() if (e.recipe.dataset, e.recipe.arch) == (dataset, arch)]
        main, more = st.container(), st.expander("More", icon=":material/tune:")
        with more:
            seed = one("seed", sorted({e.recipe.seed for e in family}), "seed", help="Of data, weights and training.")
        with main:
            networks = _networks({e.recipe.label_noise: e for e in family if e.recipe.seed == seed})
            layers = list(networks[0].layers)
            third = len(layers) // 3
            layer = layers[third] if "layer" in without else one("layer", layers, "layer", default=third)
            some = [EACH_CLASS, MULTI, *(networks[0].class_names[c] for c in networks[0].classes)]
            batch = some[0] if "batch" in without else one("batch", some, "batch", help=BATCH_HELP)
        with more:
            beside = None if "beside" in without else zoo.get(one("beside", [ALONE, *zoo], "beside", help=BESIDE_HELP))
            fitting, grid = methods_of(networks[0]), GRIDS[0]
            methods = list(fitting[:1])
            if "methods" not in without:
                methods = several("methods", fitting, "methods", methods, help=METHODS_HELP[fitting[0]])
            axis = one("rank axis", ["linear", "log"], "axis", help=AXIS_HELP)
            per_class = one("samples a batch", [10, 20, 30, 50], "n", default=1)
            if "grid" not in without:
                grid = one("rank grid", GRIDS, "grid", help=GRID_HELP)
            solver = one(
                "NMF solver", ["hals", "mu"], "solver", help="HALS is fast; MU are the paper's multiplicative updates."
            )
            device = one("device", ["auto", "cpu"], "device", help="auto: the GPU where there is one.")
    there = min(per_class, networks[0].pool_per_class or per_class)
    return Choice(networks, layer, batch, tuple(methods), there, grid, solver, axis, device, beside)


def heading(
    title: str,
    choice: Choice,
    link: Sequence[tuple[str, str]] = (),
    subject: str = "",
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    compare: bool = True,
) -> None:
    """The question, what it is asked about, and the link to this screen, with what the page's own controls add to it.

    Each of the ``presets`` is a button that makes the choices of one of the paper's figures. ``compare`` offers a network to
    be drawn beside: of pages that draw their results by :func:`side_by_side`.
    """

    def beside() -> None:
        with st.popover("Compare", icon=":material/compare:"):
            st.selectbox(
                "with",
                [name for name in entries() if name not in {n.name for n in choice.networks}],
                key="_compare",
                index=None,
                placeholder="A second network",
                on_change=_compare,
            )

    banner(title, subject or choice.subject, [*choice.link, *link], about=choice, beside=beside if compare else None)
    if presets:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("As in the paper:", width="content")
            for figure, values in presets.items():
                st.button(figure, type="tertiary", on_click=give, args=(values,))


def answer(words: str, results: Results, requests: Requests) -> None:
    """The first line: the answer in one sentence; it says so if results are missing yet."""
    so_far = ""
    if len(results) < len(requests):
        so_far = f" :gray[So far: {len(results)} of {len(requests)} {requests[0].unit}.]"
    st.markdown(f"**{words}**{so_far}")


def so_far(choice: Choice, requests: Requests) -> Results:
    """The results that are there."""
    return jobs(choice.device).results(requests)


def computed(choice: Choice, requests: Requests, *, at_once: bool = True) -> Results:
    """The results that are there; what is missing is asked for, ``at_once`` or by a button below the plot.

    Without any, what is drawn of this choice ends here until the first one comes.

    Raises:
        NothingYet: For :func:`guarded`, where there is no result yet.
    """
    queue, wanted, of = jobs(choice.device), frozenset(requests), choice.place
    if queue.cache.notice:
        st.warning(queue.cache.notice)
    results = queue.results(requests)
    stopped = (st.session_state.get(f"_{of}cancelled"), st.session_state.get(f"_{of}asked"))
    missing = [request for request in requests if request not in results]
    under_way = bool(missing) and all(queue.busy([request]) for request in missing)  # a reload finds it again
    if missing and (at_once or under_way) and wanted not in stopped:
        _ask(queue, requests, of)
    if not results:
        asked, status = st.session_state.get(f"_{of}asked") == wanted, queue.status(requests)
        place = st.container()
        if not (status.finished and status.failed):
            words = f"The first of the {requests[0].unit} is being computed" if asked else "Not measured here yet"
            alt = "The plot, as soon as there is something to draw"
            st.plotly_chart(waiting_figure(words), config={"staticPlot": True}, alt=alt, key=f"_{of}waiting")
        with st.container() if asked else place:  # a button that starts the work is not hidden below an empty plot
            progress(choice, requests, results)
        if not status.finished and queue.status(requests).finished:  # it ended while this was drawn
            st.rerun()
        raise NothingYet
    return results


def progress(choice: Choice, requests: Requests, results: Results) -> None:
    """One line below the plot: how far the results are and Cancel, or what they were computed with."""
    queue, wanted, unit, of = jobs(choice.device), frozenset(requests), requests[0].unit, choice.place
    status = queue.status(requests)
    for problem in dict.fromkeys(status.failed.values()):
        st.error(problem)
    asked = st.session_state.get(f"_{of}asked") == wanted
    nothing_more_comes = asked and status.finished and status.done <= len(results)

    def button(label: str, what: Callable[..., None], **options: Any) -> None:
        st.button(label, on_click=what, args=(queue, requests, of), key=f"_{of}{label}", **options)

    if len(results) == len(wanted) or nothing_more_comes:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            if results:
                st.caption(computed_with(choice, results), width="stretch")
            if unit == "points":
                button("Measure again", _ask_again, icon=":material/replay:")
    elif st.session_state.get(f"_{of}cancelled") == wanted:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(f"Stopped with {len(results)} of {len(wanted)} {unit}.", icon=":material/pause:")
        with right:
            button("Resume", _ask, width="stretch")
    elif asked:
        _waiting(queue, list(requests), len(results), len(status.failed), of)
    else:
        button("Measure", _ask, type="primary", icon=":material/timer:")


def _ask(queue: Jobs, requests: Requests, of: str) -> None:
    owner = _owner(of)
    queue.cancel(owner)  # what this reader has left behind is not computed before what is on the screen
    queue.ask(requests, owner)
    st.session_state[f"_{of}asked"], st.session_state[f"_{of}cancelled"] = frozenset(requests), None


def _ask_again(queue: Jobs, requests: Requests, of: str) -> None:
    queue.cache.drop(request.key for request in requests)
    _ask(queue, requests, of)


def _cancel(queue: Jobs, requests: Requests, of: str) -> None:
    """A callback, since it is called even where a rerun has replaced the fragment that the click was meant for."""
    queue.cancel(_owner(of))
    st.session_state[f"_{of}cancelled"] = frozenset(requests)


def forget(device: str, of: str = "") -> None:
    """Cancel what this reader waits for at a place of a page."""
    if st.session_state.pop(f"_{of}asked", None):
        jobs(device).cancel(_owner(of))


def _owner(of: str) -> str:
    return of + st.session_state.setdefault("_owner", uuid.uuid4().hex)


@st.fragment(run_every=POLL_SECONDS)
def _waiting(queue: Jobs, requests: list[Any], drawn: int, failed: int, of: str) -> None:
    status = queue.status(requests)
    if not status.finished:
        left, right = st.columns([5, 1], vertical_alignment="center")
        words = f"{status.done} of {status.total} {requests[0].unit}. {status.running or 'Waiting its turn.'}"
        left.progress(status.done / status.total, words)
        if right.button("Cancel", key=f"_{of}Cancel", width="stretch", on_click=_cancel, args=(queue, requests, of)):
            st.rerun()
    enough = 1 if status.finished or not drawn else max(1, status.total // 12)
    if status.done >= drawn + enough or (status.finished and len(status.failed) > failed):
        st.rerun()


def _compare() -> None:
    give({"beside": st.session_state["_compare"]})
    st.session_state["_compare"] = None


def side_by_side(choice: Choice, draw: Callable[[Choice], None]) -> None:
    """Draw a page's results of the choice, and of the network beside it in a column of its own."""
    other = choice.other
    if other is None:
        forget(choice.device, "beside-")
        guarded(partial(draw, choice))
        return
    with st.container(key="side_by_side"):
        columns = st.columns(2, gap="medium")
    for column, one_of in zip(columns, (choice, other), strict=True):
        with column:
            st.markdown(f"**{one_of.named}**" + (f" :gray[at {one_of.layer}]" if one_of.layer != choice.layer else ""))
            guarded(partial(draw, one_of))


def guarded(draw: Callable[[], None], tell: Callable[[str], object] = st.error) -> None:
    """Run a page's drawing; the caller's mistakes become an explained message."""
    try:
        draw()
    except NothingYet:
        pass
    except NmfdiagError as error:
        tell(str(error))


def cache_words() -> str:
    """The cache's size in words."""
    stats = _cache().stats()
    return f"{stats['curves']:,} results, {stats['bytes'] / 2**20:.1f} MiB"


def _networks(by_noise: dict[float, ZooEntry]) -> tuple[ZooEntry, ...]:
    if any(network.called for network in by_noise.values()):
        return tuple(by_noise.values())  # a user's own: there is no p to choose from
    levels = sorted(by_noise)
    default = sorted({levels[0], levels[len(levels) // 2], levels[-1]})
    picked = several(
        "label noise p", levels, "p", default, help="Share of the training labels that were drawn anew at random.",
        format_func="{:g}".format,
    )  # fmt: skip
    return tuple(by_noise[p] for p in sorted(picked))
