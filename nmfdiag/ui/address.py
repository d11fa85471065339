"""The address of a page: every choice lives in it, so that Back, Forward, reload and a copied address show what was seen.

A run of a page reads the address once (:func:`start_run`) and writes it once (:func:`write_address`). An address that this session did not write itself (a link, Back,
Forward) counts whole: what it does not name has its default. A page that the navigation opens comes without any choice in its address and keeps the last ones.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from nmfdiag.text import join

NETWORK_KEYS = (
    "data", "arch", "seed", "p", "layer", "batch", "methods", "n", "grid", "solver", "axis", "beside", "device",
)  # fmt: skip
"""Choices of the sidebar, which travel from page to page."""
PAGE_KEYS = (
    "auc_axis", "auc_batch", "auc_layers", "by", "class", "compared", "drawn", "error", "experiment", "families", "fits", "given", "half", "k", "kept", "layer_of",
    "level", "lines", "list", "map", "map_of", "measure", "network", "networks_of", "of_layers", "order", "over", "part", "rank", "ranks_on", "removed", "rows", "runs", "runs_as",
    "sample", "scale", "setting", "shade", "show", "smooth", "solvers", "sort", "source", "statistic", "verdict", "way",
    "weights_from", "samples_from", "activations_from",
)  # fmt: skip
"""Choices of single pages."""
ALWAYS_NAMED = ("data", "arch", "p")
"""Choices that are in the address even where they are the default: they say which networks are shown."""
ONE_ENTRY_A_PAGE = """<script>
if (!window.nmfdiagEntries) {
  window.nmfdiagEntries = true
  const push = history.pushState
  let wentBack = false
  window.addEventListener("popstate", () => { wentBack = true }, true)
  for (const gesture of ["pointerdown", "keydown"]) window.addEventListener(gesture, () => { wentBack = false }, true)
  history.pushState = function (state, title, url) {
    if (url && new URL(url, location.href).pathname === location.pathname) return history.replaceState(state, title, url)
    if (!wentBack) return push.call(history, state, title, url)
  }
}
</script>"""
"""Makes the browser remember one entry a page. Streamlit adds one for each change of the address; and where a page draws itself again while Back is pressed, one that leads to it
again."""


@dataclass(frozen=True)
class Kept:
    """A choice as it was last drawn.

    Attributes:
        value: Of the widget.
        texts: As in the address.
        is_default: Whether the address may leave it out.
        page: On which it was drawn.
    """

    value: Any
    texts: tuple[str, ...]
    is_default: bool
    page: str


def start_run() -> None:
    """Start a run of a page: take over an address that is new, and note the time."""
    state = st.session_state
    state["_began"] = time.monotonic()
    state["_drawn"] = set()
    state.setdefault("_new", {})
    state.pop("_address_place", None)
    query = {key: tuple(st.query_params.get_all(key)) for key in st.query_params}
    address, context = (state["_page"], query), get_script_run_ctx()
    went_back = context is not None and context.is_history_navigation
    state["_is_first"] = "_address" not in state
    if state["_is_first"] or ((query or went_back) and address != state["_address"]):
        for key in state.get("_kept", {}):
            state.pop(key, None)
        state["_kept"], state["_link"] = {}, dict(query)
        if unknown := [key for key in query if key not in (*NETWORK_KEYS, *PAGE_KEYS)]:
            note(f"The address names what no page knows: {join(unknown)}.")
    state["_address"] = address


def run_seconds() -> float:
    """Return the time that this run of the page has taken so far."""
    return time.monotonic() - float(st.session_state["_began"])


def choose(values: Mapping[str, Any]) -> None:
    """Set the widgets of these keys as soon as they are drawn, on this page or another; for a button's callback, or before a switch of pages."""
    st.session_state.setdefault("_new", {}).update({key: value for key, value in values.items() if value is not None})


def values_in_link(key: str) -> tuple[str, ...]:
    """Return the values of a key in a new address, once; none where the reader has chosen since."""
    values = st.session_state["_link"].pop(key, ())
    return () if key in st.session_state["_new"] else values


def last_value(key: str, default: Any) -> Any:
    """Return what was chosen for a widget, else what it has, else what it had when it was last drawn, else the default."""
    state = st.session_state
    value = state["_new"].pop(key, None)  # None: no longer on offer
    if value is not None:
        return value
    if key in state:
        return state[key]
    return state["_kept"][key].value if key in state["_kept"] else default


def keep(key: str, value: Any, texts: Sequence[str], *, is_default: bool) -> None:
    """Keep a widget's value for other pages, and for the address."""
    st.session_state["_drawn"].add(key)
    st.session_state["_kept"][key] = Kept(value, tuple(texts), is_default, st.session_state["_page"])


def show_address(place: Any) -> None:
    """Show the page's whole address in this element once the page is drawn, so that it can be copied."""
    st.session_state["_address_place"] = place


def write_address() -> None:
    """Write the page's choices into the address, and those of the networks that other pages have."""
    state = st.session_state
    if "_drawn" not in state:  # no choices
        return
    query = {
        key: choice.texts
        for key, choice in state["_kept"].items()
        if (key in state["_drawn"] or key in NETWORK_KEYS) and (key in ALWAYS_NAMED or not choice.is_default)
    }
    query = {key: values for key, values in state["_link"].items() if key in NETWORK_KEYS} | query
    if place := state.pop("_address_place", None):
        place.code(f"{st.context.url or ''}?{urlencode(query, doseq=True)}", language=None, wrap_lines=True)
    if state["_is_first"]:  # an address that says by itself what was opened
        return
    if query != {key: tuple(st.query_params.get_all(key)) for key in st.query_params}:
        st.query_params.from_dict({key: list(texts) for key, texts in query.items()})
    state["_address"] = (state["_page"], query)


def select(key: str, value: Any) -> None:
    """Set a widget that is about to be drawn.

    Nothing is done where it has the value: setting it again would undo a click that is on its way. On another page it is another widget, without one. The value must be the
    widget's default, too: of two runs in quick succession the browser may see the second alone, which sets nothing.
    """
    state = st.session_state
    drawn_before = state["_kept"].get(key)
    if drawn_before is None or drawn_before.page != state["_page"] or key not in state or state[key] != value:
        state[key] = value


def note(text: str) -> None:
    """Note what is wrong with the address, for the page's heading."""
    st.session_state.setdefault("_new_notes", []).append(text)
