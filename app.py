"""The dashboard: ``streamlit run app.py``.

Streamlit imports this file once for the server, and runs it as a script for each page.
"""

import streamlit as st

if __name__ == "__main__":
    from nmfdiag.ui.address import write_address
    from nmfdiag.ui.frame import INSIDE_APP, frame

    page = frame()
    st.session_state[INSIDE_APP] = True
    try:
        page.run()
    finally:
        st.session_state[INSIDE_APP] = False
    write_address()
else:
    from nmfdiag.ui.guard import MIDDLEWARE, lifespan

    app = st.App(__file__, middleware=MIDDLEWARE, lifespan=lifespan)
