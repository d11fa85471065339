"""The frame of every page, and its sidebar: what the reader chooses."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import streamlit as st

from nmfdiag.jobs.requests import GRIDS
from nmfdiag.measures.methods import METHODS
from nmfdiag.text import for_markdown
from nmfdiag.ui import gc_pauses
from nmfdiag.ui.charts import banner
from nmfdiag.ui.widgets import begin, give, one, several
from nmfdiag.views.selection import ALONE, EACH_CLASS, Choice, methods_of
from nmfdiag.zoo.registry import ZooEntry, broken, entries

ICON, LOGO, STYLE = (Path(__file__).with_name(name) for name in ("icon.svg", "logo.svg", "page.css"))
INSIDE_APP = "_inside_app"

BATCH_HELP = "Samples that share a given label, once for each class (the band is over classes), or a mixture of all."
GRID_HELP = "Full: two ranks a doubling. Coarse: one, in half the time."
BESIDE_HELP = "A second network, drawn to the right of these."
AXIS_HELP = (
    "Of the plots, and of the area under them: AuC over log k tells curves apart that are right from small ranks on."
)


@st.cache_resource
def _housekeeping() -> Thread:
    return gc_pauses.start()


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
            st.warning(for_markdown(problem))
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
            batches = Choice(networks, layer).batches
            option = EACH_CLASS if "batch" in without else one("batch", list(batches), "batch", help=BATCH_HELP)
            batch = batches[str(option)]
        with more:
            beside = None if "beside" in without else zoo.get(one("beside", [ALONE, *zoo], "beside", help=BESIDE_HELP))
            fitting, grid = methods_of(networks[0]), GRIDS[0]
            methods = list(fitting[:1])
            if "methods" not in without:
                methods = several("methods", fitting, "methods", methods, help=METHODS[fitting[0]].help)
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
    be drawn beside: of pages that draw their results by :func:`nmfdiag.ui.live_results.side_by_side`.
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


def _compare() -> None:
    give({"beside": st.session_state["_compare"]})
    st.session_state["_compare"] = None


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
