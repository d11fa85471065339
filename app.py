"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

from nmfdiag.views.controls import INSIDE_APP, frame

page = frame()
st.session_state[INSIDE_APP] = True
try:
    page.run()
finally:
    st.session_state[INSIDE_APP] = False
