"""A server and a browser for the tests of the dashboard: fixtures (``pytest_plugins = ["browser_page"]``) and what they all wait for.

One server serves all of them: it takes seconds to start, and what one test has computed another finds there.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from dashboard_server import serving, trouble
from own_network import copied
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from timeouts import CEILING
from torch import nn

from nmfdiag.networks.zoo_networks import recorded_network

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
DRAWN = "[data-testid=stMain] .scatterlayer .trace .js-line"
LINES = "[data-testid=stMain] .scatterlayer .trace .js-line[d*=L]"
"""Lines of more than one point."""
QUIET = """() => {
    const [busy, charts] = [
        '[data-testid=stProgress], [data-testid=stSkeleton], [data-test-script-state=running], [data-stale=true]',
        [...document.querySelectorAll('[data-testid=stPlotlyChart]')],
    ]
    return !document.querySelector(busy) && charts.every(e => !e.offsetWidth || e.querySelector('.js-plotly-plot .main-svg'))
}"""
FAST = "arch=mlp&p=0&p=1&n=10&grid=coarse"
OWN = "mine"
PATIENT = 1000 * CEILING
expect.set_options(timeout=PATIENT)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of the server: a zoo with a network of one's own, an empty folder of models, and activations in that of data."""
    home = tmp_path_factory.mktemp("home")
    folders = {variable: home / variable for variable in ("NMFDIAG_MODELS", "NMFDIAG_DATA", "NMFDIAG_ZOO")}
    for folder in folders.values():
        folder.mkdir()
    copied(OWN, folders["NMFDIAG_ZOO"])
    write_activations(folders["NMFDIAG_DATA"] / "recorded.npz")
    return {variable: str(folder) for variable, folder in folders.items()}


def balanced(model: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """Give a network of two outputs a last bias so that its answers are each class as often; these answers."""
    with torch.no_grad():
        outputs = model(inputs)
        list(model.parameters())[-1][1] -= (outputs[:, 1] - outputs[:, 0]).median()
        return model(inputs).argmax(1).numpy()


def write_activations(path: Path) -> None:
    """Activations of one layer, labels and the linear layer that answers."""
    torch.manual_seed(0)
    model, activations = recorded_network((20, 1, 1), 2), torch.rand(40, 20)
    labels, head = balanced(model, activations), model.get_submodule("head").state_dict()
    arrays = {"weight": head["weight"].numpy(), "bias": head["bias"].numpy()}
    np.savez(path, activations=activations.numpy(), labels=labels, **arrays)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server."""
    folder = tmp_path_factory.mktemp("cache")
    with serving(folder, environment) as (base, _):
        yield base
    assert not trouble(folder)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=PATIENT)


@pytest.fixture(scope="module")
def context(browser: Browser, server: str) -> Iterator[BrowserContext]:
    """What all tabs share: the browser's cache, so that only the first one fetches and compiles the scripts."""
    context = browser.new_context(base_url=server, viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENT)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, server: str) -> Iterator[Page]:
    """A tab that asks nothing of other servers."""
    page = context.new_page()
    outside: list[str] = []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((server, "data:", "blob:")) else None)
    yield page
    exceptions = page.get_by_test_id("stException").count()
    page.close()
    assert exceptions == 0
    assert outside == []  # everything works offline


def drawn(page: Page, lines: str = LINES) -> None:
    """Wait until there is a line on a plot."""
    page.wait_for_selector(lines, state="attached")


def quiet(page: Page) -> None:
    """Wait until the page's script has ended, with nothing left of the run before it and all plots drawn."""
    page.wait_for_function(QUIET)


def finished(page: Page) -> None:
    """Wait until everything is computed and drawn."""
    expect(page.get_by_text("s of computing on")).to_be_visible()
    quiet(page)
