"""Waiting for results: asking for what a page draws, showing how far it is, and drawing what is there."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs
from nmfdiag.plots.theme import waiting_figure
from nmfdiag.text import for_markdown
from nmfdiag.ui.rerun import draw_repeatedly, rerun_page
from nmfdiag.ui.widgets import run_seconds
from nmfdiag.views.provenance import computed_with
from nmfdiag.views.selection import Choice

POLL_SECONDS, TIMES_DRAWING, MOST_SECONDS = 0.7, 5, 5.0

Requests = Sequence[Any]
Results = Mapping[Any, Any]


class NothingYet(Exception):
    """There is nothing to draw before the first result comes."""


@st.cache_resource
def jobs(device: str) -> Jobs:
    """The queue of a device, one a server."""
    return Jobs(_cache(), device)


@st.cache_resource
def _cache() -> CurveCache:
    return CurveCache()


def answer(words: str, results: Results, requests: Requests) -> None:
    """The first line: the answer in one sentence; it says so if results are missing yet."""
    so_far = ""
    if len(results) < len(requests):
        so_far = f" :gray[So far: {len(results)} of {len(requests)} {requests[0].unit}.]"
    st.markdown(f"**{for_markdown(words)}**{so_far}")


def finished_results(choice: Choice, requests: Requests) -> Results:
    """The results that are there."""
    return jobs(choice.device).results(requests)


def get_results(choice: Choice, requests: Requests, found: Results | None = None, *, at_once: bool = True) -> Results:
    """The results that are there (those ``found`` already); what is missing is asked for, ``at_once`` or by a button.

    Without any, what is drawn of this choice ends here until the first one comes.

    Raises:
        NothingYet: For :func:`draw_safely`, where there is no result yet.
    """
    queue, wanted, of = jobs(choice.device), frozenset(requests), choice.place
    if queue.cache.notice:
        st.warning(for_markdown(queue.cache.notice))
    under_way = queue.busy(
        requests
    )  # before what is there is read: what ends in between is asked for again, and is there at once
    results = queue.results(requests) if found is None else found
    stopped = (st.session_state.get(f"_{of}cancelled"), st.session_state.get(f"_{of}asked"))
    missing = [request for request in requests if request not in results]
    again = under_way and not queue.status(missing).failed  # as after a reload
    if missing and (at_once or again) and wanted not in stopped:
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
            rerun_page()
        raise NothingYet
    return results


def progress(choice: Choice, requests: Requests, results: Results) -> None:
    """One line below the plot: how far the results are and Cancel, or what they were computed with."""
    queue, wanted, unit, of = jobs(choice.device), frozenset(requests), requests[0].unit, choice.place
    status = queue.status(requests)
    for problem in dict.fromkeys(status.failed.values()):
        st.error(for_markdown(problem))
    asked = st.session_state.get(f"_{of}asked") == wanted
    nothing_more_comes = asked and status.finished and status.done <= len(results)

    def button(label: str, what: Callable[..., None], **options: Any) -> None:
        st.button(label, on_click=what, args=(queue, requests, of), key=f"_{of}{label}", **options)

    if len(results) == len(wanted) or nothing_more_comes:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            if results:
                st.caption(for_markdown(computed_with(choice, results)), width="stretch")
            if unit == "points":
                button("Measure again", _measure_again, icon=":material/replay:")
    elif st.session_state.get(f"_{of}cancelled") == wanted:
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.info(f"Stopped with {len(results)} of {len(wanted)} {unit}.", icon=":material/pause:")
        with right:
            button("Resume", _ask, width="stretch")
    elif asked:
        look = partial(_draw_progress, queue, requests, len(results), len(status.failed), of)
        draw_repeatedly(look, seconds_between(run_seconds()) if results else POLL_SECONDS)
    else:
        button("Measure", _ask, type="primary", icon=":material/timer:")


def seconds_between(drawing: float) -> float:
    """How long a page waits between two looks for new results, by the seconds that it takes to draw them.

    On a busy server most of the time is so left to its readers' clicks.
    """
    return min(MOST_SECONDS, max(POLL_SECONDS, TIMES_DRAWING * drawing))


def _ask(queue: Jobs, requests: Requests, of: str) -> None:
    owner = _owner(of)
    queue.cancel(owner)  # what this reader has left behind is not computed before what is on the screen
    queue.ask(requests, owner)
    st.session_state[f"_{of}asked"], st.session_state[f"_{of}cancelled"] = frozenset(requests), None


def _measure_again(queue: Jobs, requests: Requests, of: str) -> None:
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


def _draw_progress(queue: Jobs, requests: Requests, drawn: int, failed: int, of: str) -> None:
    status = queue.status(requests)
    if not status.finished:
        left, right = st.columns([5, 1], vertical_alignment="center")
        words = f"{status.done} of {status.total} {requests[0].unit}. {status.running or 'Waiting its turn.'}"
        left.progress(status.done / status.total, for_markdown(words))
        if right.button("Cancel", key=f"_{of}Cancel", width="stretch", on_click=_cancel, args=(queue, requests, of)):
            rerun_page()
    enough = 1 if status.finished or not drawn else max(1, status.total // 12)
    if status.done >= drawn + enough or (status.finished and len(status.failed) > failed):
        rerun_page()


def side_by_side(choice: Choice, draw: Callable[[Choice], None]) -> None:
    """Draw a page's results of the choice, and of the network beside it in a column of its own."""
    other = choice.counterpart
    if other is None:
        forget(choice.device, "beside-")
        draw_safely(partial(draw, choice))
        return
    with st.container(key="side_by_side"):
        columns = st.columns(2, gap="medium")
    for column, one_of in zip(columns, (choice, other), strict=True):
        with column:
            at_layer = f" :gray[at {for_markdown(one_of.layer)}]" if one_of.layer != choice.layer else ""
            st.markdown(f"**{for_markdown(one_of.networks_text)}**{at_layer}")
            draw_safely(partial(draw, one_of))


def draw_safely(draw: Callable[[], None], tell: Callable[[str], object] = st.error) -> None:
    """Run a page's drawing; the caller's mistakes become an explained message."""
    try:
        draw()
    except NothingYet:
        pass
    except NmfdiagError as error:
        tell(for_markdown(str(error)))


def cache_words() -> str:
    """The cache's size in words."""
    stats = _cache().stats()
    return f"{stats['curves']:,} results, {stats['bytes'] / 2**20:.1f} MiB"
