"""What the tests of the pages share: wait until a page has all its results, and read its plots."""

import json
from collections.abc import Callable
from pathlib import Path

from patience import CEILING, wait_until
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"arch": "mlp", "p": ["0", "1"], "n": "10", "grid": "coarse"}


def open_page(page: str = "overview", **link: str | list[str]) -> AppTest:
    """Open a page by a link."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=CEILING)
    if page != "overview":
        app.switch_page(str(ROOT / "pages" / f"{page}.py"))
    for key, value in link.items():
        app.query_params[key] = value
    return app.run()


def run_until(app: AppTest, reached: Callable[[AppTest], object]) -> AppTest:
    """Run the page again until something is true of it."""

    def look() -> bool:
        assert not app.exception
        return bool(reached(app)) or (app.run(), False)[1]

    wait_until(look, pause=0.1)
    return app


def settled(app: AppTest) -> AppTest:
    """Run the page again until everything is computed."""
    return run_until(app, lambda app: any("s of computing on" in caption.value for caption in app.caption))


def visit(page: str = "overview", **link: str | list[str]) -> AppTest:
    """Open a page by a link and wait until its curves are there."""
    return settled(open_page(page, **{**SMALL, **link}))


def plots(app: AppTest) -> list[dict]:
    """The page's Plotly figures."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
