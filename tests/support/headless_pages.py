"""Pages without a browser: open one, wait for its results, and read its plots."""

import json
from collections.abc import Callable
from pathlib import Path

from queues import QUEUES, pending
from streamlit.testing.v1 import AppTest
from timeouts import CEILING, wait_until

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"arch": "mlp", "p": ["0", "1"], "n": "10", "grid": "coarse"}


def open_page(page: str = "network", **link: str | list[str]) -> AppTest:
    """Open a page by a link."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=CEILING)
    if page != "overview":
        app.switch_page(str(ROOT / "pages" / f"{page}.py"))
    for key, value in link.items():
        app.query_params[key] = value
    return app.run()


def run_until(app: AppTest, reached: Callable[[AppTest], object]) -> AppTest:
    """Run the page again until a condition holds."""

    def run_once() -> bool:
        assert not app.exception
        return bool(reached(app)) or (app.run(), False)[1]

    wait_until(run_once, pause=0.1)
    return app


def settled(app: AppTest) -> AppTest:
    """Run the page again once everything is computed, not meanwhile: drawing takes longer than computing. *Measure* is pressed where it is offered."""

    def complete(app: AppTest) -> bool:
        if measure := [button for button in app.button if button.label == "Measure"]:
            measure[0].click().run()
            return False
        if any("s of computing on" in caption.value for caption in app.caption):
            return True
        wait_until(lambda: not any(map(pending, QUEUES)))
        return False

    return run_until(app, complete)


def visit(page: str = "network", **link: str | list[str]) -> AppTest:
    """Open a page by a link and wait for its curves."""
    return settled(open_page(page, **{**SMALL, **link}))


def plots(app: AppTest) -> list[dict]:
    """Return the page's Plotly figures."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
