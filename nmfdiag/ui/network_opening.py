"""Opening a network: the form, the example, the networks opened before, and how far the opening is."""

from functools import partial

import streamlit as st

from nmfdiag.jobs import open_process
from nmfdiag.jobs.child_process import State
from nmfdiag.jobs.open_process import Opener, Prepare
from nmfdiag.text import for_markdown
from nmfdiag.ui import live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.rerun import draw_repeatedly, rerun_page
from nmfdiag.ui.upload_form import form
from nmfdiag.ui.widgets import select_one
from nmfdiag.views import your_network as view
from nmfdiag.zoo.registry import ZooEntry

OPEN = "open one"
"""The option of the list of networks that shows the form."""
MOST_LINKS = 8
"""Networks opened before that get a button."""


@st.cache_resource
def opener() -> Opener:
    """Return the server's only opener."""
    return Opener()


def select_network(state: State, networks: dict[str, ZooEntry]) -> ZooEntry | None:
    """Draw the list of opened networks in the sidebar and return the chosen one; None shows the form."""
    if state.succeeded and st.session_state.get("_take_up") == state.name and state.name in networks:
        del st.session_state["_take_up"]
        choose({"network": state.name})
    with st.sidebar:
        name = select_one(
            "network", [OPEN, *networks], "network", help="Those that were opened before, the last one first."
        )
    return networks.get(name)


def draw_opening(state: State, networks: dict[str, ZooEntry]) -> None:
    """Draw the form, and above it the progress of an opening that is under way, or why it failed; its files stay in the form."""
    is_own = st.session_state.get("_opened_as", ("",))[0] == state.name
    if state.running:
        draw_repeatedly(partial(_draw_progress, state.name, is_own), live_results.POLL_SECONDS)
    elif is_own and (state.problem or state.cancelled):  # nobody else is told the names of this reader's files
        if state.problem:
            st.error(
                f"{for_markdown(state.name)} was not opened. {for_markdown(state.problem)}", icon=":material/error:"
            )
        else:
            st.info(f"Opening {for_markdown(state.name)} was cancelled.", icon=":material/info:")
        st.button("Dismiss", icon=":material/close:", type="tertiary", on_click=opener().dismiss)
    if not networks and not state.running:
        _offer_example(networks)
        st.divider()
    form(open_network, is_busy=state.running)
    if networks and not state.running:
        st.divider()
        _list_networks(networks)
        _offer_example(networks)


def open_network(prepare: Prepare) -> None:
    """Open a network, and show it as soon as it is open."""

    def start() -> None:
        opener().start(prepare)
        name = st.session_state["_take_up"] = opener().state().name
        st.session_state["_opened_as"] = (name, prepare)
        choose({"network": OPEN})

    live_results.draw_safely(start)


def _offer_example(networks: dict[str, ZooEntry]) -> None:
    if open_process.EXAMPLE_NAME in networks:
        show_example = partial(choose, {"network": open_process.EXAMPLE_NAME})
    else:
        show_example = partial(open_network, open_process.example)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Try it with an example", icon=":material/play_arrow:", on_click=show_example)
        st.caption(view.EXAMPLE, width="stretch")


def _list_networks(networks: dict[str, ZooEntry]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Opened before:", width="content")
        for name in list(networks)[:MOST_LINKS]:
            show_network = partial(choose, {"network": name})
            st.button(for_markdown(name), type="tertiary", key=f"_open_{name}", on_click=show_network)


def _draw_progress(name: str, is_own: bool) -> None:
    state = opener().state()
    if not state.running or state.name != name:
        rerun_page()
    left, right = st.columns([5, 1], vertical_alignment="center")
    share, step = opener().progress()
    if is_own:
        left.progress(share, for_markdown(f"Opening {name}: {step}"))
        right.button("Cancel", icon=":material/stop:", width="stretch", on_click=opener().cancel)
        return
    left.progress(share, "Another reader's network is being opened. Yours can be opened after it.")
    with right.popover("Cancel", icon=":material/stop:", width="stretch"):
        st.markdown("It was started in another session, whose reader is waiting for it.")
        st.button("Cancel it all the same", on_click=opener().cancel)
