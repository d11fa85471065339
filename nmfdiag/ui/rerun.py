"""Runs of a page, or of a part of it, that no click has asked for. Streamlit may lose clicks and pages then; not here."""

import uuid
from collections.abc import Callable
from typing import NoReturn

import streamlit as st


def rerun_page() -> NoReturn:
    """Run the page again, unless the reader has clicked meanwhile: that comes first, and runs it too.

    Streamlit's own ``rerun`` puts itself in the place of a click that waits, and a page that was switched to is lost.
    """
    st.empty()  # whatever is sent to the browser takes up a click that waits
    st.rerun()


def draw_repeatedly(look: Callable[[], None], every: float) -> None:
    """Draw a part of the page, again and again while the page is shown.

    Args:
        look: Draws it.
        every: Seconds between two times.

    A look that the page before this one has asked for may arrive just when this one is complete. If Streamlit still knows its
    fragment, it runs that, and drops what of the page has not been sent yet (its issue 9921). So each run of a page has a fragment of
    its own, and a late look is none of them.
    """

    def looking() -> None:
        look()

    looking.__qualname__ = f"looking-{uuid.uuid4().hex}"
    st.fragment(looking, run_every=every)()
