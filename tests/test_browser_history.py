"""The address and the browser's history: Back, Forward, reload and a copied address show what was seen."""

import re

import pytest
from browser_page import wait_until_idle
from playwright.sync_api import Page, expect

pytest_plugins = ["browser_page"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINK = "data=digits&arch=mlp&p=0&p=0.4&n=10&grid=coarse"
SUBJECT = "digits · mlp · p = 0, 0.4"


def entries(page: Page) -> int:
    return int(page.evaluate("history.length"))


def test_a_switch_of_pages_is_one_entry_and_back_shows_what_was_seen(page: Page) -> None:
    page.goto(f"/network?{LINK}")
    wait_until_idle(page)
    expect(page.get_by_text(SUBJECT).first).to_be_visible()
    first = entries(page)
    page.get_by_role("link", name="k vs accuracy").click()
    expect(page.get_by_role("heading", name="How robust is fc2")).to_be_visible()
    page.wait_for_url("**/curves?**p=0.4**")
    page.get_by_test_id("stSidebar").get_by_role("button", name="1", exact=True).click()
    page.wait_for_url("**/curves?**p=1&**")
    expect(page.get_by_text(f"{SUBJECT}, 1").first).to_be_visible()
    page.get_by_role("link", name="Layer phases").click()
    expect(page.get_by_role("heading", name="Which layers memorise?")).to_be_visible()
    page.wait_for_url("**/phases?**p=1&**")
    assert entries(page) == first + 2
    page.go_back()
    expect(page.get_by_role("heading", name="How robust is fc2")).to_be_visible()
    expect(page.get_by_text(f"{SUBJECT}, 1").first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Is this network memorising?")).to_be_visible()
    expect(page.get_by_text(f"{SUBJECT} · seed").first).to_be_visible()
    assert page.url.endswith(f"/network?{LINK}")
    page.go_forward()
    expect(page.get_by_text(f"{SUBJECT}, 1").first).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="How robust is fc2")).to_be_visible()
    expect(page.get_by_text(f"{SUBJECT}, 1").first).to_be_visible()
    assert entries(page) == first + 2


def test_a_bare_address_means_the_defaults_also_by_back(page: Page) -> None:
    page.goto("/evidence")
    wait_until_idle(page)
    page.goto(f"/curves?{LINK}&layer=fc4")
    expect(page.get_by_role("heading", name="How robust is fc4")).to_be_visible()
    page.get_by_role("link", name="Reconstruction error").click()
    page.wait_for_url("**/reconstruction?**layer=fc4**")
    page.goto("/curves")
    expect(page.get_by_role("heading", name="How robust is conv2_1")).to_be_visible()


def test_wrong_values_in_an_address_are_named(page: Page) -> None:
    page.goto("/reconstruction?data=digits&data=fashion_mnist&p=&layer=nope&k=100000&colour=red")
    several = r'One data set( or network)? can be shown, not "digits" as well\. Showing fashion_mnist\.'  # networks of other tests
    expect(page.get_by_text(re.compile(several))).to_be_visible()
    for text in (
        "The address names what no page knows: colour.",
        'No label noise p "".',
        'No layer "nope".',
        'No k: directions kept "100000". Showing 8. Available: 1, 2, 4, 8, 16, 32.',
    ):
        expect(page.get_by_text(text)).to_be_visible()
