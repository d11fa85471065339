"""Results -> figures and tables; what Streamlit draws in charts, controls, opening_form, waiting and widgets alone."""
