"""Contrast of plots and text in both modes, from the very values in use, and what makes a figure light or dark."""

import tomllib
from itertools import combinations
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from nmfdiag.plots.modes import DARK, LIGHT, MODES, STEPS, Mode, colour_in, colour_swaps, look, template, to_html
from nmfdiag.plots.theme import GREY, OWN_COLOUR, P_COLOURS, blended, colour_of, marker_of, set_layer_axis, set_layout
from nmfdiag.views.trust.figures import STYLES
from nmfdiag.zoo.registry import UNKNOWN

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
LINE, TEXT = 3.0, 4.5
DISTANCE = 13
"""Least distance of two colours of p in CIELAB, whoever looks."""
SIGHT = {
    "normal": np.eye(3),
    "deuteranopic": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopic": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopic": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Matrices of Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB."""
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
CONFIG = tomllib.loads((Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml").read_text())["theme"]
both_modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def rgb_of(colour: str) -> np.ndarray:
    if colour.startswith("#"):
        return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)
    return np.array(colour.removeprefix("rgba(").rstrip(")").split(",")[:3], float)


def linear(rgb: np.ndarray) -> np.ndarray:
    share = np.asarray(rgb, float) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(colour: str, background: str) -> float:
    """Return the contrast of two opaque colours as WCAG 2 defines it."""
    low, high = sorted(float(TO_XYZ[1] @ linear(rgb_of(c))) for c in (colour, background))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray, sight: str) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(np.array(SIGHT[sight]) @ linear(rgb), 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def line_colours(mode: Mode, levels: list[float] | tuple[float, ...] = LEVELS) -> list[str]:
    """Return the colours that a browser gets for lines of these p."""
    figure = go.Figure([go.Scatter(x=[0], y=[p], line={"color": colour_of(p)}) for p in levels])
    return [trace["line"]["color"] for trace in look(figure, mode)["data"]]


@both_modes
def test_every_line_reaches_its_contrast(mode: Mode) -> None:
    for colour in [*line_colours(mode, STEPS), GREY, OWN_COLOUR.format(1)]:
        assert colour.endswith(",1)"), "opaque, or the contrast is another"
        assert contrast(colour, mode.background) >= LINE, colour


@both_modes
def test_kinds_of_errors_have_colours_that_no_p_has(mode: Mode) -> None:
    colours = [f"rgba({rgb},1)" for rgb, _ in STYLES.values()]
    assert min(contrast(colour, mode.background) for colour in colours) >= LINE
    kinds, of_p = ([lab(rgb_of(c), "normal") for c in group] for group in (colours, line_colours(mode, STEPS)))
    assert min(np.linalg.norm(a - b) for a in kinds for b in of_p) >= DISTANCE
    assert min(np.linalg.norm(a - b) for a, b in combinations(kinds, 2)) >= DISTANCE
    assert len({symbol for _, symbol in STYLES.values()}) == len(STYLES)


@both_modes
def test_colours_of_p_are_ordered_and_told_apart_by_everybody(mode: Mode) -> None:
    contrasts = [contrast(colour, mode.background) for colour in line_colours(mode)]
    assert contrasts == sorted(contrasts)  # the more random labels, the further from the background
    for sight in SIGHT:
        colours = [lab(rgb, sight) for rgb in mode.p_colours]
        assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) >= DISTANCE, sight
    assert len({marker_of(p) for p in LEVELS}) == len(LEVELS)


@both_modes
def test_text_reaches_its_contrast_and_colours_are_the_pages(mode: Mode) -> None:
    theme = CONFIG[mode.name]
    names = {
        "backgroundColor": "background",
        "secondaryBackgroundColor": "surface",
        "textColor": "text",
        "grayTextColor": "muted",
    }
    assert {key: theme[key] for key in names} == {key: getattr(mode, name) for key, name in names.items()}
    layout = template(mode)["layout"]
    written = [layout["font"]["color"], layout["legend"]["font"]["color"], layout["title"]["subtitle"]["font"]["color"]]
    for axis in ("xaxis", "yaxis"):
        written += [layout[axis]["tickfont"]["color"], layout[axis]["title"]["font"]["color"]]
    assert min(contrast(colour, mode.background) for colour in written) >= TEXT
    assert contrast(layout["hoverlabel"]["font"]["color"], layout["hoverlabel"]["bgcolor"]) >= TEXT
    surfaces = [theme["backgroundColor"], theme["secondaryBackgroundColor"], theme["sidebar"]["backgroundColor"]]
    for key in ("textColor", "grayTextColor", "linkColor"):
        assert min(contrast(theme[key], surface) for surface in surfaces) >= TEXT, key


def test_there_and_back_is_the_same_figure() -> None:
    swaps = colour_swaps(LIGHT, DARK)
    assert len(swaps) == len(set(swaps.values())) == len(STEPS)  # a colour for each p, so that the way back is known
    assert swaps == {new: old for old, new in colour_swaps(DARK, LIGHT).items()} and not colour_swaps(DARK, DARK)
    figure = go.Figure()
    figure.add_scatter(
        x=["rgba(1,2,3,"], y=[1], marker={"color": [colour_of(0.6), GREY]}, fillcolor=colour_of(1.0, 0.15)
    )
    figure.add_scatter(x=[0], y=[1], line={"color": colour_of(UNKNOWN)}, text="p = 1, or not")
    light, dark = look(figure, LIGHT), look(figure, DARK)
    first, second = dark["data"]
    assert first["marker"]["color"] == ["rgba({},{},{},1)".format(*DARK.p_colours[3]), GREY]
    assert first["fillcolor"] == "rgba({},{},{},0.15)".format(*DARK.p_colours[5]) and list(first["x"]) == [
        "rgba(1,2,3,"
    ]
    assert second == light["data"][1] and light["data"][0]["marker"]["color"] == [colour_of(0.6), GREY]
    assert figure.data[0].marker.color == (colour_of(0.6), GREY)  # the figure is as it was, for its exports
    assert colour_in(DARK, 0.6) == first["marker"]["color"][0] and colour_in(DARK, UNKNOWN) == colour_of(UNKNOWN)
    assert light["layout"]["template"] != dark["layout"]["template"]


def test_a_file_is_light_and_has_the_pages_font() -> None:
    figure = set_layout(go.Figure([go.Heatmap(z=[[0, 1]])]), "AuC")
    page = to_html(figure, "<style>@font-face</style>")
    assert page.index("<style>@font-face") < page.index("</head>") and '"Source Sans' in page.replace('\\"', '"')
    assert LIGHT.scale[-1][1] in page and DARK.scale[-1][1] not in page


def test_a_legend_lies_below_whatever_the_axis_needs() -> None:
    figure = set_layout(go.Figure(), "title")
    legend = look(figure)["layout"]["legend"]
    assert (legend["orientation"], legend["yref"], legend["y"], legend["yanchor"]) == ("h", "container", 0, "bottom")
    assert look(figure)["data"]  # Streamlit refuses a figure without a trace


def test_every_layer_is_named_up_to_the_last() -> None:
    figure, layers = go.Figure(), [f"layer{i}" for i in range(17)]
    set_layer_axis(figure, layers)
    assert list(figure.layout.xaxis.tickvals) == layers and figure.layout.xaxis.ticklabeloverflow == "allow"
    set_layer_axis(figure, [f"layer{i}" for i in range(49)])
    assert figure.layout.xaxis.tickvals[-1] == "layer48" and len(figure.layout.xaxis.tickvals) <= 24


def test_colours_between_two_levels_lie_between_them() -> None:
    assert blended(P_COLOURS, 0.2) == P_COLOURS[1] and colour_of(0.1999) == colour_of(0.2)
    low, high = np.minimum(*P_COLOURS[:2]), np.maximum(*P_COLOURS[:2])
    assert all(low <= blended(P_COLOURS, 0.1)) and all(blended(P_COLOURS, 0.1) <= high)
