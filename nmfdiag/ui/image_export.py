"""Plots as PNG and SVG, made by the reader's browser: no browser on the server is needed."""

import re

import streamlit as st

from nmfdiag.plots.modes import IMAGE_FONT, LIGHT, colour_swaps, template
from nmfdiag.ui.mode import page_mode

WIDTH, SCALE = 900, 2
"""Pixels of an image, whatever the window's width, and how many a PNG has for each."""

_HTML = "".join(
    f'<button data-format="{format_name}"><span aria-hidden="true">image</span>Image ({format_name.upper()})</button>'
    for format_name in ("png", "svg")
)
_CSS = """
button {
  display: flex; align-items: center; justify-content: center; gap: 0.5rem; font: 0.875rem var(--st-font); color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius);
  width: 100%; min-height: 2.5rem; padding: 0.25rem 0.75rem; cursor: pointer;
}
button + button { margin-top: 1rem; }
span { font: 1.125rem "Material Symbols Rounded"; }
button:hover { border-color: var(--st-link-color); color: var(--st-link-color); }
button:focus-visible { outline: 2px solid #22908c; }
"""
# The camera of the plot, which is not seen on the page, takes the picture: of the same figure in the light look, in a font that the picture has.
# It reads the plot before the call returns, so that the plot on the page stays as it is.
_JS = """
const repainted = (value, colours) => {
  if (typeof value === "string") {
    const end = value.lastIndexOf(",") + 1;
    const colour = colours[value.slice(0, end)];
    return colour ? colour + value.slice(end) : value;
  }
  if (Array.isArray(value)) return value.map((item) => repainted(item, colours));
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, repainted(item, colours)]));
};
export default function ({ data, parentElement }) {
  for (const button of parentElement.querySelectorAll("button")) {
    button.onclick = () => {
      const plot = document.querySelector(`.st-key-${data.plot} .js-plotly-plot`);
      const saved = { data: plot.data, layout: plot.layout, _context: plot._context };
      const options = { ...data.options, format: button.dataset.format, height: plot._fullLayout.height };
      plot.data = repainted(plot.data, data.colours);
      plot.layout = { ...repainted(plot.layout, data.colours), template: data.template };
      plot._context = { ...plot._context, toImageButtonOptions: options };
      plot.querySelector('.modebar-btn[data-title^="Download plot"]').click();
      Object.assign(plot, saved);
    };
  }
}
"""
_buttons = st.components.v2.component("nmfdiag_images", html=_HTML, css=_CSS, js=_JS)


def image_buttons(plot_key: str, name: str) -> None:
    """Draw the buttons that save a plot as an image.

    Args:
        plot_key: The chart's key.
        name: Of the file, without extension.
    """
    _buttons(
        data={
            "plot": re.sub(r"[^a-zA-Z0-9_-]", "-", plot_key.strip()),
            "options": {"filename": name, "width": WIDTH, "scale": SCALE},
            "colours": colour_swaps(page_mode(), LIGHT),
            "template": template(LIGHT, IMAGE_FONT, LIGHT.background),
        },
        key=f"_images{plot_key}",
        height="content",
    )
