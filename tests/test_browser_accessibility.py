"""Every page checked by axe-core in both modes, names of plots, and operation by keyboard."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_page import OWN_NAME, wait_until_computed, wait_until_idle
from dashboard_server import ROOT
from playwright.sync_api import Page, TimeoutError, expect

pytest_plugins = ["browser_page"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIGHT = "arch=mlp&p=0&n=10&grid=coarse"
PAGES = {
    "overview": ["/"],
    "network": [f"/network?{LIGHT}"],
    "how": [f"/how?{LIGHT}"],
    "curves": [f"/curves?{LIGHT}"],
    "phases": [f"/phases?{LIGHT}"],
    "classes": [f"/classes?{LIGHT}"],
    "reconstruction": [f"/reconstruction?{LIGHT}"],
    "suspects": [f"/suspects?{LIGHT}"],
    "stopping": ["/stopping"],
    "evidence": ["/evidence"],
    "trust": ["/trust"],
    "generalization": ["/generalization"],
    "ablation": [f"/ablation?{LIGHT}"],
    "batches": [f"/batches?{LIGHT}&families=digits+mlp"],
    "support": [f"/support?{LIGHT}&layer=fc3&batch=3"],
    "report": ["/report?arch=mlp&p=0"],
    "runtime": [f"/runtime?{LIGHT}"],
    "your_network": ["/your_network", f"/your_network?network={OWN_NAME}"],
    "training_runs": ["/training_runs"],
}
"""Addresses by the file of the page, with little to compute."""
ON_REQUEST = {"ablation", "batches", "support", "suspects"}
"""Pages that compute after a click."""
IN_MAKE_TEST = {"curves", "evidence", "your_network"}
"""Pages with all kinds of elements; ``make soak`` checks the others, which have the same elements."""
WITHOUT_PLOTS = {"overview", "your_network", "training_runs", "report"}
"""Pages without plots at these addresses, except for runs of other tests."""
NAMES = """all => all.filter(e => !e.closest('[data-stale=true]'))
    .map(e => e.closest('[role=figure]')?.getAttribute('aria-label') || '')"""
"""Names of plots, without those of a run of the page that is being replaced."""
SERIOUS = ("serious", "critical")
INSIDE = "([target, ancestor]) => document.querySelector(target)?.closest(ancestor) !== null"
RING = "rgb(34, 144, 140)"
"""Colour of the focus ring in page.css."""


@dataclass(frozen=True)
class Allowed:
    """A finding that is not ours: the rule, the element, and the reason."""

    rule: str
    inside: str
    why: str


ALLOWED = [
    Allowed("list", "[data-testid=stSidebarNav]", "Streamlit's navigation has its sections, div, inside of a ul"),
    Allowed("listitem", "[data-testid=stSidebarNav]", "the same: each li is inside of such a div"),
    Allowed("color-contrast", "label[disabled]", "labels of disabled controls need none (WCAG 1.4.3); axe takes it for text"),
]  # fmt: skip


def open_settled(page: Page, address: str) -> None:
    """Open a page and wait for all its results."""
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    if any(f"/{name}?" in address for name in ON_REQUEST):
        wait_until_idle(page)
        measure = page.get_by_role("button", name="Measure", exact=True)
        if measure.count():  # else it is in the cache
            measure.click()
    if LIGHT in address and "/runtime" not in address:
        wait_until_computed(page)
    wait_until_idle(page)


def findings(page: Page, **options: Any) -> list[str]:
    """Return serious findings of axe that are not allowed, once two checks agree, since a page may be redrawn meanwhile."""
    previous, current = None, _run_axe(page, options)
    while current and current != previous:
        wait_until_idle(page)
        previous, current = current, _run_axe(page, options)
    return current


def _run_axe(page: Page, options: dict[str, Any]) -> list[str]:
    descriptions = []
    for violation in Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]:
        if violation["impact"] in SERIOUS:
            ancestors = [allowed.inside for allowed in ALLOWED if allowed.rule == violation["id"]]
            for node in violation["nodes"]:
                if not any(page.evaluate(INSIDE, [node["target"][-1], ancestor]) for ancestor in ancestors):
                    descriptions.append(f"{violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}")
    return descriptions


def shade(page: Page) -> str:
    return str(page.locator(".stApp").evaluate("e => getComputedStyle(e).colorScheme"))


def test_every_page_is_listed() -> None:
    assert set(PAGES) == {path.stem for path in (ROOT / "pages").glob("*.py")}


@pytest.mark.parametrize(
    "name", [name if name in IN_MAKE_TEST else pytest.param(name, marks=pytest.mark.soak) for name in PAGES]
)
def test_a_page_has_no_serious_finding_in_either_mode(page: Page, name: str) -> None:
    for address in PAGES[name]:
        page.emulate_media(color_scheme="light")
        open_settled(page, address)
        assert shade(page) == "light" and findings(page) == []
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("getComputedStyle(document.querySelector('.stApp')).colorScheme == 'dark'")
        assert findings(page, runOnly=["color-contrast"]) == []  # all else is the same in both modes
        plots = page.locator(".js-plotly-plot")
        if name not in WITHOUT_PLOTS:
            plots.first.wait_for(state="attached")
        wait_until_idle(page)  # the page is drawn again in the other mode's colours
        names = plots.evaluate_all(NAMES)
        assert all(len(label) > 10 for label in names), names
        assert len(set(names)) == len(names), names


def test_a_planted_fault_is_found(page: Page) -> None:
    open_settled(page, "/evidence")
    page.locator("[data-testid=stMain] h1").evaluate(
        "e => e.insertAdjacentHTML('afterend', '<img src=\"data:,\"><p style=\"color: #bbb; background: #fff\">pale</p>')"
    )
    assert [finding.partition(":")[0] for finding in findings(page)] == ["color-contrast", "image-alt"]


FOCUSED = """() => {
    const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
    const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return {
        name: e.getAttribute('aria-label') || e.innerText, seen: e.contains(at) || Boolean(at?.contains(e)),
        outline: style.outlineStyle == 'none' ? 0 : parseFloat(style.outlineWidth), colour: style.outlineColor,
        border: getComputedStyle(e.parentElement).borderColor, tag: e.tagName,
    }
}"""


def test_every_stop_of_the_keyboard_is_seen(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    open_settled(page, f"/curves?{LIGHT}")
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    resting = page.locator("[data-testid=stSelectbox] input").first.evaluate(
        "e => getComputedStyle(e.parentElement).borderColor"
    )
    stops: list[dict[str, Any]] = []
    while len(stops) < 60 and (not stops or stops[-1]["tag"] != "BODY"):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(FOCUSED))
    names = " | ".join(stop["name"] for stop in stops)
    assert names.startswith("Skip to main content")
    for name in ("Overview", "data set", "layer", "More", "Compare", "Fullscreen", "How to read it"):
        assert name in names, names
    for stop in stops:
        if stop["tag"] in ("MAIN", "BODY"):  # all of the page, that it may be scrolled; and its end
            continue
        ring = stop["outline"] >= 2 and stop["colour"] == RING
        assert stop["seen"] and (ring or (stop["tag"] == "INPUT" and stop["border"] != resting)), stop


def test_the_sidebar_is_operated_by_the_keyboard(page: Page) -> None:
    open_settled(page, f"/curves?{LIGHT}")
    for _ in range(30):  # a late rerun of the page may take the focus away
        page.get_by_role("combobox", name="data set").focus()
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.ariaLabel") == "layer":
                break
        page.keyboard.press("ArrowDown")
        with suppress(TimeoutError):
            page.get_by_role("option").first.wait_for(timeout=5_000)
            break
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"layer=fc\d"))
    expect(page.get_by_role("heading", name=f"How robust is {page.url.partition('layer=')[2][:3]}")).to_be_visible()
    wait_until_computed(page)
    page.get_by_role("button", name="0", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.wait_for_url(re.compile(r"p=0&p=0\.2"))
    expect(page.get_by_text("p = 0, 0.2")).to_be_visible()
    page.locator("summary", has_text="More").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="rank grid")).to_be_visible()
