"""Results -> figures and tables; Streamlit controls in controls.py alone."""
