"""Fixtures of a server and a browser for the tests of the dashboard (``pytest_plugins = ["browser_page"]``), and waiting for a page.

All tests share one server: it takes seconds to start, and results of one test are available to the next.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from dashboard_server import log_errors, serve
from own_network import copy_network
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from timeouts import CEILING
from torch import nn

from nmfdiag.networks.zoo_networks import recorded_network

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
TRACES = "[data-testid=stMain] .scatterlayer .trace .js-line"
LINES = "[data-testid=stMain] .scatterlayer .trace .js-line[d*=L]"
"""Lines of more than one point."""
IDLE = """() => {
    const [busy, charts] = [
        '[data-testid=stProgress], [data-testid=stSkeleton], [data-test-script-state=running], [data-stale=true]',
        [...document.querySelectorAll('[data-testid=stPlotlyChart]')],
    ]
    return !document.querySelector(busy) && charts.every(e => !e.offsetWidth || e.querySelector('.js-plotly-plot .main-svg'))
}"""
SMALL_LINK = "arch=mlp&p=0&p=1&n=10&grid=coarse"
OWN_NAME = "mine"
TIMEOUT = 1000 * CEILING
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the server's variables: a zoo with a network of the user's, an empty folder of models, and one of data with activations."""
    home = tmp_path_factory.mktemp("home")
    folders = {variable: home / variable for variable in ("NMFDIAG_MODELS", "NMFDIAG_DATA", "NMFDIAG_ZOO")}
    for folder in folders.values():
        folder.mkdir()
    copy_network(OWN_NAME, folders["NMFDIAG_ZOO"])
    write_activations(folders["NMFDIAG_DATA"] / "recorded.npz")
    return {variable: str(folder) for variable, folder in folders.items()}


def balance_classes(model: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """Set the last bias of a network with two outputs so that it answers each class equally often; return the answers."""
    with torch.no_grad():
        outputs = model(inputs)
        list(model.parameters())[-1][1] -= (outputs[:, 1] - outputs[:, 0]).median()
        return model(inputs).argmax(1).numpy()


def write_activations(path: Path) -> None:
    """Write activations of one layer, labels and the linear layer that answers."""
    torch.manual_seed(0)
    model, activations = recorded_network((20, 1, 1), 2), torch.rand(40, 20)
    labels, head = balance_classes(model, activations), model.get_submodule("head").state_dict()
    arrays = {"weight": head["weight"].numpy(), "bias": head["bias"].numpy()}
    np.savez(path, activations=activations.numpy(), labels=labels, **arrays)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[str]:
    """Return the address of a server."""
    folder = tmp_path_factory.mktemp("cache")
    with serve(folder, environment) as (base, _):
        yield base
    assert not log_errors(folder)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def context(browser: Browser, server: str) -> Iterator[BrowserContext]:
    """Return what all tabs share, the browser's cache: only the first one fetches and compiles the scripts."""
    context = browser.new_context(base_url=server, viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(TIMEOUT)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, server: str) -> Iterator[Page]:
    """Return a tab, and check that it contacted no other server."""
    page = context.new_page()
    foreign_requests: list[str] = []
    page.on(
        "request",
        lambda r: foreign_requests.append(r.url) if not r.url.startswith((server, "data:", "blob:")) else None,
    )
    yield page
    exceptions = page.get_by_test_id("stException").count()
    page.close()
    assert exceptions == 0
    assert foreign_requests == []  # everything works offline


def wait_for_line(page: Page, lines: str = LINES) -> None:
    """Wait for a line on a plot."""
    page.wait_for_selector(lines, state="attached")


def wait_until_idle(page: Page) -> None:
    """Wait until the page's script has ended, all plots are drawn, and nothing of the previous run is left."""
    page.wait_for_function(IDLE)


def wait_until_computed(page: Page) -> None:
    """Wait until everything is computed and drawn."""
    expect(page.get_by_text("s of computing on")).to_be_visible()
    wait_until_idle(page)


def stop_computing(page: Page) -> None:
    """Stop what a page computes, unless it ends by itself: on a busy machine a click may come too late."""
    ended = page.get_by_text(re.compile("Stopped with|s of computing on"))
    expect(page.get_by_role("button", name="Cancel").or_(ended).first).to_be_visible()
    page.evaluate(
        "[...document.querySelectorAll('button')].find(button => button.innerText.trim() == 'Cancel')?.click()"
    )
    expect(ended.first).to_be_visible()
