"""A server and a browser for the tests of the dashboard: fixtures (``pytest_plugins = ["browsing"]``) and what they all wait for."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import serving, trouble

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
DRAWN = "[data-testid=stMain] .scatterlayer .trace .js-line"
FAST = "arch=mlp&p=0&p=1&n=10"
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Variables of the server that a module sets by a fixture of this name."""
    return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server."""
    folder = tmp_path_factory.mktemp("cache")
    with serving(folder, environment) as (base, _):
        yield base
    assert not trouble(folder)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS)


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """A tab that asks nothing of other servers."""
    page = browser.new_page(base_url=server, viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(90_000)
    outside: list[str] = []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((server, "data:", "blob:")) else None)
    yield page
    assert page.get_by_test_id("stException").count() == 0
    assert outside == []  # everything works offline
    page.close()


def drawn(page: Page) -> list[str]:
    """The paths of the lines on the plot, once there are any."""
    page.wait_for_selector(DRAWN, state="attached")
    return page.locator(DRAWN).evaluate_all("paths => paths.map(path => path.getAttribute('d') || '')")


def finished(page: Page) -> None:
    expect(page.get_by_text("s of computing on")).to_be_visible(timeout=240_000)
