"""Make the README's animated picture from the real app: ``python benchmarks/pages/tour.py [FOLDER]``.

It serves this checkout with an empty cache, walks through the pages as a reader would, and writes ``tour.webp`` (about 20 seconds, at most 3 MB). It
needs Playwright and a Chromium (NMFDIAG_CHROMIUM names one).
"""

import io
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import serve
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SIZE = (1280, 800)
WIDTH = 960
"""Of the tour, in pixels."""
LARGEST = 3_000_000
"""Bytes of the tour."""
IDLE = "() => !document.querySelector('[data-testid=stProgress], [data-testid=stSkeleton], [data-test-script-state=running], [data-stale=true]')"


@dataclass(frozen=True)
class Step:
    """A picture of the tour.

    Attributes:
        link: What is clicked, by its text, among the links and buttons; empty for nothing.
        scroll: How far the page is scrolled then, in pixels.
        seconds: How long it stays.
    """

    link: str = ""
    scroll: int = 0
    seconds: float = 2.2


STEPS = (
    Step(seconds=3),
    Step(scroll=560, seconds=2.5),
    Step("Open these networks", 520, 3),
    Step("k vs accuracy", 150),
    Step("Classes", 150),
    Step("Suspects", seconds=1.5),
    Step("Measure", 120, 3),
    Step("Training runs"),
    Step("How it works", 100),
    Step("The paper", seconds=2.5),
)


def picture(page: Page, step: Step) -> Image.Image:
    """Take a step and return what is seen."""
    if step.link:
        page.locator("a, button").filter(has_text=step.link).first.click()
        page.wait_for_timeout(1500)
    page.wait_for_function(IDLE, timeout=300_000)
    page.get_by_test_id("stMain").evaluate("(e, y) => e.scrollTo(0, y)", step.scroll)
    page.wait_for_timeout(1500)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(folder: Path) -> None:
    """Write the tour."""
    chromium = os.environ.get("NMFDIAG_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        process, address = serve(ROOT, Path(scratch))
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")
        page.goto(address.removesuffix("network"))
        page.get_by_role("heading", level=1).wait_for()
        pictures = [picture(page, step) for step in STEPS]
        process.terminate()
    small = [image.resize((WIDTH, WIDTH * SIZE[1] // SIZE[0]), Image.Resampling.LANCZOS) for image in pictures]
    durations = [round(1000 * step.seconds) for step in STEPS]
    path = folder / "tour.webp"
    small[0].save(path, save_all=True, append_images=small[1:], duration=durations, loop=0, quality=80, method=6)
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes, {sum(durations) / 1000:g} s")
    if size > LARGEST:
        sys.exit(f"That is more than {LARGEST:,} bytes.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".github")
