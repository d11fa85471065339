"""The tabs at the end of a page: how to read it, its table, and what its results were computed from."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from nmfdiag.ui.widgets import column_formats, with_ticks
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import Choice


def details(how_to_read: str, table: pd.DataFrame, choice: Choice, results: Mapping[Any, Any]) -> None:
    """Draw the tabs of a page that shows the sidebar's choice."""
    tabs("" if choice.place else how_to_read, table, settings(choice, results))


def tabs(how_to_read: str, table: pd.DataFrame, rows: Mapping[str, str]) -> None:
    """Draw the tabs; without ``how_to_read``, as on the right of two networks side by side, that one is left out."""
    *help_tabs, table_tab, settings_tab = st.tabs(
        [*(["How to read it"] if how_to_read else []), "Table", "Settings and provenance"]
    )
    for tab in help_tabs:
        tab.markdown(how_to_read)
    table_tab.dataframe(with_ticks(table), hide_index=True, column_config=column_formats(table))
    settings_tab.dataframe(pd.DataFrame(rows.items(), columns=["setting", "value"]), hide_index=True)
