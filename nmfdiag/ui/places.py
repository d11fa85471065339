"""The places of the navigation, and the pages of each."""

from dataclasses import dataclass, field
from typing import Any

import streamlit as st


@dataclass(frozen=True)
class Place:
    """An entry of the navigation.

    Attributes:
        title: In the navigation.
        icon: Beside it.
        pages: Title of each page by its file's name; the first one opens, links above the page lead to the others.
        links: Pages of other places that these links lead to as well.
    """

    title: str
    icon: str
    pages: dict[str, str]
    links: dict[str, str] = field(default_factory=dict)


PLACES = (
    Place(
        "Overview",
        ":material/monitoring:",
        {"overview": "All networks", "your_network": "Your network", "trust": "How far to trust it"},
    ),
    Place(
        "Network",
        ":material/hub:",
        {
            "network": "AuC by layer",
            "curves": "k vs accuracy",
            "phases": "Layer phases",
            "classes": "Classes",
            "suspects": "Suspects",
            "reconstruction": "Reconstruction error",
            "ablation": "Ablation",
            "support": "Support",
            "report": "Report",
        },
    ),
    Place("Training runs", ":material/timeline:", {"training_runs": "Live", "stopping": "Early stopping"}),
    Place("How it works", ":material/school:", {"how": "How it works"}),
    Place(
        "The paper",
        ":material/menu_book:",
        {
            "evidence": "Evidence",
            "generalization": "Generalisation",
            "batches": "Single vs multi-class",
            "runtime": "Runtime",
        },
        {"stopping": "Early stopping"},
    ),
)
HIGHLIGHT = """<style>
[data-testid="stSidebarNavLink"][href$="/{page}"] {{ background: color-mix(in srgb, currentColor 12%, transparent) }}
</style>"""
"""Marks the place of a page that the navigation does not list."""


def pages() -> list[Any]:
    """Return all pages; the navigation lists the first of each place, by the place's name. The first of all is found by its own name, too."""
    return [
        st.Page(_open_overview, url_path="overview", visibility="hidden"),
        *_place_pages(),
    ]


def _open_overview() -> None:
    choices = [(key, value) for key in st.query_params for value in st.query_params.get_all(key)]
    st.switch_page("pages/overview.py", query_params=choices)


def _place_pages() -> list[Any]:
    return [
        st.Page(
            f"pages/{page}.py",
            title=title if number else place.title,
            icon=place.icon,
            default=page == "overview",
            # The first is served at the root; its own name is the page above.
            url_path="home" if page == "overview" else None,
            visibility="hidden" if number else "visible",
        )
        for place in PLACES
        for number, (page, title) in enumerate(place.pages.items())
    ]


def draw_place(url_path: str) -> None:
    """Draw links to the pages of a page's place, and mark that place in the navigation.

    Args:
        url_path: The page's; empty for the overview.
    """
    page = url_path or "overview"
    place = next(place for place in PLACES if page in place.pages)
    first = next(iter(place.pages))
    if page != first:
        st.html(HIGHLIGHT.format(page="" if first == "overview" else first))
    if len(place.pages) > 1:
        with st.container(horizontal=True, key="place_pages"):
            for name, title in (place.pages | place.links).items():
                st.page_link(f"pages/{name}.py", label=title)
