"""What every page shares on the screen: the sidebar, waiting for curves, charts with their exports."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.summary import Spread, spread
from nmfdiag.runs.cache import CurveCache
from nmfdiag.runs.jobs import Jobs
from nmfdiag.runs.request import MULTI_CLASS, CurveRequest, profile_requests
from nmfdiag.views.figures import METHOD_TITLES, to_html
from nmfdiag.views.tables import curve_table
from nmfdiag.zoo.registry import ZooEntry, entries

TITLES = {
    "digits": "Digits", "fashion_mnist": "Fashion-MNIST", "cnn": "VGG-like CNN", "mlp": "Fully-connected",
}  # fmt: skip
INSIDE_APP = "_inside_app"
POLL_SECONDS = 0.7
ALL, MULTI = "each class", "multi-class"


@dataclass(frozen=True)
class Choice:
    """What the sidebar says."""

    networks: tuple[ZooEntry, ...]
    layer: str
    classes: tuple[int, ...]
    methods: tuple[str, ...]
    per_class: int
    solver: str
    ranks: tuple[int, ...]
    log: bool
    device: str

    @property
    def layers(self) -> list[str]:
        return list(self.networks[0].layers)

    @property
    def single_class(self) -> bool:
        return self.classes != (MULTI_CLASS,)

    @property
    def batch(self) -> str:
        """The batches in words."""
        if not self.single_class:
            return f"multi-class batch of {self.per_class}"
        if len(self.classes) == 1:
            return f"class {self.networks[0].class_names[self.classes[0]]}, {self.per_class} samples"
        return f"single-class batches of {self.per_class}"

    @property
    def subject(self) -> str:
        """The networks in words."""
        recipe = self.networks[0].recipe
        levels = ", ".join(f"{n.recipe.label_noise:g}" for n in self.networks)
        return f"{recipe.dataset} · {recipe.arch} · p = {levels} · seed {recipe.seed}"

    @property
    def file_stem(self) -> str:
        recipe = self.networks[0].recipe
        levels = "-".join(f"{n.recipe.label_noise:g}" for n in self.networks)
        return f"{recipe.dataset}_{recipe.arch}_p{levels}_s{recipe.seed}"

    def requests(
        self, *, layers: Sequence[str] | None = None, methods: Sequence[str] | None = None
    ) -> list[CurveRequest]:
        """The curves of these networks, the first class of every network first."""
        options: dict = {"solver": self.solver, "ranks": self.ranks}
        return [
            request
            for c in self.classes
            for network in self.networks
            for request in profile_requests(
                network,
                layers=layers,
                classes=[c],
                methods=methods or self.methods,
                per_class=self.per_class,
                **options,
            )
        ]


@st.cache_resource
def jobs(device: str) -> Jobs:
    """The queue of a device, one a server."""
    return Jobs(_cache(), device)


@st.cache_resource
def _cache() -> CurveCache:
    return CurveCache()


@st.cache_data(show_spinner=False)
def _devices() -> list[str]:
    from nmfdiag.runs.compute import devices

    return devices()


def sidebar() -> Choice:
    """Draw the sidebar; choices live in the URL, so they survive page switches and reloads and can be sent."""
    zoo = entries()
    with st.sidebar:
        datasets = list(dict.fromkeys(e.recipe.dataset for e in zoo.values()))
        if not datasets:
            st.error("The zoo is empty. Train a network: `nmfdiag zoo train digits-mlp-p0-s0`")
            st.stop()
        dataset = _pick("data set", datasets, "data")
        archs = list(dict.fromkeys(e.recipe.arch for e in zoo.values() if e.recipe.dataset == dataset))
        arch = _pick("network", archs, "arch")
        family = [e for e in zoo.values() if (e.recipe.dataset, e.recipe.arch) == (dataset, arch)]
        seeds = sorted({e.recipe.seed for e in family})
        seed = st.session_state.get("seed", seeds[0])
        seed = seed if seed in seeds else seeds[0]
        of_seed = {e.recipe.label_noise: e for e in family if e.recipe.seed == seed}
        levels = sorted(of_seed)
        defaults = [p for p in (levels[0], levels[len(levels) // 2], levels[-1])]
        picked = st.pills(
            "label noise p", levels, selection_mode="multi", default=list(dict.fromkeys(defaults)), key="p", bind="query-params",
            format_func="{:g}".format, help="Share of the training labels that were replaced at random.",
        )  # fmt: skip
        networks = tuple(of_seed[p] for p in sorted(picked or [levels[0]]) if p in of_seed)
        if not picked:
            st.caption(f"No p chosen: p = {levels[0]:g} is shown.")
        layer = _pick("layer", list(networks[0].layers), "layer", titles=False)
        names = networks[0].class_names
        batch = st.selectbox(
            "batch", [ALL, MULTI, *names], key="batch", bind="query-params",
            help="Single-class batches hold samples that share a given label; the band is over classes.",
        )  # fmt: skip
        with st.expander("More", icon=":material/tune:"):
            st.selectbox("seed", seeds, key="seed", bind="query-params")
            methods = st.pills(
                "methods", list(METHOD_TITLES), selection_mode="multi", default=["nmf"], key="methods", bind="query-params",
                format_func=METHOD_TITLES.__getitem__,
            )  # fmt: skip
            per_class = st.select_slider("samples a batch", [10, 20, 30, 50], value=20, key="n", bind="query-params")
            grid = st.selectbox("rank grid", ["full", "coarse"], key="grid", bind="query-params")
            solver = st.selectbox("NMF solver", ["hals", "mu"], key="solver", bind="query-params")
            axis = st.segmented_control(
                "rank axis", ["linear", "log"], default="linear", key="axis", bind="query-params"
            )
            device = st.selectbox("device", _devices() if "device" in st.session_state else ["cpu"], key="device")
    classes = (MULTI_CLASS,) if batch == MULTI else tuple(range(len(names))) if batch == ALL else (names.index(batch),)
    coarse = _coarse_ranks(networks) if grid == "coarse" else ()
    return Choice(
        networks, layer, classes, tuple(methods or ["nmf"]), int(per_class), solver, coarse, axis == "log", device
    )


def answer(words: str) -> None:
    """The first line: the answer in one sentence."""
    st.markdown(f"**{words}**")


def computed(choice: Choice, requests: Sequence[CurveRequest]) -> dict[CurveRequest, CompressionCurve]:
    """The curves that are there; asks for the others and shows progress and Cancel while they come."""
    owner = st.session_state.setdefault("_owner", uuid.uuid4().hex)
    queue = jobs(choice.device)
    if queue.cache.notice:
        st.warning(queue.cache.notice)
    wanted = frozenset(requests)
    results = queue.results(requests)
    if len(results) < len(wanted) and st.session_state.get("_cancelled") != wanted:
        if st.session_state.get("_asked") != wanted:
            queue.ask(requests, owner)
            st.session_state["_asked"] = wanted
            st.session_state["_cancelled"] = None
        _waiting(queue, list(requests), owner, len(results))
    elif len(results) < len(wanted):
        left, right = st.columns([5, 1])
        left.info(f"Stopped with {len(results)} of {len(wanted)} curves.", icon=":material/pause:")
        if right.button("Resume", width="stretch"):
            st.session_state["_cancelled"] = st.session_state["_asked"] = None
            st.rerun()
    for problem in dict.fromkeys(queue.status(requests).failed.values()):
        st.error(problem)
    if not results:
        st.skeleton(height=440) if hasattr(st, "skeleton") else st.container(height=440, border=False)
        st.stop()
    return results


@st.fragment(run_every=POLL_SECONDS)
def _waiting(queue: Jobs, requests: list[CurveRequest], owner: str, drawn: int) -> None:
    status = queue.status(requests)
    if status.finished:
        if status.done > drawn:
            st.rerun()
        return
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(
        status.done / status.total, f"{status.done} of {status.total} curves. {status.running or 'Waiting its turn'}"
    )
    if right.button("Cancel", width="stretch", key="_cancel"):
        queue.cancel(owner)
        st.session_state["_cancelled"] = frozenset(requests)
        st.rerun()
    if status.done >= drawn + max(1, status.total // 12):
        st.rerun()


def spreads(
    choice: Choice,
    results: Mapping[CurveRequest, CompressionCurve],
    value: str = "auc",
    k: int = 8,
    method: str = "nmf",
) -> dict[float, dict[str, Spread]]:
    """For each p and layer, the spread over classes of ``"auc"``, ``"relative"`` or ``"raw"`` error at rank k."""
    found: dict[float, dict[str, list[float]]] = {n.recipe.label_noise: {} for n in choice.networks}
    noise = {n.name: n.recipe.label_noise for n in choice.networks}
    for request, curve in results.items():
        if request.method == method:
            number = curve.auc if value == "auc" else curve.error_near(k, relative=value == "relative")
            found[noise[request.entry]].setdefault(request.layer, []).append(number)
    return {p: {layer: spread(v) for layer, v in by_layer.items()} for p, by_layer in found.items() if by_layer}


def chart(
    figure: go.Figure, choice: Choice, results: Mapping[CurveRequest, CompressionCurve], what: str, alt: str
) -> None:
    """A figure with its exports: image from the plot's own menu, HTML, and the data as CSV. A click on a layer opens it."""
    name = f"{choice.file_stem}_{what}"
    kind = st.session_state.get("_image", "svg")
    event = st.plotly_chart(
        figure, key=f"_{what}", on_select="rerun", selection_mode="points", alt=alt,
        config={"toImageButtonOptions": {"format": kind, "filename": name, "scale": 2}, "displaylogo": False},
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "CSV", lambda: curve_table(results, entries()).to_csv(index=False).encode(), f"{name}.csv", "text/csv",
            on_click="ignore", key=f"_csv_{what}", icon=":material/table:",
        )  # fmt: skip
        st.download_button(
            "HTML", lambda: to_html(figure).encode(), f"{name}.html", "text/html", on_click="ignore", key=f"_html_{what}",
            icon=":material/code:",
        )  # fmt: skip
        st.caption("The camera on the plot saves the image as SVG.")
    points = event["selection"]["points"] if event else []
    layer = next((p["customdata"][0] for p in points if isinstance(p.get("customdata"), list | tuple)), None)
    if layer in choice.layers and st.session_state.get("_opened") != (what, layer):
        st.session_state["_opened"] = (what, layer)
        st.session_state["_goto_layer"] = layer
        st.switch_page("pages/curves.py")


