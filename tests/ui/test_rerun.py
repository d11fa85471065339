"""What Streamlit does between a reader's click and the run that answers it."""

import pytest
from streamlit.testing.v1 import AppTest

from nmfdiag.ui.live_results import seconds_between


def page(how: str) -> None:
    """While it runs, the reader goes on to layer fc2; it runs itself again because a result has come."""
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx
    from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

    from nmfdiag.ui.rerun import rerun_page

    context = get_script_run_ctx()
    assert context is not None and context.script_requests is not None
    if not st.session_state.get("clicked"):
        st.session_state["clicked"] = True
        context.script_requests.request_rerun(RerunData("layer=fc2", page_script_hash=context.page_script_hash))
        {"ours": rerun_page, "Streamlit's": st.rerun}[how]()
    st.text(st.query_params.get("layer", "the click was lost"))


@pytest.mark.parametrize(("how", "shown"), [("ours", "fc2"), ("Streamlit's", "the click was lost")])
def test_a_click_is_not_lost_when_the_page_runs_itself_again(how: str, shown: str) -> None:
    app = AppTest.from_function(page, args=(how,)).run()
    assert not app.exception and app.text[0].value == shown


def looking_page() -> None:
    import streamlit as st

    from nmfdiag.ui.rerun import draw_repeatedly

    draw_repeatedly(lambda: st.text("so far 3 of 7"), every=0.7)


def test_a_look_that_an_earlier_run_has_asked_for_finds_nothing_to_run() -> None:
    app = AppTest.from_function(looking_page).run()
    (asked_for,) = app._fragment_storage._fragments
    assert app.run().text[0].value == "so far 3 of 7"
    assert len(app._fragment_storage._fragments) == 1
    assert not app._fragment_storage.contains(asked_for)


@pytest.mark.parametrize(("drawing", "seconds"), [(0.01, 0.7), (0.3, 1.5), (60.0, 5.0)])
def test_looks_take_a_part_of_the_time_and_never_stay_away(drawing: float, seconds: float) -> None:
    assert seconds_between(drawing) == seconds
