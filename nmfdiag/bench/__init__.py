"""The benchmark of the engine: ``python -m nmfdiag bench``.

Read ``suite.py`` first: it lists the sections. ``bars.py`` has the goals, ``table.py`` the table.
"""

from nmfdiag.bench.table import RESULT_COLUMNS, Row, last_results

__all__ = ["RESULT_COLUMNS", "Row", "last_results"]
