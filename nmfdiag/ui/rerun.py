"""Runs of a page, or of a part of it, without a click. Streamlit's own may lose clicks and page switches; these don't."""

import uuid
from collections.abc import Callable
from typing import NoReturn

import streamlit as st


def rerun_page() -> NoReturn:
    """Run the page again, after a click of the reader that is waiting, if there is one.

    Streamlit's own ``rerun`` replaces a waiting click, and a page switch is lost.
    """
    st.empty()  # sending anything to the browser handles a waiting click first
    st.rerun()


def draw_repeatedly(draw: Callable[[], None], interval: float) -> None:
    """Draw a part of the page regularly while the page is shown.

    A run of the part that was scheduled by an earlier run of the page may arrive just when this run is complete. If Streamlit still
    knew its fragment, it would run that and drop what has not been sent yet of the page (its issue 9921). So each run of a page gets
    a new fragment, which late requests don't match.

    Args:
        draw: Draws the part.
        interval: Between two draws, in seconds.
    """

    def fragment() -> None:
        draw()

    fragment.__qualname__ = f"fragment-{uuid.uuid4().hex}"
    st.fragment(fragment, run_every=interval)()
