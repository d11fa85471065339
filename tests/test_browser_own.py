"""The page *Your network* in a real browser: an example from its opening to its report, what is cancelled or wrong, activations, GELU."""

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
    """A Swin transformer of torchvision, in half precision, and samples that it gets right: few and small ones, to be quick."""
    torch.manual_seed(0)
    model = models.swin_t(num_classes=2).half().float().eval()
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    labels = balance_classes(model, torch.from_numpy(images) / 255)
    torch.save(model.half().state_dict(), weights)
    np.savez(samples, x=images, y=labels)


def opens(page: Page, name: str) -> None:
    """Wait for what the check has found."""
    expect(page.get_by_text(re.compile(rf"^{name} · "))).to_be_visible()
    expect(page.get_by_test_id("stMetric").filter(has_text="right by their given labels")).to_be_visible()


def diagnosed(page: Page) -> None:
    """Ask for the diagnosis, and wait for all that is drawn of it."""
    page.get_by_role("button", name="Diagnose", exact=True).click()
    wait_until_computed(page)
    wait_for_line(page)
    page.wait_for_selector(".heatmaplayer image", state="attached")


def test_an_example_is_opened_diagnosed_reported_and_removed(page: Page, browser: Browser, tmp_path: Path) -> None:
    page.goto(f"/your_network?{LIGHT}")
    page.get_by_role("button", name="Try it with an example").click()
    expect(page.get_by_test_id("stProgress")).to_contain_text("Opening example")
    opens(page, "example")
    assert page.locator(".js-plotly-plot").count() == 0  # nothing is measured before it is asked for
    diagnosed(page)
    expect(page.get_by_text("is the least linear layer")).to_be_visible()
    with page.expect_download() as report:
        page.get_by_role("button", name="Report (HTML)").click()
    report.value.save_as(tmp_path / report.value.suggested_filename)
    reads_alone(browser, tmp_path / "example_diagnosis.html")
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove example").click()
    expect(page.get_by_role("button", name="Open and check")).to_be_visible()
    expect(page.get_by_role("button", name="example", exact=True)).to_be_hidden()
    assert "network=example" not in page.url


def reads_alone(browser: Browser, report: Path) -> None:
    """A report opens as a file: its plots are drawn, and nothing is asked of any server."""
    tab = browser.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(report.as_uri())
    tab.wait_for_selector(".scatterlayer .trace .js-line", state="attached")
    paths = tab.locator(".scatterlayer .js-line").evaluate_all("all => all.map(path => path.getAttribute('d') || '')")
    assert tab.locator("h1").count() == 1 and any("L" in path for path in paths)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
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


def test_a_wrong_file_is_answered_by_a_sentence(page: Page) -> None:
    page.goto("/your_network?weights_from=upload")
    text: FilePayload = {"name": "notes.pth", "mimeType": "application/octet-stream", "buffer": b"My notes.\n" * 20}
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(files=[text])
    expect(page.get_by_role("textbox", name="name")).to_have_value("notes")
    page.get_by_role("button", name="Open and check").click()
    problem = page.get_by_test_id("stAlert").filter(has_text="notes was not opened.")
    expect(problem).to_be_visible()
    words = problem.inner_text()
    assert "weights.pth" in words and "Traceback" not in words and "Error:" not in words
    page.get_by_role("button", name="Dismiss").click()
    expect(problem).to_be_hidden()


@pytest.mark.soak  # the same page as the example's
def test_recorded_activations_are_diagnosed(page: Page) -> None:
    page.goto(f"/your_network?way=raw+activations&{LIGHT}")
    page.get_by_role("button", name="Open and check").click()
    opens(page, "recorded")
    page.get_by_role("button", name="Diagnose", exact=True).click()
    wait_until_computed(page)
    page.wait_for_selector(".js-plotly-plot .scatterlayer .trace", state="attached")
    expect(page.get_by_text("is the least linear layer")).to_be_visible()


@pytest.mark.soak  # a transformer is opened by a process of its own, and twelve layers are measured
def test_a_network_of_gelus_in_the_folder_of_models_is_diagnosed_by_signed_nmf(
    page: Page, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    weights, samples = Path(environment["NMFDIAG_MODELS"]) / "gelus.pth", tmp_path / "samples.npz"
    write_gelus(weights, samples)
    request.addfinalizer(weights.unlink)
    page.goto(f"/your_network?samples_from=upload&{LIGHT}")
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(samples)
    page.get_by_role("button", name="Open and check").click()
    opens(page, "gelus")
    expect(page.get_by_text(re.compile(r"gelus · swin_t · 12 layers"))).to_be_visible()
    diagnosed(page)
    expect(page.get_by_text(re.compile("signed NMF", re.IGNORECASE)).first).to_be_visible()
