"""The link from a verdict to the page that says how often such verdicts are right."""

import streamlit as st

HELP = "How often these answers are right, counted on networks whose truth is known."


def trust_link() -> None:
    """Draw the link."""
    st.page_link("pages/trust.py", label="How far can you trust this?", icon=":material/verified:", help=HELP)
