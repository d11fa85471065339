"""Whether the reader's page is light or dark."""

from typing import Any

import plotly.graph_objects as go
import streamlit as st
from plotly.basedatatypes import BaseFigure

from nmfdiag.plots.modes import LIGHT, MODES, Mode, look

# Called again by Streamlit whenever its theme changes; the page itself is not run again then, so this asks for it, once a change.
_WATCHER = """
let sent = null;
export default function ({ data, parentElement, setTriggerValue }) {
  const background = getComputedStyle(parentElement.host ?? parentElement).getPropertyValue("--st-background-color").trim();
  const mode = parseInt(background.slice(1, 3), 16) < 128 ? "dark" : "light";
  if (mode !== data.mode && mode !== sent) setTriggerValue("mode", mode);
  sent = mode;
}
"""
_watcher = st.components.v2.component("nmfdiag_mode", js=_WATCHER)


def page_mode() -> Mode:
    """Return the mode that the page is drawn in."""
    return MODES.get(st.context.theme.type or "", LIGHT)


class FinishedFigure(BaseFigure):
    """A finished figure, which Streamlit draws unchecked: given a dictionary it would rebuild the whole figure to validate it."""

    def __init__(self, spec: dict[str, Any]):
        self._spec = spec

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as Plotly takes it."""
        return self._spec


def in_page_mode(figure: go.Figure) -> FinishedFigure:
    """Return a figure in the look of the reader's page, for ``st.plotly_chart``."""
    return FinishedFigure(look(figure, page_mode()))


def watch_mode() -> None:
    """Run the page again when the reader, or the system, turns it light or dark: plots have colours of the mode. Once a page."""
    _watcher(data={"mode": page_mode().name}, key="_mode", on_mode_change=lambda: None, height="content")
