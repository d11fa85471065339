"""A figure in a light or a dark look. Figures are made in the light colours of p; only here do they get a mode's."""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from nmfdiag.plots.theme import P_COLOURS, RGB, SEQUENTIAL, blended, colour_of

FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", system-ui, sans-serif'
IMAGE_FONT = "Arial, Helvetica, sans-serif"
"""Of images: a page's own font is not there when a browser draws one, so its text would be cut off."""
CLEAR = "rgba(0,0,0,0)"


@dataclass(frozen=True)
class Mode:
    """Colours of a light or a dark page, as in .streamlit/config.toml."""

    name: str
    background: str
    surface: str
    text: str
    muted: str
    grid: str
    p_colours: tuple[RGB, ...]
    scale: tuple[tuple[float, str], ...]
    """Of maps, from the background's side."""


LIGHT = Mode("light", "#ffffff", "#f4f6f6", "#20282b", "#56616e", "#e3e8e9", P_COLOURS, SEQUENTIAL)
DARK = Mode(
    "dark", "#14181a", "#1d2326", "#e4e9ea", "#a9b4c0", "#2b3337",
    ((51, 108, 219), (121, 87, 250), (201, 104, 198), (250, 84, 161), (254, 97, 40), (255, 149, 90)),
    ((0, "#12312f"), (0.25, "#1d5957"), (0.5, "#2f8482"), (0.75, "#4bb0ac"), (1, "#c4ebe7")),
)  # fmt: skip
MODES = {mode.name: mode for mode in (LIGHT, DARK)}
STEPS = [i / 100 for i in range(101)]
"""All p that have a colour of their own."""


def look(figure: go.Figure, mode: Mode = LIGHT) -> dict[str, Any]:
    """Return a figure in a mode's colours and with the common fonts, axes and place of the legend, as Plotly takes it."""
    spec: dict[str, Any] = figure.to_dict()
    legend = spec["layout"].get("legend", {})
    if legend.get("y", 0) < 0:  # below the axes, however far their labels reach down, and as wide as the plot
        legend = {**legend, "xref": "container", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"}
    spec["data"] = spec["data"] or [
        {"type": "scatter", "showlegend": False}
    ]  # Streamlit refuses a figure without a trace
    spec["layout"] = {**spec["layout"], "legend": legend, "template": template(mode)}
    colours = colour_swaps(LIGHT, mode)
    return _swapped(spec, colours) if colours else spec


def template(mode: Mode, font: str = FONT, background: str = CLEAR) -> dict[str, Any]:
    """Return a mode's template for Plotly.

    Args:
        mode: The mode.
        font: Names of fonts.
        background: Colour behind the plot; by default what lies behind it is seen.
    """
    axis = {
        "automargin": True, "gridcolor": mode.grid, "linecolor": mode.grid, "zeroline": False, "tickcolor": mode.grid,
        "tickfont": {"color": mode.muted, "size": 12}, "title": {"font": {"color": mode.muted, "size": 13}, "standoff": 12},
    }  # fmt: skip
    bar = {
        "outlinewidth": 0,
        "tickfont": {"color": mode.muted, "size": 12},
        "title": {"font": {"color": mode.muted, "size": 12}},
    }
    scale = [list(stop) for stop in mode.scale]
    return {
        "layout": {
            "font": {"family": font, "size": 13, "color": mode.text},
            "title": {"x": 0, "xanchor": "left", "pad": {"l": 4}, "subtitle": {"font": {"color": mode.muted}}},
            "paper_bgcolor": background, "plot_bgcolor": CLEAR,
            "xaxis": {**axis, "showgrid": False}, "yaxis": axis,
            "legend": {"font": {"size": 12, "color": mode.text}},
            "hoverlabel": {"bgcolor": mode.surface, "bordercolor": mode.grid, "font": {"color": mode.text, "family": font}},
            "modebar": {"bgcolor": CLEAR, "color": mode.muted, "activecolor": mode.text},
            "colorscale": {"sequential": scale, "sequentialminus": scale},
        },
        "data": {"heatmap": [{"type": "heatmap", "colorscale": scale, "colorbar": bar}]},
    }  # fmt: skip


def colour_swaps(old: Mode, new: Mode) -> dict[str, str]:
    """Return what replaces the colours of p when a figure goes from one mode to another, as beginnings of ``rgba(...)``."""
    if old is new:
        return {}
    return {_beginning(blended(old.p_colours, p)): _beginning(blended(new.p_colours, p)) for p in STEPS}


def colour_in(mode: Mode, label_noise: float) -> str:
    """Return the colour of a p, or of unknown p, in a mode: for what stands beside plots."""
    return str(_swapped(colour_of(label_noise), colour_swaps(LIGHT, mode)))


def to_html(figure: go.Figure, head: str = "") -> str:
    """Return a figure as one HTML file that works offline, in the light look.

    Args:
        figure: The figure.
        head: What to add to the head, such as the page's font.
    """
    from plotly.io import to_html as plotly_html

    # No camera: in its image the page's font would be missing.
    config = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["toImage", "select2d", "lasso2d"]}
    page: str = plotly_html(look(figure), config=config, include_plotlyjs=True, full_html=True, validate=False)
    return page.replace("<head>", f"<head>{head}", 1)


def _beginning(rgb: RGB) -> str:
    return "rgba({},{},{},".format(*rgb)


def _swapped(value: Any, colours: dict[str, str]) -> Any:
    if isinstance(value, str):
        start, comma, end = value.rpartition(",")
        return colours[start + comma] + end if start + comma in colours else value
    if isinstance(value, dict):
        return {key: _swapped(item, colours) for key, item in value.items()}
    return [_swapped(item, colours) for item in value] if isinstance(value, list | tuple) else value
