"""How fast the pages are in a browser, and whether they jump: ``python benchmarks/pages/measure.py OUT.csv CHECKOUT [CHECKOUT ...]``.

Each checkout serves its own dashboard, with an empty cache at first; they take turns, so that a busy machine is busy for all of them.
A line a measurement, in seconds:

- ``first frame``: from a link to the page's question, in a new browser context; ``first plot``: to its first drawn line,
- ``switch to PAGE``: from a click on its link to that page's plot, everything computed before,
- ``jump``: how far the first page moves from there on while its results arrive (cumulative layout shift; 0.1 is the usual limit).

It needs Playwright and a Chromium (NMFDIAG_CHROMIUM names one).
"""

import csv
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

REPEATS = 7
START = ("network", "Is this network")
"""The page that is opened first, in its default view, and its question. In older checkouts it is the overview."""
DRAWN = "[data-testid=stMain] .js-plotly-plot .trace"
COMPUTED = "s of computing on"
SWITCHES = {"k vs accuracy": "to compression?", "Layer phases": "Which layers", "Classes": "Which classes"}
SHIFTS = """() => {
  window.shifted = 0;
  new PerformanceObserver(list => list.getEntries().forEach(e => { if (!e.hadRecentInput) window.shifted += e.value; }))
    .observe({type: "layout-shift", buffered: true});
}"""


def serve(checkout: Path, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a checkout's dashboard on a free port; return the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = f"-m streamlit run app.py --server.port {port} --server.headless true --server.fileWatcherType none"
    environment = os.environ | {"NMFDIAG_CACHE": str(folder / "cache"), "NMFDIAG_RUNS": str(folder / "runs")}
    process = subprocess.Popen(
        [sys.executable, *command.split()], cwd=checkout, env=environment, stdout=subprocess.DEVNULL
    )
    address, page = f"http://127.0.0.1:{port}", START[0] if (checkout / f"pages/{START[0]}.py").exists() else ""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/_stcore/health")
            break
        except OSError:
            time.sleep(0.1)
    return process, f"{address}/{page}"


def open_start(browser: Browser, address: str) -> tuple[Page, dict[str, float]]:
    """Open the first page in a new context, and time it."""
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.add_init_script(f"({SHIFTS})()")
    start = time.perf_counter()
    page.goto(address)
    page.get_by_role("heading", name=START[1]).wait_for()
    frame = time.perf_counter() - start
    page.evaluate("window.shifted = 0")
    page.wait_for_selector(DRAWN, state="attached")
    return page, {"first frame": frame, "first plot": time.perf_counter() - start}


def switch_seconds(page: Page, name: str, heading: str) -> float:
    """Return the seconds from a click in the navigation to the drawn page."""
    start = time.perf_counter()
    page.get_by_role("link", name=name, exact=True).first.click()
    page.get_by_role("heading", name=heading).wait_for()
    page.wait_for_selector(DRAWN, state="attached")
    return time.perf_counter() - start


def main(out: Path, checkouts: list[Path]) -> None:
    """Measure all checkouts in turns."""
    chromium = os.environ.get("NMFDIAG_CHROMIUM") or shutil.which("chromium")
    times: dict[tuple[str, str], list[float]] = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        servers = {c.name: serve(c, Path(folder) / str(i)) for i, c in enumerate(checkouts)}
        for name, (_, address) in servers.items():
            page, took = open_start(browser, address)
            page.get_by_text(COMPUTED).wait_for(timeout=120_000)
            took = {f"{quantity}, nothing computed yet": seconds for quantity, seconds in took.items()}
            for quantity, value in (took | {"jump": page.evaluate("window.shifted")}).items():
                times.setdefault((name, quantity), []).append(value)
            for title, heading in SWITCHES.items():
                switch_seconds(page, title, heading)
            page.context.close()
        for _ in range(REPEATS):
            for name, (_, address) in servers.items():
                page, took = open_start(browser, address)
                page.wait_for_timeout(1500)
                took |= {
                    f"switch to {title}": switch_seconds(page, title, heading) for title, heading in SWITCHES.items()
                }
                for quantity, value in took.items():
                    times.setdefault((name, quantity), []).append(value)
                page.context.close()
        for process, _ in servers.values():
            process.terminate()
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow("checkout what median least most times".split())
        for (name, quantity), values in times.items():
            table.writerow(
                [name, quantity, *(f"{v:.3f}" for v in (median(values), min(values), max(values))), len(values)]
            )
            print(f"{name:12} {quantity:40} {median(values):.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument).resolve() for argument in sys.argv[2:]])
