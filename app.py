"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

from nmfdiag.views.controls import ICON, INSIDE_APP, pages

st.set_page_config("nmfdiag", page_icon=str(ICON), layout="wide")
page = st.navigation(pages())
st.session_state[INSIDE_APP] = True
try:
    page.run()
finally:
    st.session_state[INSIDE_APP] = False
