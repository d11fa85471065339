"""The benchmark of the engine: ``python -m nmfdiag bench``.

Read ``suite.py`` first: it lists the sections. ``bars.py`` holds what is to be reached, ``records.py`` the table.
"""

from nmfdiag.bench.table import COLUMNS, Row, last_results

__all__ = ["COLUMNS", "Row", "last_results"]
