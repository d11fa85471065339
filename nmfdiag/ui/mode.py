"""Whether the reader's page is light or dark."""

import streamlit as st

from nmfdiag.plots.modes import LIGHT, MODES, Mode

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


def watch_mode() -> None:
    """Run the page again when the reader, or the system, turns it light or dark: plots have colours of the mode. Once a page."""
    _watcher(data={"mode": page_mode().name}, key="_mode", on_mode_change=lambda: None, height="content")