def provenance(results: Mapping[CurveRequest, CompressionCurve]) -> None:
    """What the figures were computed with, folded."""
    with st.expander("Settings and provenance"):
        curve = next(iter(results.values()))
        open_ranks = sum(not c for curve in results.values() for c in curve.converged)
        st.json({**curve.provenance, "curves": len(results), "ranks not converged": open_ranks}, expanded=False)


def page_guard() -> None:
    """Run the page through app.py: a deep link on a cold server would otherwise miss its frame."""
    if not st.session_state.get(INSIDE_APP):
        st.navigation(pages())
        st.rerun()


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


def _pick(label: str, options: Sequence[str], key: str, titles: bool = True) -> str:
    if st.session_state.get(key) is not None and st.session_state[key] not in options:
        st.session_state[key] = options[0]
    if key == "layer" and st.session_state.get("_goto_layer") in options:
        st.session_state[key] = st.session_state.pop("_goto_layer")
    return st.selectbox(
        label, options, key=key, bind="query-params", format_func=lambda o: TITLES.get(o, o) if titles else o
    )


def _coarse_ranks(networks: Sequence[ZooEntry]) -> tuple[int, ...]:
    narrowest = min(min(n.layers.values()) for n in networks)
    return tuple(k for k in (1, 2, 4, 8, 16) if k < min(narrowest, 10))


def guarded(draw: object) -> None:
    """Run a page's drawing; the caller's mistakes become an explained message."""
    try:
        draw()  # type: ignore[operator]
    except NmfdiagError as error:
        st.error(str(error))
