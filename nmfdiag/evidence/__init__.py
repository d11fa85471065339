"""The paper's claims, measured on our own networks. Read ``claims.py`` first; ``curve_records.py`` has the main table behind them."""
