"""The top of a page: its question, what it is about, the link to it, and notes about the link that led here."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from nmfdiag.text import for_markdown
from nmfdiag.ui.address import choose, show_address
from nmfdiag.ui.mode import watch_mode
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import entries


def banner(
    title: str,
    subject: str,
    topic: Any = None,
    extra_control: Callable[[], None] | None = None,
) -> None:
    """Draw a page's question, its subject, the link to this screen, and notes about errors in the link that led here.

    The notes stay while ``topic`` (by default the subject) is the same. ``extra_control`` draws next to the link.
    """
    watch_mode()
    row = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom")
    row.title(for_markdown(title), width="content")
    right = row.container(horizontal=True, horizontal_alignment="right", width="content")
    if extra_control is not None:
        with right:
            extra_control()
    with right.popover("Link", icon=":material/link:"):
        st.caption("Opens this page with these choices.")
        show_address(st.empty())
    st.caption(for_markdown(subject))
    topic = subject if topic is None else topic
    if notes := st.session_state.pop("_new_notes", None):
        st.session_state["_notes"] = (topic, notes)
    notes_topic, notes = st.session_state.get("_notes", (None, []))
    for note in notes if notes_topic == topic else []:
        st.info(for_markdown(note), icon=":material/info:")


def heading(
    title: str,
    choice: Choice,
    subject: str = "",
    compare: bool = True,
) -> None:
    """Draw the heading of a page that shows the sidebar's choice.

    Args:
        title: The question.
        choice: The sidebar's.
        subject: In place of the choice's own.
        compare: Offer a second network: for pages that draw their results with :func:`nmfdiag.ui.live_results.together` or
            :func:`nmfdiag.ui.live_results.side_by_side`.
    """

    def second_network() -> None:
        n_compared = st.session_state.get("_compared", 0)  # another popover each time: it is closed
        with st.popover("Compare", icon=":material/compare:", key=f"_compare_with_{n_compared}"):
            st.selectbox(
                "with",
                [name for name in entries() if name not in {n.name for n in choice.networks}],
                key="_compare",
                index=None,
                placeholder="A second network",
                on_change=_set_second_network,
            )

    extra_control = second_network if compare else None
    banner(title, subject or choice.subject, topic=choice, extra_control=extra_control)


def _set_second_network() -> None:
    choose({"beside": st.session_state["_compare"]})
    st.session_state["_compare"] = None
    st.session_state["_compared"] = st.session_state.get("_compared", 0) + 1
