"""What Streamlit does between a reader's click and the run that answers it."""

import pytest
from streamlit.testing.v1 import AppTest

from nmfdiag.ui.live_results import poll_seconds


def page(rerun: str) -> None:
    """Run again because a result has come, just when the reader goes on to layer fc2."""
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx
    from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

    from nmfdiag.ui.rerun import rerun_page

    context = get_script_run_ctx()
    assert context is not None and context.script_requests is not None
    if not st.session_state.get("clicked"):
        st.session_state["clicked"] = True
        context.script_requests.request_rerun(RerunData("layer=fc2", page_script_hash=context.page_script_hash))
        {"nmfdiag": rerun_page, "Streamlit": st.rerun}[rerun]()
    st.text(st.query_params.get("layer", "the click was lost"))


@pytest.mark.parametrize(("rerun", "text"), [("nmfdiag", "fc2"), ("Streamlit", "the click was lost")])
def test_a_click_survives_a_rerun(rerun: str, text: str) -> None:
    app = AppTest.from_function(page, args=(rerun,), default_timeout=60).run()
    assert not app.exception and app.text[0].value == text


def progress_page() -> None:
    import streamlit as st

    from nmfdiag.ui.rerun import draw_repeatedly

    draw_repeatedly(lambda: st.text("so far 3 of 7"), interval=0.7)


def test_a_fragment_of_an_earlier_run_is_unknown() -> None:
    app = AppTest.from_function(progress_page, default_timeout=60).run()
    (fragment,) = app._fragment_storage._fragments
    assert app.run().text[0].value == "so far 3 of 7"
    assert len(app._fragment_storage._fragments) == 1
    assert not app._fragment_storage.contains(fragment)


@pytest.mark.parametrize(("drawing_seconds", "seconds"), [(0.01, 0.7), (0.3, 1.5), (60.0, 5.0)])
def test_progress_takes_a_part_of_the_time_and_never_stops(drawing_seconds: float, seconds: float) -> None:
    assert poll_seconds(drawing_seconds) == seconds
