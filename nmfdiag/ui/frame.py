"""The frame of every page: the tab's title and icon, the logo and the navigation."""

from pathlib import Path
from typing import Any

import streamlit as st

from nmfdiag.ui import gc_pauses
from nmfdiag.ui.address import ONE_ENTRY_A_PAGE
from nmfdiag.ui.places import draw_place, pages

ICON, LOGO, STYLE = (Path(__file__).with_name(name) for name in ("icon.svg", "logo.svg", "page.css"))
INSIDE_APP = "_inside_app"


def page_guard() -> None:
    """Run the page through app.py: a deep link on a cold server would otherwise miss its frame."""
    if not st.session_state.get(INSIDE_APP):
        frame()
        st.rerun()


def frame() -> Any:
    """Draw the frame and return the page to be run; the icon is a file, since Streamlit fetches named ones from the web."""
    gc_pauses.start()
    st.set_page_config("nmfdiag", page_icon=str(ICON), layout="wide")
    st.logo(str(LOGO), size="large", icon_image=str(ICON))
    st.html(STYLE)
    st.html(ONE_ENTRY_A_PAGE, unsafe_allow_javascript=True)
    page = st.navigation(pages(), expanded=True)
    st.session_state["_page"] = page.url_path
    draw_place(page.url_path)
    return page
