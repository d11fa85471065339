"""Results -> figures, tables and sentences, one module or folder per page. Streamlit is imported in ``ui/`` only."""
