"""The frame of every page: the tab's title and icon, the logo and the navigation."""

from pathlib import Path
from typing import Any

import streamlit as st

from nmfdiag.ui import gc_pauses
from nmfdiag.ui.address import ONE_ENTRY_A_PAGE

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
    return page


def pages() -> dict[str, list]:
    """Return the pages by section."""
    return {
        "Diagnose": [
            st.Page("pages/overview.py", title="Overview", icon=":material/monitoring:", default=True),
            st.Page("pages/how.py", title="How it works", icon=":material/school:"),
            st.Page("pages/curves.py", title="k vs accuracy", icon=":material/show_chart:"),
            st.Page("pages/phases.py", title="Layer phases", icon=":material/layers:"),
            st.Page("pages/classes.py", title="Classes", icon=":material/category:"),
            st.Page("pages/suspects.py", title="Suspects", icon=":material/flag:"),
            st.Page("pages/reconstruction.py", title="Reconstruction error", icon=":material/compress:"),
            st.Page("pages/stopping.py", title="Early stopping", icon=":material/stop_circle:"),
        ],
        "Evidence": [
            st.Page("pages/evidence.py", title="Evidence", icon=":material/fact_check:"),
            st.Page("pages/trust.py", title="How far to trust it", icon=":material/verified:"),
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
