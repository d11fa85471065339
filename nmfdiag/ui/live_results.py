"""Results of a page while they are computed: request them, draw the available ones, and show the progress."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.shipped_results import SHIPPED, shipped_results
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.plots.theme import placeholder_figure
from nmfdiag.text import for_markdown
from nmfdiag.ui.address import run_seconds
from nmfdiag.ui.charts import equal_charts
from nmfdiag.ui.mode import in_page_mode
from nmfdiag.ui.rerun import draw_repeatedly, rerun_page
from nmfdiag.views.cost import cost_text
from nmfdiag.views.provenance import computed_with, unit_of
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry

POLL_SECONDS, MOST_SECONDS = 0.7, 5.0
"""Shortest and longest time between two draws of the progress."""
TIMES_DRAWING = 5
"""Time between two draws of the progress, in times that drawing the page takes."""
WAITING = {"networks": "Scoring the labels …"}
"""What is said by unit while there is nothing to draw."""
NOT_YET = {"networks": "Which samples look wrong is not measured here yet: "}
"""What is said by unit before a reader asks for it."""

Requests = Sequence[Any]
Results = Mapping[Any, Any]


class NothingYet(Exception):
    """No result is available yet, so there is nothing to draw."""


@st.cache_resource
def jobs(device: str) -> Jobs:
    """Return the server's only queue of a device."""
    return Jobs(_cache(), device)


@st.cache_resource
def _cache() -> CurveCache:
    return CurveCache()


def answer(sentence: str, results: Results, requests: Requests) -> None:
    """Draw the first line of a page: the answer, and how many results it is based on while some are missing."""
    so_far = ""
    if len(results) < len(requests):
        so_far = f" :gray[So far: {len(results)} of {len(requests)} {requests[0].unit}.]"
    st.markdown(f"**{for_markdown(sentence)}**{so_far}")


def finished_results(choice: Choice, requests: Requests) -> Results:
    """Return the available results, without requesting the others."""
    return jobs(choice.device).results(requests)


def get_results(choice: Choice, requests: Requests, results: Results | None = None, *, at_once: bool = True) -> Results:
    """Return the available results and request the missing ones.

    Args:
        choice: What the page is about.
        requests: Of all results that the page draws.
        results: The available ones, where the page has read them already.
        at_once: Request missing results now; else a button does.

    Raises:
        NothingYet: If no result is available: nothing more of this choice is drawn until the first one comes.
    """
    queue, batch, place = jobs(choice.device), frozenset(requests), choice.place
    if queue.cache.notice:
        st.warning(for_markdown(queue.cache.notice))
    # Before the results are read: one that ends in between is requested again, and is available at once.
    under_way = queue.busy(requests)
    if results is None:
        results = queue.results(requests)
    missing = [request for request in requests if request not in results]
    known_batches = (st.session_state.get(f"_{place}cancelled"), st.session_state.get(f"_{place}asked"))
    resumed = under_way and not queue.status(missing).failed  # as after a reload
    if missing and (at_once or resumed) and batch not in known_batches:
        _request(queue, requests, place)
    if not results:
        requested, status = st.session_state.get(f"_{place}asked") == batch, queue.status(requests)
        if requested and not (status.finished and status.failed):
            waiting = WAITING.get(requests[0].unit, f"Computing the first {requests[0].unit.removesuffix('s')} …")
            draw_placeholder(choice, waiting)
        progress(choice, requests, results)
        if not status.finished and queue.status(requests).finished:  # it ended while this was drawn
            rerun_page()
        raise NothingYet
    return results


def draw_placeholder(choice: Choice, text: str = "Computing the first curve …") -> None:
    """Draw what stands in the place of a plot while there is nothing to draw."""
    alt, key = "The plot, as soon as there is something to draw", f"_{choice.place}waiting"
    figure = placeholder_figure(text)
    st.plotly_chart(in_page_mode(figure), config={"staticPlot": True}, alt=alt, key=key, theme=None)


def label_requests(choice: Choice) -> list[SuspectsRequest]:
    """Return the requests for the labels of networks whose controls are not shipped."""
    return [SuspectsRequest(n.name) for n in choice.all_networks if shipped_results(n).controls is None]


def controls_of(networks: Iterable[ZooEntry], results: Results) -> dict[str, Controls]:
    """Return what the answers on networks are made from, by name: from these results, or as shipped."""
    by_name = {n.name: shipped_results(n).controls for n in networks}
    scored = {r.entry: result.controls for r, result in results.items() if isinstance(r, SuspectsRequest)}
    return {name: controls for name, controls in (by_name | scored).items() if controls is not None}


def failures(choice: Choice, requests: Requests) -> dict[str, str]:
    """Return why requests failed, by their keys."""
    return jobs(choice.device).status(requests).failed


