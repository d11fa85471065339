"""Results -> figures and tables; what Streamlit draws in charts, controls, opening_form, rerunning, waiting and widgets alone."""
