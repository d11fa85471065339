"""The page *Your network* in a browser: an example from opening to report, cancelled and wrong openings, activations, GELU."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browser_page import balance_classes, wait_for_line, wait_until_computed
from playwright.sync_api import Browser, FilePayload, Page, expect
from torchvision import models

pytest_plugins = ["browser_page"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]
LIGHT = "n=10&grid=coarse"


def write_gelus(weights: Path, samples: Path) -> None:
    """Write a Swin transformer of torchvision, in half precision, and a few small samples that it classifies correctly."""
    torch.manual_seed(0)
    model = models.swin_t(num_classes=2).half().float().eval()
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    labels = balance_classes(model, torch.from_numpy(images) / 255)
    torch.save(model.half().state_dict(), weights)
    np.savez(samples, x=images, y=labels)


def wait_for_check(page: Page, name: str) -> None:
    """Wait for the results of the check."""
    expect(page.get_by_text(re.compile(rf"^{name} · "))).to_be_visible()
    expect(page.get_by_test_id("stMetric").filter(has_text="right by their given labels")).to_be_visible()


def diagnose(page: Page, button: str = "Diagnose") -> None:
    """Start the diagnosis, and wait until it is drawn completely."""
    page.get_by_role("button", name=button, exact=True).click()
    wait_until_computed(page)
    wait_for_line(page)
    page.wait_for_selector(".heatmaplayer image", state="attached")


def test_an_example_is_opened_diagnosed_reported_and_removed(page: Page, browser: Browser, tmp_path: Path) -> None:
    page.goto(f"/your_network?{LIGHT}")
    page.get_by_role("button", name="Try it with an example").click()
    expect(page.get_by_test_id("stProgress")).to_contain_text("Opening example")
    wait_for_check(page, "example")
    assert page.locator(".js-plotly-plot").count() == 0  # nothing is measured without a click
    diagnose(page)
    expect(page.get_by_text("is the least linear layer")).to_be_visible()
    with page.expect_download() as report:
        page.get_by_role("button", name="Report (HTML)").click()
    report.value.save_as(tmp_path / report.value.suggested_filename)
    check_report(browser, tmp_path / "example_report.html")
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove example").click()
    expect(page.get_by_role("button", name="Open and check")).to_be_visible()
    expect(page.get_by_role("button", name="example", exact=True)).to_be_hidden()
    assert "network=example" not in page.url


def check_report(browser: Browser, report: Path) -> None:
    """Check that a report opens as a file, with its plots, without contacting a server."""
    tab = browser.new_page()
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(report.as_uri())
    tab.wait_for_selector(".scatterlayer .trace .js-line", state="attached")
    paths = tab.locator(".scatterlayer .js-line").evaluate_all("all => all.map(path => path.getAttribute('d') || '')")
    assert tab.locator("h1").count() == 1 and any("L" in path for path in paths)
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    tab.close()


def test_opening_is_cancelled_at_once_and_the_page_says_so(page: Page) -> None:
    page.goto("/your_network")
    page.get_by_role("button", name="Try it with an example").click()
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    cancel.click()
    expect(page.get_by_text("Opening example was cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Try it with an example")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("was cancelled")).to_be_hidden()


def test_a_wrong_file_is_explained(page: Page) -> None:
    page.goto("/your_network?samples_from=data+set")
    upload: FilePayload = {"name": "notes.pth", "mimeType": "application/octet-stream", "buffer": b"My notes.\n" * 20}
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(files=[upload])
    expect(page.get_by_role("textbox", name="name")).to_have_value("notes")
    page.get_by_role("button", name="Open and check").click()
    problem = page.get_by_test_id("stAlert").filter(has_text="notes was not opened.")
    expect(problem).to_be_visible()
    text = problem.inner_text()
    assert "notes.pth can't be read" in text and "Traceback" not in text and "Error:" not in text
    page.get_by_role("button", name="Dismiss").click()
    expect(problem).to_be_hidden()


@pytest.mark.soak  # the same page as the example's
def test_recorded_activations_are_diagnosed(page: Page) -> None:
    page.goto(f"/your_network?way=raw+activations&activations_from=file+on+this+server&{LIGHT}")
    page.get_by_role("button", name="Open and check").click()
    wait_for_check(page, "recorded")
    page.get_by_role("button", name="Diagnose", exact=True).click()
    wait_until_computed(page)
    page.wait_for_selector(".js-plotly-plot .scatterlayer .trace", state="attached")
    expect(page.get_by_text("is the least linear layer")).to_be_visible()


@pytest.mark.soak  # a separate process opens a transformer, and twelve layers are measured
def test_a_network_of_gelus_in_the_folder_of_models_is_diagnosed_by_signed_nmf(
    page: Page, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    weights, samples = Path(environment["NMFDIAG_MODELS"]) / "gelus.pth", tmp_path / "samples.npz"
    write_gelus(weights, samples)
    request.addfinalizer(weights.unlink)
    page.goto(f"/your_network?weights_from=file+on+this+server&{LIGHT}")
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(samples)
    page.get_by_role("button", name="Open and check").click()
    wait_for_check(page, "gelus")
    expect(page.get_by_text(re.compile(r"gelus · swin_t · 12 layers"))).to_be_visible()
    diagnose(page, "Diagnose anyway")  # six samples a class are few
    expect(page.get_by_text(re.compile("signed NMF", re.IGNORECASE)).first).to_be_visible()