def progress(choice: Choice, requests: Requests, results: Results) -> None:
    """Draw the line below the plot: the progress and Cancel, or what the results were computed with."""
    queue, batch, unit, place = jobs(choice.device), frozenset(requests), unit_of(requests), choice.place
    status = queue.status(requests)
    for problem in dict.fromkeys(status.failed.values()):
        st.error(for_markdown(problem))
    requested = st.session_state.get(f"_{place}asked") == batch
    complete = len(results) == len(batch) or (requested and status.finished and status.done <= len(results))

    def button(label: str, on_click: Callable[..., None], **options: Any) -> None:
        st.button(label, on_click=on_click, args=(queue, requests, place), key=f"_{place}{label}", **options)

    if complete:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            if results:
                st.caption(for_markdown(computed_with(choice, results)), width="stretch")
            if unit == "points":
                button("Measure again", _measure_again, icon=":material/replay:")
            elif any(result.provenance.get(SHIPPED) for result in results.values()):
                button("Compute again", _measure_again, icon=":material/replay:", type="tertiary")
    elif st.session_state.get(f"_{place}cancelled") == batch:
        left, right = st.columns([5, 1], vertical_alignment="center")
        so_far = f" with {len(results)} of {len(batch)} {unit}" if len(batch) > 1 else ""
        left.info(f"Stopped{so_far}.", icon=":material/pause:")
        with right:
            button("Resume", _request, width="stretch")
    elif requested:
        n_drawn = Counter(request.unit for request in results)
        draw = partial(_draw_progress, queue, requests, n_drawn, len(status.failed), place)
        draw_repeatedly(draw, poll_seconds(run_seconds()) if results else POLL_SECONDS)
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            button("Measure", _request, type="primary", icon=":material/timer:")
            state = "" if results else NOT_YET.get(unit, "Not measured here yet: ")
            st.caption(state + cost_text([r for r in requests if r not in results]), width="stretch")


def poll_seconds(drawing_seconds: float) -> float:
    """Return the time between two draws of the progress: long enough to leave a busy server mostly to its readers' clicks."""
    return min(MOST_SECONDS, max(POLL_SECONDS, TIMES_DRAWING * drawing_seconds))


def _request(queue: Jobs, requests: Requests, place: str, *, again: bool = False) -> None:
    owner = _owner(place)
    queue.cancel(owner)  # what this reader has left behind is not computed before what is on the screen
    (queue.compute_again if again else queue.ask)(requests, owner)
    st.session_state[f"_{place}asked"], st.session_state[f"_{place}cancelled"] = frozenset(requests), None


def _measure_again(queue: Jobs, requests: Requests, place: str) -> None:
    _request(queue, requests, place, again=True)


def _cancel(queue: Jobs, requests: Requests, place: str) -> None:
    """Cancel; a callback, since it is called even where a rerun has replaced the fragment that the click was meant for."""
    queue.cancel(_owner(place))
    st.session_state[f"_{place}cancelled"] = frozenset(requests)


def forget(device: str, place: str = "") -> None:
    """Cancel what this reader waits for in one place of a page."""
    if st.session_state.pop(f"_{place}asked", None):
        jobs(device).cancel(_owner(place))


def _owner(place: str) -> str:
    return place + st.session_state.setdefault("_owner", uuid.uuid4().hex)


def _draw_progress(queue: Jobs, requests: Requests, n_drawn: Mapping[str, int], n_failed: int, place: str) -> None:
    """Draw the progress, and run the page again once enough results of a unit have come since it drew ``n_drawn`` of it."""
    status = queue.status(requests)
    if not status.finished:
        left, right = st.columns([5, 1], vertical_alignment="center")
        so_far = f"{status.done} of {status.total} {unit_of(requests)}. " if status.total > 1 else ""
        text = f"{so_far}{status.running or 'Waiting its turn.'}"
        left.progress(min(1.0, (status.done + status.share) / status.total), for_markdown(text))
        if right.button(
            "Cancel", key=f"_{place}Cancel", width="stretch", on_click=_cancel, args=(queue, requests, place)
        ):
            rerun_page()
    if len(status.failed) > n_failed and status.finished:
        rerun_page()
    for unit in {request.unit for request in requests}:
        part = queue.status([request for request in requests if request.unit == unit])
        step = 1 if status.finished or not n_drawn.get(unit) else max(1, part.total // 12)
        if part.done >= n_drawn.get(unit, 0) + step:
            rerun_page()


def together(choice: Choice, draw: Callable[[Choice], None]) -> None:
    """Draw a page's results, those of a second network into the same plots."""
    forget(choice.device, "beside-")
    draw_safely(partial(draw, choice))


def side_by_side(choice: Choice, draw: Callable[[Choice], None]) -> None:
    """Draw a page's results; where the reader compares with a second network in two columns, whose charts have equal axes."""
    if choice.counterpart is None:
        together(choice, draw)
        return
    with st.container(key="side_by_side"):
        columns = st.columns(2, gap="medium")
    with equal_charts(draw_safely):
        for column, side in zip(columns, (replace(choice, beside=None), choice.counterpart), strict=True):
            with column:
                layer_note = f" :gray[at {for_markdown(side.layer)}]" if side.layer != choice.layer else ""
                st.markdown(f"**{for_markdown(side.networks_text)}**{layer_note}")
                draw_safely(partial(draw, side))


def draw_safely(draw: Callable[[], None], show_error: Callable[[str], object] = st.error) -> None:
    """Run a page's drawing, and show an error of ours as a message."""
    try:
        draw()
    except NothingYet:
        pass
    except NmfdiagError as error:
        show_error(for_markdown(str(error)))


def cache_size() -> str:
    """Return the number of results in the cache and their size, as text."""
    stats = _cache().stats()
    return f"{stats['curves']:,} results, {stats['bytes'] / 2**20:.1f} MiB"
